"""Sanitising of text and links from the web for display, links and CSV export."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
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
