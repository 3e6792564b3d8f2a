"""The canonical form of a text, so that a prediction does not depend on how the text is written.

    full width ─▶ half;  traditional ─▶ simplified;  一 个 一 个 ─▶ 一个一个;  ALL CAPITALS ─▶ Sentence case;
    emoji and ticker symbols, "(600000.SH)" or "(NYSE: ABC)", are removed

Training and inference both use `model_text`.
"""

from __future__ import annotations

import re
from functools import cache

from core.text_folding import simplified_characters
from core.untrusted_text import normalize
from models.inference.boilerplate import CleanedText, clean, remove_boilerplate
from models.inference.encoding import compose
from models.inference.repeats import NO_REPEATS, Repeats

TRADITIONAL_SHARE = 0.04
"""Minimum share of traditional characters among the Chinese characters of a traditional text."""
SPACED_SHARE = 0.8
"""Minimum share of characters followed by a space in a spaced text, whose spaces are removed."""
CAPITALS_SHARE = 0.8
"""Minimum share of capitals among the Latin letters of a text in capitals."""
MIN_CAPITALS_LETTERS = 12
"""Minimum Latin letters of a text in capitals; a shorter one may be an abbreviation."""

_WIDE = re.compile(r"[Ａ-Ｚａ-ｚ０-９]")
_SPACED = re.compile(r"(?:[一-鿿，。！？：；、“”] ){3,}[一-鿿，。！？]")
_EMOJI = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\u203c\u2049\u2190-\u21ff\ufe0f\u200d\u231a-\u23ff]+")
_TICKER = re.compile(
    r"\s?[（(]\s?(?:[A-Z]{1,6}\s?[:：]\s?[A-Z0-9.\-]{1,8}|\*?\d{4,6}(?:\s?[.．]\s?[A-Z]{1,3})?|[A-Z]{1,5}\.(?:US|HK|N|O|L|OQ|SH|SZ|BJ))\s?[）)]"
)
_CHINESE = re.compile(r"[一-鿿]")
_LATIN = re.compile(r"[A-Za-z]")
_WHITE_SPACE = re.compile(r"\s+")


def model_text(title: str, text: str, repeats: Repeats = NO_REPEATS) -> str:
    """The text of an article that the model reads: title and text joined, without boilerplate, in canonical form.

    Args:
        title: title of the article, or "".
        text: text of the article, or "".
        repeats: boilerplate of its source.
    """
    parts = clean(_plain(title), _plain(text), repeats)
    return canonical(compose(parts.title, parts.text))


def without_patterns(title: str, text: str) -> CleanedText:
    """An article as its source's repeats are learned from it: plain characters, without the boilerplate that patterns recognise."""
    return remove_boilerplate(_plain(title), _plain(text))


def canonical(text: str) -> str:
    """`text` in canonical form; unchanged if nothing would remain."""
    found = _plain(text)
    found = _EMOJI.sub(" ", found)
    found = _TICKER.sub("", found)
    if " " in found:
        found = _SPACED.sub(lambda match: match[0].replace(" ", ""), found)
    found = _sentence_case(found)
    return _WHITE_SPACE.sub(" ", found).strip() or text.strip()


def _plain(text: str) -> str:
    """`text` with half-width letters and digits, without spaces between characters, and in simplified characters."""
    return _simplified(_unspaced(normalize("NFKC", text) if _WIDE.search(text) else text))


def _unspaced(text: str) -> str:
    """`text` without the space after each character, if there is one after almost every one."""
    if 2 * text.count(" ") < SPACED_SHARE * len(text) or not _CHINESE.search(text):
        return text
    return " ".join(part.replace(" ", "") for part in text.split("   "))


def _sentence_case(text: str) -> str:
    """`text` in sentence case, if it is in capitals."""
    letters = _LATIN.findall(text)
    if len(letters) < MIN_CAPITALS_LETTERS or sum(letter.isupper() for letter in letters) < CAPITALS_SHARE * len(letters):
        return text
    if len(_CHINESE.findall(text)) > len(letters):  # "ETF" and the like in Chinese text
        return text
    lower = text.lower()
    return lower[:1].upper() + lower[1:]


def _simplified(text: str) -> str:
    """`text` in simplified characters, if it is in traditional ones."""
    found = len(_traditional().findall(text))
    if not found or found < TRADITIONAL_SHARE * len(_CHINESE.findall(text)):
        return text
    return text.translate(simplified_characters())


@cache
def _traditional() -> re.Pattern[str]:
    """Pattern of a character that occurs in traditional texts only."""
    return re.compile("[" + "".join(map(chr, simplified_characters())) + "]")
