"""Slack's incoming webhooks, in blocks. Pure.

Sources: https://docs.slack.dev/reference/block-kit/blocks (50 blocks, 3,000 characters a section, 150 a header),
https://docs.slack.dev/messaging/formatting-message-text (what to escape). That all blocks together may hold about 13,000 characters is
written nowhere but in what Slack answers (msg_blocks_too_long; https://github.com/slackapi/bolt-js/issues/2509).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from core.records import Alert
from stream.delivery.formats.base import JSON, Bundle, Format, Message, Options, Verdict
from stream.delivery.formats.group_text import words_of
from stream.delivery.formats.splitting import Piece, packed

MAX_BLOCKS = 50
MAX_SECTION_CHARS = 3_000
MAX_HEADER_CHARS = 150
MAX_CHARS = 12_000


def escaped(text: str) -> str:
    """Slack's three characters, and only they: &, < and >."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def messages(sent: Alert | Bundle, options: Options, _at: datetime) -> list[Message]:
    """One message, or several with the headline and a number on each."""
    reading = words_of(sent, options)
    sections = ["\n".join(map(_line, part)) for part in packed(reading.pieces(), _fits_section)]
    room = MAX_CHARS - 2 * _length(escaped(reading.headline)) - 40
    pages: list[list[str]] = [[]]
    for section in sections:
        if pages[-1] and (len(pages[-1]) >= MAX_BLOCKS - 1 or sum(map(_length, pages[-1])) + _length(section) > room):
            pages.append([])
        pages[-1].append(section)
    return [_message(reading.headline, page, f" ({n}/{len(pages)})" if len(pages) > 1 else "") for n, page in enumerate(pages, 1)]


def _message(headline: str, sections: Sequence[str], number: str) -> Message:
    top = headline + number
    head: dict[str, Any] = {"type": "section", "text": _text(f"*{escaped(top)}*")}
    if _length(top) <= MAX_HEADER_CHARS:
        head = {"type": "header", "text": {"type": "plain_text", "text": top, "emoji": False}}
    blocks = [head, *({"type": "section", "text": _text(section)} for section in sections)]
    return Message(msgspec.json.encode({"text": escaped(top), "blocks": blocks}), JSON)


def _text(text: str) -> dict[str, Any]:
    """verbatim: Slack makes no links of what looks like an address or a channel."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _line(piece: Piece) -> str:
    return f"<{escaped(piece.url)}|{escaped(piece.text)}>" if piece.url else escaped(piece.text)


def _fits_section(pieces: Sequence[Piece]) -> bool:
    return _length("\n".join(map(_line, pieces))) <= MAX_SECTION_CHARS


def _length(text: str) -> int:
    """As JavaScript counts, which is never less than what people count: an emoji is two."""
    return len(text.encode("utf-16-le")) // 2


def verdict(status: int, body: bytes) -> Verdict:
    """Slack says in a word what it did not like, such as invalid_blocks."""
    if 200 <= status < 300:
        return Verdict("")
    word = " ".join(body[:100].decode("utf-8", "replace").split())
    return Verdict(f"HTTP {status}: {word}" if word else f"HTTP {status}")


FORMAT = Format("slack", messages, verdict)
