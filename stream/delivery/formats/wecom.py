"""WeCom's group robots, in Markdown. Pure.

Source: https://developer.work.weixin.qq.com/document/path/91770 (4,096 bytes of UTF-8 a message, 20 messages a minute, error 45009 when
it is too many).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from core.records import Alert
from stream.delivery.formats.base import JSON, Bundle, Format, Limit, Message, Options, coded
from stream.delivery.formats.group_text import words_of
from stream.delivery.formats.markdown import paragraph, plain
from stream.delivery.formats.splitting import Piece, packed

MAX_BYTES = 4_096


def messages(sent: Alert | Bundle, options: Options, _at: datetime) -> list[Message]:
    """One message, or several with the headline and a number on each."""
    reading = words_of(sent, options)
    pages = packed(reading.pieces(), lambda pieces: len(_content(reading.headline, pieces, " (999/999)").encode()) <= MAX_BYTES)
    numbers = [f" ({n}/{len(pages)})" if len(pages) > 1 else "" for n in range(1, len(pages) + 1)]
    contents = [_content(reading.headline, page, number) for page, number in zip(pages, numbers, strict=True)]
    return [Message(msgspec.json.encode({"msgtype": "markdown", "markdown": {"content": content}}), JSON) for content in contents]


def _content(headline: str, pieces: Sequence[Piece], number: str) -> str:
    return "\n".join([f"**{plain(headline)}{number}**", *map(paragraph, pieces)])


FORMAT = Format("wecom", messages, coded("WeCom", {45009: 60.0}), (Limit(20, 60.0),))
