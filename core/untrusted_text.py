"""Sanitising of text and links from the web: Unicode normalisation, display, links and CSV export."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Literal
from urllib.parse import urlsplit

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""Spreadsheets evaluate cells that begin with these; the full-width ones in Chinese and Japanese versions (OWASP, CSV Injection)."""

_INVISIBLE = dict.fromkeys(
    [
        *range(0x20),
        0x7F,
        *range(0x80, 0xA0),
        0x200B,
        0x2060,
        0xFEFF,
        0x061C,
        0x200E,
        0x200F,
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
    ],
    " ",
)
"""Control characters and bidirectional formatting, with which a title can imitate another one."""


MAX_MARKS = 30
"""Most combining marks in a row, as in Stream-Safe Text (UAX 15, section 13); no language writes as many."""
_END_OF_MARKS = 0x20000
"""No combining mark has this code point or a higher one."""


@cache
def _marks() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Patterns of a character that decomposes to combining marks, and of more than MAX_MARKS of them, of which group 1 is kept."""
    codes = [code for code in range(0x300, _END_OF_MARKS) if unicodedata.combining(unicodedata.normalize("NFKD", chr(code))[0])]
    mark = f"[{''.join(map(chr, codes))}]"
    return re.compile(mark), re.compile(f"({mark}{{{MAX_MARKS}}}){mark}+")


def is_mark(char: str) -> bool:
    """Whether a character is a combining mark, or decomposes to combining marks."""
    return _marks()[0].match(char) is not None


def without_excess_marks(text: str) -> str:
    """The text with at most MAX_MARKS combining marks in a row."""
    mark, excess = _marks()
    if not mark.search(text[:: MAX_MARKS + 1]):  # one of any MAX_MARKS + 1 characters in a row
        return text
    return excess.sub(r"\1", text)


def normalize(form: Literal["NFC", "NFD", "NFKC", "NFKD"], text: str) -> str:
    """The text in a normalization form of Unicode, in a time proportional to its length.

    Combining marks beyond MAX_MARKS in a row are dropped: sorting a longer run takes a time proportional to its square, during which
    no other thread runs. The only caller of `unicodedata.normalize`.
    """
    return text if text.isascii() else unicodedata.normalize(form, without_excess_marks(text))


def plain(text: str, limit: int = 300) -> str:
    """One line of at most `limit` characters, without control characters, bidirectional formatting and lone surrogates."""
    words = " ".join(text.encode("utf-8", "replace").decode().translate(_INVISIBLE).split())
    return words if len(words) <= limit else words[: limit - 1] + "…"


def body(text: str) -> str:
    """Text of several lines with unchanged character offsets: control characters become blanks, lone surrogates question marks."""
    return text.encode("utf-8", "replace").decode().translate({**_INVISIBLE, 0x0A: "\n"})


def safe_url(url: str) -> str:
    """The URL if it is http or https with a host, without credentials and unsafe characters, else ""."""
    if not url or len(url) > 4_000 or any(ord(char) <= 0x20 or ord(char) == 0x7F or char in "\\<>\"'`" for char in url):
        return ""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return ""
    return url if parts.scheme.lower() in ("http", "https") and host and not (parts.username or parts.password) else ""


def local_path(text: str) -> str:
    """A path of this server to redirect to after a login, "/" for anything else. Browsers read a backslash as a slash."""
    unsafe = any(ord(char) < 0x20 or char == "\\" for char in text)
    return text if text.startswith("/") and not unsafe and not text.startswith(("//", "/login", "/logout")) else "/"


def csv_cell(value: object) -> str:
    """A CSV cell that spreadsheets read as text: formulas are prefixed with an apostrophe."""
    if isinstance(value, int | float):
        return str(value)
    text = str(value)
    return "'" + text if text.lstrip(" \u3000").startswith(_FORMULA) or text.startswith(_FORMULA) else text


def to_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A CSV file in UTF-8 with a byte order mark, which Excel needs for Chinese."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow([csv_cell(name) for name in header])
    writer.writerows([csv_cell(value) for value in row] for row in rows)
    return out.getvalue().encode("utf-8-sig", "replace")
