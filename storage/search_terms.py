"""What people type into a search box, as patterns that a text has, or must not have. Pure.

default bond        both, in any order, each at the beginning of a word: `default` is found in "defaults", `AI` is not in "said"
"missed payment"    these words, whole, one after the other; “”, 「」 and 《》 are quotation marks too
-rumour -"no comment"   none of these
债券违约             these characters, anywhere: Chinese has no spaces between words
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_CHARS = 200
MAX_TERMS = 8

_TERM = re.compile(r"""(?P<minus>[-−－]?)(?:["“”「」《》](?P<phrase>[^"“”「」《》]*)["“”「」《》]?|(?P<word>[^\s"“”「」《》]+))""")
_ASCII_WORD = re.compile(r"[A-Za-z0-9_]")


class Wanted(NamedTuple):
    """Patterns in RE2's syntax: a text has all of `all_of` and none of `none_of`.

    part: the longest of the words that such a text contains for sure, in any letter case; "" where there is none
    """

    all_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()
    part: str = ""


def wanted(words: str) -> Wanted:
    """The patterns of what was typed; what is beyond MAX_CHARS or MAX_TERMS is left out, and so is what says nothing."""
    all_of: list[str] = []
    none_of: list[str] = []
    parts: list[str] = []
    for term in _TERM.finditer(tidy(words)):
        phrase = term["phrase"]
        found = pattern(phrase or term["word"] or "", whole=phrase is not None)
        if found and len(all_of) + len(none_of) < MAX_TERMS:
            (none_of if term["minus"] else all_of).append(found)
            parts += [] if term["minus"] else filter(_has_plain_case, (phrase or term["word"]).split())
    part = max(parts, key=lambda word: len(word.encode()), default="")
    return Wanted(tuple(dict.fromkeys(all_of)), tuple(dict.fromkeys(none_of)), part)


def tidy(words: str) -> str:
    """What was typed on one line, without controls and halves of characters, cut at MAX_CHARS."""
    return " ".join("".join(char if char.isprintable() else " " for char in words[: 2 * MAX_CHARS]).split())[:MAX_CHARS]


def pattern(term: str, *, whole: bool) -> str:
    """The pattern of one term, in any letter case; "" for a term without a letter, a digit or a sign that means something.

    whole: its last word ends where the term does. Only letters that have no accents know where a word begins: RE2's \\b is ASCII.
    """
    words = term.split()
    if not any(char.isalnum() or not char.isascii() for char in term):
        return ""
    before = r"\b" if _ASCII_WORD.match(words[0][0]) else ""
    after = r"\b" if whole and _ASCII_WORD.match(words[-1][-1]) else ""
    return "(?i:" + before + r"\s+".join(map(_quoted, words)) + after + ")"  # a bare (?i) does not work in ClickHouse 18.16


def _has_plain_case(word: str) -> bool:
    """Whether everybody agrees which other letters its letters match: of ASCII (but for ſ and the Kelvin sign), and without capitals."""
    return all(char.isascii() or char.lower() == char == char.upper() for char in word)


def _quoted(word: str) -> str:
    return re.sub(r"[!-/:-@\[-^`{-~]", r"\\\g<0>", word)  # ASCII marks, and no others: RE2 refuses a backslash before 中
