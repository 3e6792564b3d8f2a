"""Fold the spelling of a text: full width to half width and traditional to simplified characters, one for one.

    ６００５１９．ＳＨ ─▶ 600519.SH;  台積電 ─▶ 台积电

The folded text has the same length, so that positions in it are positions in the text; `core.text_folding`, for search, folds more.
"""

from __future__ import annotations

import re

from core.text_folding import simplified_characters

_MARKS = "＄＆．－＿／"
_SPACES = "\u3000\u00a0\u2009"
WIDTH = {code: code - 0xFEE0 for code in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B), *map(ord, _MARKS))}
WIDTH |= dict.fromkeys(map(ord, _SPACES), 0x20)
"""Code point of each full-width letter, digit or mark within a code, and of each special space -> its plain form. Full-width punctuation
is usual in Chinese texts, and is kept."""


_TABLE = WIDTH | {code: ord(char) for code, char in simplified_characters().items()}
_ANY = re.compile("[" + "".join(map(re.escape, map(chr, sorted(_TABLE)))) + "]")


def fold(text: str) -> str:
    """`text` in half width and simplified characters. It keeps its length and its case."""
    return text.translate(_TABLE) if _ANY.search(text) else text


def lower(text: str) -> str:
    """`text` in lower case. It keeps its length: letters that become longer, such as "İ", are kept."""
    low = text.lower()
    return low if len(low) == len(text) else "".join(char.lower() if len(char.lower()) == 1 else char for char in text)
