"""Custom bots of Feishu and Lark, as rich text. Its texts are never parsed as markup. Pure.

Source: https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot (20 KB per request; 100 requests a minute and 5 a second,
else error 11232; a bot with keywords refuses messages without one: error 19024).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from core.records import Alert
from stream.delivery.formats.base import JSON, Bundle, Format, FormatOptions, Limit, Message, error_code_parser
from stream.delivery.formats.group_text import MessageText, bot_footer, render_for_bot
from stream.delivery.formats.splitting import Paragraph, pack
from stream.delivery.signing import feishu_sign

MAX_BYTES = 20_000
_LOCALES = {"en": "en_us", "zh": "zh_cn"}


def messages(payload: Alert | Bundle, options: FormatOptions, at: datetime) -> list[Message]:
    """One message, or several with a page number in the title; signed when the bot has a secret."""
    text, timestamp = render_for_bot(payload, options), int(at.timestamp())
    pages = pack(text.paragraphs(), lambda some: len(_body(text, some, " (999/999)", options, timestamp)) <= MAX_BYTES)
    numbers = [f" ({n}/{len(pages)})" if len(pages) > 1 else "" for n in range(1, len(pages) + 1)]
    return [Message(_body(text, page, number, options, timestamp), JSON) for page, number in zip(pages, numbers, strict=True)]


def _body(text: MessageText, paragraphs: Sequence[Paragraph], number: str, options: FormatOptions, timestamp: int) -> bytes:
    body: dict[str, Any] = {}
    if options.secret:
        body = {"timestamp": str(timestamp), "sign": feishu_sign(options.secret, timestamp)}
    post = {"title": text.headline + number, "content": [[_element(paragraph)] for paragraph in (*paragraphs, bot_footer(options))]}
    return msgspec.json.encode({**body, "msg_type": "post", "content": {"post": {_LOCALES[options.language]: post}}})


def _element(paragraph: Paragraph) -> dict[str, str]:
    if paragraph.url:
        return {"tag": "a", "text": paragraph.text, "href": paragraph.url}
    return {"tag": "text", "text": paragraph.text}


FORMAT = Format("feishu", messages, error_code_parser("Feishu", {11232: 60.0}, 19024), (Limit(5, 1.0), Limit(100, 60.0)), "own")
