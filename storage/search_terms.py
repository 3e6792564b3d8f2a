"""Translation of a search query into regular expressions.

default bond        both terms in any order, each at the beginning of a word: `default` matches "defaults", `AI` does not match "paid"
"missed payment"    the phrase of whole words; “”, 「」 and 《》 are quotation marks too
-rumour -"no comment"   excluded terms
债券违约             these characters anywhere, as Chinese has no spaces between words

Terms match in all spellings of core.text_folding, as the keywords of watchlists do. The store keeps texts as they were published, so
the patterns list the spellings: `Moody's` is [mMｍＭ…][oOóÓ…]…['’‘…][sS…], with invisible characters in between.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from core.text_folding import CHINESE, JOINABLE, LETTER, MAX_INITIALS, WORDS_OF_INITIALS, fold, fold_character, ranges, spellings, variants

MAX_CHARS = 200
MAX_TERMS = 8
MAX_CHARACTERS = 3
"""Chinese characters of one term that are looked for before its pattern."""
MAX_LIGATURES_CHARS = 6
"""Longest part of a word with overlapping ligatures, such as "ffi", of which all are looked for."""
MAX_INITIALS_CHARS = 60
"""Longest term that also matches words written as initials, such as "J.P.": each makes the pattern longer."""

_TERM = re.compile(r"""(?P<minus>[-−－]?)(?:["“”「」《》](?P<phrase>[^"“”「」《》]*)["“”「」《》]?|(?P<word>[^\s"“”「」《》]+))""")
_LETTER, _JOINABLE, _CHINESE = re.compile(LETTER), re.compile(JOINABLE), re.compile(f"[{CHINESE}]")
_INITIALS = re.compile(rf"(?<![.])(?<!{LETTER})[a-z](?:(?:\.[a-z])+|[a-z]{{1,{MAX_INITIALS - 1}}})(?!{LETTER}|\.)")
_SPACED_INITIALS = re.compile(r"(?<!\S)[A-Za-z]\.(?: [A-Za-z]\.)+")
_ASCII_WORD = re.compile("[a-z0-9]{2,}")
_CHINESE_RUN = re.compile(f"[{CHINESE}]+")


class SearchPatterns(NamedTuple):
    """Patterns in RE2 syntax: a text matches all of `all_of` and none of `none_of`.

    Attributes:
        word: an ASCII word that every matching text contains in some letter case, unless `has_latin_variants`; "" if there is none
        characters: every matching text contains one character of each
    """

    all_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()
    word: str = ""
    characters: tuple[str, ...] = ()


def search_patterns(words: str) -> SearchPatterns:
    """The patterns of a query. Text beyond MAX_CHARS, terms beyond MAX_TERMS and terms without letters or digits are ignored."""
    all_of: list[str] = []
    none_of: list[str] = []
    required: list[str] = []
    for term in _TERM.finditer(_SPACED_INITIALS.sub(_without_blanks, tidy(words))):
        phrase = term["phrase"]
        text = phrase or term["word"] or ""
        found = pattern(text, whole=phrase is not None)
        if found and len(all_of) + len(none_of) < MAX_TERMS:
            (none_of if term["minus"] else all_of).append(found)
            required += [] if term["minus"] else [fold(text)]
    word = max((word for text in required for word in _ASCII_WORD.findall(text)), key=len, default="")
    run = max((run for text in required for run in _CHINESE_RUN.findall(text)), key=len, default="")
    word, run = ("", run) if len(word) <= 3 * len(run) else (word, "")
    return SearchPatterns(tuple(dict.fromkeys(all_of)), tuple(dict.fromkeys(none_of)), word, _characters(run))


def _without_blanks(initials: re.Match[str]) -> str:
    return initials[0].replace(" ", "")


def _characters(run: str) -> tuple[str, ...]:
    """Up to MAX_CHARACTERS different characters of the run, each with its variants; those with the fewest first."""
    found = [char + variants().get(char, "") for char in dict.fromkeys(run)]
    return tuple(sorted(found, key=len)[:MAX_CHARACTERS])


def tidy(words: str) -> str:
    """The query on one line without invisible and control characters and lone surrogates, cut at MAX_CHARS."""
    shown = (char for char in words[: 2 * MAX_CHARS] if fold_character(char))
    return " ".join("".join(char if char.isprintable() else " " for char in shown).split())[:MAX_CHARS]


def pattern(term: str, *, whole: bool) -> str:
    """The pattern of one term in all its spellings; "" for a term of ASCII punctuation only.

    Args:
        whole: whether the last word must end with the term. Words are those of scripts with blanks between words.
    """
    forms = [form for form in spellings(term) if any(char.isalnum() or not char.isascii() for char in form)]
    return f"(?:{'|'.join(_form(form, whole=whole) for form in forms)})" if forms else ""


class _Classes(NamedTuple):
    """Parts of patterns for text that is not folded: insides of character classes, and what may stand between two characters.

    Attributes:
        first, last: characters whose folded form starts, ends with a letter
        joinable: characters beside which a hyphen is a blank
        no_initial: characters that are folded to digits, other letters than a to z, or several letters
    """

    ignored: str
    blank: str
    joiner: str
    dot: str
    first: str
    last: str
    joinable: str
    no_initial: str

    @property
    def gap(self) -> str:
        """Invisible characters."""
        return f"[{self.ignored}]*"

    @property
    def dots(self) -> str:
        """Dots, or none."""
        return f"[{self.dot}{self.ignored}]*"


@cache
def _classes() -> _Classes:
    folded = {char: form for form, chars in variants().items() for char in chars}
    every = {chr(code): chr(code) for code in range(0x2000)} | folded
    joinable = [char for char, form in every.items() if form and _JOINABLE.match(form)]
    return _Classes(
        ignored=ranges(variants()[""]),
        blank=ranges(" " + variants()[" "]),
        joiner=ranges("-·" + variants()["-"] + variants()["·"]),
        dot=ranges("." + variants()["."]),
        first=ranges(char for char, form in every.items() if form and _LETTER.match(form)),
        last=ranges(char for char, form in every.items() if form and _LETTER.match(form[-1])),
        no_initial=ranges(char for char, form in every.items() if _LETTER.match(form) and not re.fullmatch("[a-z]", form)),
        joinable=ranges(joinable) + CHINESE + "\uac00-\ud7a3",
    )


def _form(form: str, *, whole: bool) -> str:
    """The pattern of a folded text."""
    words = _INITIALS.finditer(form) if len(form) <= MAX_INITIALS_CHARS else ()
    initials = {word.start(): word for word in words if word[0] not in WORDS_OF_INITIALS}
    found, at = [], 0
    while at < len(form):
        word = initials.get(at)
        if word is not None:
            end = word.end()
            found.append(_initials(form, at, end, whole=whole))
        else:
            end = next((start for start in initials if start > at), len(form))
            end -= form[end - 1] == " "
            found.append(_before(form[:2]) if at == 0 else "")
            found.append(_characters_of(form[at:end]))
            found.append(_between(form, end) if end < len(form) else _after(form[-2:]) if whole or form[-1] in "-·" else "")
        at = end + (form[end : end + 1] == " ")
    return "".join(found)


def _initials(form: str, start: int, end: int, *, whole: bool) -> str:
    """The pattern of a word that may be written as initials, with what may stand before and after it.

    JP      J.P.      J. P.     the first only where the word has no dots itself
    """
    classes, word = _classes(), form[start:end]
    letters = [_character(letter) for letter in word if letter != "."]
    dot = f"{classes.gap}[{classes.dot}]"
    close = f"{dot}{classes.gap}".join(letters)
    wide = f"{dot}{classes.gap}[{classes.blank}][{classes.blank}{classes.ignored}]*".join(letters) + dot
    before, stop = ("", "") if start else (_before("a"), f"(?:^|[^{classes.last}{classes.ignored}{classes.dot}]){classes.gap}")
    if end < len(form):
        after = _between(form, end)
        ends = f"(?:(?:{dot})+{classes.gap}(?:{after})?|{after})" if _is_blank_before_letter(form, end) else f"{classes.dots}{after}"
    elif whole:
        after = _after("a")
        end_of_word = f"$|[^{classes.first}{classes.ignored}{classes.dot}]"
        next_word = f"[{classes.first}]{classes.gap}[{classes.first}]|[{classes.no_initial}]"
        ends = f"(?:{classes.gap}(?:{end_of_word})|(?:{dot})+{classes.gap}(?:{end_of_word}|{next_word}))"
    else:
        after = ends = ""
    plain = "" if "." in word else f"{before}{_characters_of(word)}{after}|"
    return f"(?:{plain}{stop}(?:{close}|{wide}){ends})"


def _is_blank_before_letter(form: str, at: int) -> bool:
    return form[at] == " " and _LETTER.match(form, at + 1) is not None


def _before(form: str) -> str:
    """What stands before a folded text with these first characters: no letter of the same word."""
    classes = _classes()
    if _LETTER.match(form):
        return f"(?:^|[^{classes.last}{classes.ignored}]){classes.gap}"
    if form[0] in "-·" and _JOINABLE.match(form, 1):
        return f"(?:^|[^{classes.joinable}{classes.ignored}]){classes.gap}"
    return ""


def _after(form: str) -> str:
    """What stands after a folded text with these last characters: no letter of the same word."""
    classes = _classes()
    if _LETTER.match(form[-1]):
        return f"{classes.gap}(?:$|[^{classes.first}{classes.ignored}])"
    if form[-1] in "-·" and _JOINABLE.match(form[0]):
        return f"{classes.gap}(?:$|[^{classes.joinable}{classes.ignored}])"
    return ""


def _characters_of(form: str) -> str:
    """The pattern of folded characters and of what may stand between them."""
    found, at = [], 0
    while at < len(form):
        end = _end_of_ligatures(form, at)
        found.append(_character(form[at]) if end == at + 1 else f"(?:{'|'.join(_segmentations(form[at:end]))})")
        if end < len(form):
            found.append(_between(form, end))
        at = end + (form[end : end + 1] == " ")
    return "".join(found)


def _end_of_ligatures(form: str, start: int) -> int:
    """The end of the shortest part from `start` that no ligature crosses."""
    end, at = start + 1, start
    while at < end:
        end = max([end, *(at + len(each) for each in _ligatures().get(form[at], ()) if form.startswith(each, at))])
        at += 1
    return end if end - start <= MAX_LIGATURES_CHARS else start + 1


def _segmentations(part: str) -> list[str]:
    """The patterns of all ways to write a part with and without ligatures."""
    if not part:
        return [""]
    classes = _classes()
    first = [part[0], *(each for each in _ligatures().get(part[0], ()) if part.startswith(each))]
    return [
        (f"[{ranges(variants()[each])}]" if len(each) > 1 else _character(each)) + (classes.gap if rest else "") + rest
        for each in first
        for rest in _segmentations(part[len(each) :])
    ]


@cache
def _ligatures() -> dict[str, tuple[str, ...]]:
    """Folded forms of several characters of which there is one character, by their first character."""
    found: dict[str, tuple[str, ...]] = {}
    for form in variants():
        if len(form) > 1:
            found[form[0]] = (*found.get(form[0], ()), form)
    return found


def _between(form: str, at: int) -> str:
    """What may stand between the characters before and from `at`, where a blank may be."""
    classes = _classes()
    blank = form[at] == " "
    one, other = form[at - 1], form[at + blank]
    blanks = f"[{classes.blank}{classes.ignored}]*"
    joiner = f"[{classes.joiner}]{classes.gap}" if _JOINABLE.match(one) and _JOINABLE.match(other) else ""
    if blank:
        return classes.gap + (f"(?:[{classes.blank}]{blanks}|{joiner})" if joiner else f"[{classes.blank}]{blanks}")
    if not (_CHINESE.match(one) or _CHINESE.match(other)) or one in "-·" or other in "-·":
        return classes.gap
    return f"(?:{blanks}|{classes.gap}{joiner})" if joiner else blanks


def _character(char: str) -> str:
    return f"[{ranges(char + variants().get(char, ''))}]"
