"""Names of months and weekdays in many languages, from the Unicode locale data that Babel ships."""

from __future__ import annotations

import unicodedata
from functools import cache

from core.untrusted_text import normalize

_ENGLISH = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_ENGLISH_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_LANGUAGES = ("fr", "de", "es", "it", "pt", "nl", "sv", "da", "nb", "fi", "pl", "cs", "ru", "uk", "tr", "id", "ro", "hu", "el", "vi", "ar")
_HAN_DAYS = {char: number for number, chars in enumerate(("一", "二", "三", "四", "五", "六", "日天")) for char in chars}

FILLERS = frozenset(
    (
        "de",
        "del",
        "of",
        "the",
        "den",
        "der",
        "le",
        "el",
        "la",
        "il",
        "am",
        "om",
        "on",
        "d",
        "г",
        "года",
        "р",
        "року",
        "à",
        "um",
        "at",
        "kl",
        "roku",
    )
)
"""Words in dates that say nothing."""
ORDINALS = frozenset(("st", "nd", "rd", "th", "er", "e", "eme", "ème", "º", "ª", "o", "a"))
"""What follows a number that is counted: "3rd", "1er"."""


def month_of(word: str) -> int | None:
    """The month, 1 to 12; None for another word, and for one that names different months in different languages."""
    word = _plain(word)
    found = _english(word, _ENGLISH)
    return found + 1 if found is not None else (None if word.isascii() and len(word) < 3 else _months_abroad().get(word))


def weekday_of(text: str) -> int | None:
    """The weekday, 0 for Monday, of a text that is nothing else; None otherwise. English and Chinese only."""
    text = text.strip(" ().,").removeprefix("last ").removeprefix("on ").strip()
    text = text.removeprefix("上个").removeprefix("上")
    for prefix in ("星期", "周", "週", "礼拜", "禮拜"):
        if text.startswith(prefix) and len(text) == len(prefix) + 1:
            return _HAN_DAYS.get(text[-1])
    return _english(text, _ENGLISH_DAYS)


def is_weekday(word: str) -> bool:
    """Whether the word names a weekday in some language."""
    word = _plain(word)
    return _english(word, _ENGLISH_DAYS) is not None or word in _days_abroad()


def _english(word: str, names: tuple[str, ...]) -> int | None:
    """The name that the word abbreviates to three or more letters."""
    if len(word) < 3:
        return None
    return next((number for number, name in enumerate(names) if name.startswith(word)), None)


def _plain(word: str) -> str:
    """Without case, accents and full stops: sources leave accents out."""
    word = word.strip(".").casefold()
    if word.isascii():
        return word
    return "".join(char for char in normalize("NFD", word) if not unicodedata.combining(char))


@cache
def _months_abroad() -> dict[str, int]:
    from babel.dates import get_month_names

    found: dict[str, set[int]] = {}
    for language in _LANGUAGES:
        for width in ("wide", "abbreviated"):
            for context in ("format", "stand-alone"):
                for number, name in get_month_names(width, context, language).items():
                    if (word := _plain(name)).isalpha():
                        found.setdefault(word, set()).add(int(number))
    found |= {"maerz": {3}, "mrz": {3}, "aout": {8}, "sept": {9}, "set": {9}, "dez": {12}, "okt": {10}}
    return {word: numbers.pop() for word, numbers in found.items() if len(numbers) == 1}


@cache
def _days_abroad() -> frozenset[str]:
    from babel.dates import get_day_names

    names = (
        name
        for language in _LANGUAGES
        for width in ("wide", "abbreviated")
        for context in ("format", "stand-alone")
        for name in get_day_names(width, context, language).values()
    )
    return frozenset(word for word in (part for name in names for part in _plain(name).split("-")) if len(word) >= 2 and word.isalpha())
