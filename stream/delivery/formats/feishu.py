"""Feishu's custom bots (Lark's too), in rich text, whose texts are data and never markup. Pure.

Source: https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot (20 KB a request, 100 requests a minute and 5 a second,
error 11232 when it is too many).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from core.records import Alert
from stream.delivery.formats.base import JSON, Bundle, Format, Limit, Message, Options, coded
from stream.delivery.formats.group_text import Text, words_of
from stream.delivery.formats.splitting import Piece, packed
from stream.delivery.signing import feishu_sign

MAX_BYTES = 20_000
_LOCALES = {"en": "en_us", "zh": "zh_cn"}


def messages(sent: Alert | Bundle, options: Options, at: datetime) -> list[Message]:
    """One message, or several with the headline and a number on each; signed when the bot has a secret."""
    reading, timestamp = words_of(sent, options), int(at.timestamp())
    pages = packed(reading.pieces(), lambda pieces: len(_body(reading, pieces, " (999/999)", options, timestamp)) <= MAX_BYTES)
    numbers = [f" ({n}/{len(pages)})" if len(pages) > 1 else "" for n in range(1, len(pages) + 1)]
    return [Message(_body(reading, page, number, options, timestamp), JSON) for page, number in zip(pages, numbers, strict=True)]


def _body(reading: Text, pieces: Sequence[Piece], number: str, options: Options, timestamp: int) -> bytes:
    body: dict[str, Any] = {}
    if options.secret:
        body = {"timestamp": str(timestamp), "sign": feishu_sign(options.secret, timestamp)}
    post = {"title": reading.headline + number, "content": [[_element(piece)] for piece in pieces]}
    return msgspec.json.encode({**body, "msg_type": "post", "content": {"post": {_LOCALES[options.language]: post}}})


def _element(piece: Piece) -> dict[str, str]:
    return {"tag": "a", "text": piece.text, "href": piece.url} if piece.url else {"tag": "text", "text": piece.text}


FORMAT = Format("feishu", messages, coded("Feishu", {11232: 60.0}), (Limit(5, 1.0), Limit(100, 60.0)), "own")
