"""DingTalk's custom robots, in Markdown. Pure.

Source: https://open.dingtalk.com/document/robots/custom-robot-access (20,000 bytes a message; 20 messages a minute, and ten minutes of
silence for one who sends more: error 130101).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from core.records import Alert
from stream.delivery.formats.base import JSON, Bundle, Format, Limit, Message, Options, coded
from stream.delivery.formats.group_text import Text, words_of
from stream.delivery.formats.markdown import paragraph, plain
from stream.delivery.formats.splitting import Piece, packed
from stream.delivery.signing import dingtalk_query

MAX_BYTES = 20_000


def messages(sent: Alert | Bundle, options: Options, at: datetime) -> list[Message]:
    """One message, or several with the headline and a number on each; signed in the query when the robot has a secret."""
    reading = words_of(sent, options)
    query = dingtalk_query(options.secret, int(at.timestamp() * 1000)) if options.secret else ""
    pages = packed(reading.pieces(), lambda pieces: len(_body(reading, pieces, " (999/999)")) <= MAX_BYTES)
    numbers = [f" ({n}/{len(pages)})" if len(pages) > 1 else "" for n in range(1, len(pages) + 1)]
    return [Message(_body(reading, page, number), JSON, query) for page, number in zip(pages, numbers, strict=True)]


def _body(reading: Text, pieces: Sequence[Piece], number: str) -> bytes:
    text = "\n\n".join([f"### {plain(reading.headline)}{number}", *map(paragraph, pieces)])
    return msgspec.json.encode({"msgtype": "markdown", "markdown": {"title": reading.title + number, "text": text}})


FORMAT = Format("dingtalk", messages, coded("DingTalk", {130101: 600.0}), (Limit(20, 60.0),), "own")
