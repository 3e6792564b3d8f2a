"""Text and links from the web are data: what may be shown, followed and exported, and in which form."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""A cell that begins so is run by a spreadsheet; the full-width ones too, in Chinese and Japanese ones. Source: OWASP, CSV Injection."""

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
"""Controls, and the marks that turn the direction of writing: with them a title can pose as another."""


def plain(text: str, limit: int = 300) -> str:
    """One line of readable text, at most `limit` characters: no controls, no marks of direction, no lone surrogates."""
    words = " ".join(text.encode("utf-8", "replace").decode().translate(_INVISIBLE).split())
    return words if len(words) <= limit else words[: limit - 1] + "…"


def body(text: str) -> str:
    """Text of several lines, character for character: places in it stay places. Controls are blanks, lone surrogates question marks."""
    return text.encode("utf-8", "replace").decode().translate({**_INVISIBLE, 0x0A: "\n"})


def safe_url(url: str) -> str:
    """The address if it is http or https with a host and can be followed safely, else ""."""
    if not url or len(url) > 4_000 or any(ord(char) <= 0x20 or ord(char) == 0x7F or char in "\\<>\"'`" for char in url):
        return ""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return ""
    return url if parts.scheme.lower() in ("http", "https") and host and not (parts.username or parts.password) else ""


def csv_cell(value: object) -> str:
    """A cell that a spreadsheet reads as text: one that looks like a formula gets an apostrophe in front."""
    if isinstance(value, int | float):
        return str(value)
    text = str(value)
    return "'" + text if text.lstrip(" \u3000").startswith(_FORMULA) or text.startswith(_FORMULA) else text


def to_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A CSV file in UTF-8 with the mark that lets Excel read Chinese."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow([csv_cell(name) for name in header])
    writer.writerows([csv_cell(value) for value in row] for row in rows)
    return out.getvalue().encode("utf-8-sig", "replace")
