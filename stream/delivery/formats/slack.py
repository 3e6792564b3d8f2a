"""Slack's incoming webhooks, in Block Kit. Pure.

Sources: https://docs.slack.dev/reference/block-kit/blocks (50 blocks; 3,000 characters per section, 150 per header),
https://docs.slack.dev/messaging/formatting-message-text (escaping). The limit of about 13,000 characters for all blocks together is
documented only by the error msg_blocks_too_long (https://github.com/slackapi/bolt-js/issues/2509).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from core.records import Alert
from stream.delivery.formats.base import JSON, Bundle, Format, FormatOptions, Message, SendResult
from stream.delivery.formats.group_text import render
from stream.delivery.formats.splitting import Paragraph, pack

MAX_BLOCKS = 50
MAX_SECTION_CHARS = 3_000
MAX_HEADER_CHARS = 150
MAX_CHARS = 12_000


def escape(text: str) -> str:
    """Escapes &, < and >, the only characters that Slack asks for."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def messages(payload: Alert | Bundle, options: FormatOptions, _at: datetime) -> list[Message]:
    """One message, or several with a page number in the headline."""
    text = render(payload, options)
    sections = ["\n".join(map(_mrkdwn, part)) for part in pack(text.paragraphs(), _fits_section)]
    max_chars = MAX_CHARS - 2 * _length(escape(text.headline)) - 40
    pages: list[list[str]] = [[]]
    for section in sections:
        if pages[-1] and (len(pages[-1]) >= MAX_BLOCKS - 1 or sum(map(_length, pages[-1])) + _length(section) > max_chars):
            pages.append([])
        pages[-1].append(section)
    return [_message(text.headline, page, f" ({n}/{len(pages)})" if len(pages) > 1 else "") for n, page in enumerate(pages, 1)]


def _message(headline: str, sections: Sequence[str], number: str) -> Message:
    title = headline + number
    head: dict[str, Any] = {"type": "section", "text": _text(f"*{escape(title)}*")}
    if _length(title) <= MAX_HEADER_CHARS:
        head = {"type": "header", "text": {"type": "plain_text", "text": title, "emoji": False}}
    blocks = [head, *({"type": "section", "text": _text(section)} for section in sections)]
    return Message(msgspec.json.encode({"text": escape(title), "blocks": blocks}), JSON)


def _text(text: str) -> dict[str, Any]:
    """verbatim: Slack does not turn addresses and channel names into links."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _mrkdwn(paragraph: Paragraph) -> str:
    return f"<{escape(paragraph.url)}|{escape(paragraph.text)}>" if paragraph.url else escape(paragraph.text)


def _fits_section(paragraphs: Sequence[Paragraph]) -> bool:
    return _length("\n".join(map(_mrkdwn, paragraphs))) <= MAX_SECTION_CHARS


def _length(text: str) -> int:
    """Length in UTF-16 code units, as JavaScript counts; an emoji is two."""
    return len(text.encode("utf-16-le")) // 2


def parse_response(status: int, body: bytes) -> SendResult:
    """Slack answers an error with one word, such as invalid_blocks."""
    if 200 <= status < 300:
        return SendResult(status, "")
    word = " ".join(body[:100].decode("utf-8", "replace").split())
    return SendResult(status, f"HTTP {status}: {word}" if word else f"HTTP {status}")


FORMAT = Format("slack", messages, parse_response)
