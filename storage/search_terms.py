"""Translation of a search query into regular expressions.

default bond        both terms in any order, each at the beginning of a word: `default` matches "defaults", `AI` does not match "paid"
"missed payment"    the phrase of whole words; “”, 「」 and 《》 are quotation marks too
-rumour -"no comment"   excluded terms
债券违约             these characters anywhere, as Chinese has no spaces between words
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_CHARS = 200
MAX_TERMS = 8

_TERM = re.compile(r"""(?P<minus>[-−－]?)(?:["“”「」《》](?P<phrase>[^"“”「」《》]*)["“”「」《》]?|(?P<word>[^\s"“”「」《》]+))""")
_ASCII_WORD = re.compile(r"[A-Za-z0-9_]")


class SearchPatterns(NamedTuple):
    """Patterns in RE2 syntax: a text matches all of `all_of` and none of `none_of`.

    Attributes:
        part: the longest word that every matching text contains in some letter case; "" if there is none
    """

    all_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()
    part: str = ""


def search_patterns(words: str) -> SearchPatterns:
    """The patterns of a query. Text beyond MAX_CHARS, terms beyond MAX_TERMS and terms without letters or digits are ignored."""
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
    return SearchPatterns(tuple(dict.fromkeys(all_of)), tuple(dict.fromkeys(none_of)), part)


def tidy(words: str) -> str:
    """The query on one line without control characters and lone surrogates, cut at MAX_CHARS."""
    return " ".join("".join(char if char.isprintable() else " " for char in words[: 2 * MAX_CHARS]).split())[:MAX_CHARS]


def pattern(term: str, *, whole: bool) -> str:
    """The case-insensitive pattern of one term; "" for a term of ASCII punctuation only.

    Args:
        whole: whether the last word must end with the term. Word boundaries work for ASCII letters only, as RE2's \\b does.
    """
    words = term.split()
    if not any(char.isalnum() or not char.isascii() for char in term):
        return ""
    before = r"\b" if _ASCII_WORD.match(words[0][0]) else ""
    after = r"\b" if whole and _ASCII_WORD.match(words[-1][-1]) else ""
    return "(?i:" + before + r"\s+".join(map(_quoted, words)) + after + ")"  # a bare (?i) does not work in ClickHouse 18.16


def _has_plain_case(word: str) -> bool:
    """Whether all characters are ASCII or have no letter case, so that all implementations agree on case folding."""
    return all(char.isascii() or char.lower() == char == char.upper() for char in word)


def _quoted(word: str) -> str:
    return re.sub(r"[!-/:-@\[-^`{-~]", r"\\\g<0>", word)  # only ASCII punctuation: RE2 rejects a backslash before 中
