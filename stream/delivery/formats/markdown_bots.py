"""The group bots of DingTalk and WeCom, in Markdown. Pure.

Neither dialect of Markdown has an escape character, so a zero-width space neutralises each markup character.

DingTalk: https://open.dingtalk.com/document/robots/custom-robot-access (20,000 bytes per message; 20 messages a minute, and a
    block of ten minutes above that: error 130101; a robot with keywords refuses messages without one: error 310000)
WeCom: https://developer.work.weixin.qq.com/document/path/91770 (4,096 bytes of UTF-8 per message; 20 messages a minute: error 45009)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

import msgspec

from core.records import Alert
from stream.delivery.formats.base import JSON, Bundle, Format, FormatOptions, Limit, Message, error_code_parser
from stream.delivery.formats.group_text import bot_footer, render_for_bot
from stream.delivery.formats.splitting import Paragraph, pack
from stream.delivery.signing import dingtalk_query

DINGTALK_MAX_BYTES = 20_000
WECOM_MAX_BYTES = 4_096
ZERO_WIDTH_SPACE = "\u200b"
_MARKUP = re.compile(r"[\]<*`#]")
"""Characters of links, images, mentions (<@somebody>), HTML, bold, code and headings."""
_BRACKETS = str.maketrans("[]", "［］")
"""A bracket would end the text of a link."""


def dingtalk_messages(payload: Alert | Bundle, options: FormatOptions, at: datetime) -> list[Message]:
    """One message, or several with a page number in the title; signed in the query when the bot has a secret."""
    text, footer = render_for_bot(payload, options), bot_footer(options)
    query = dingtalk_query(options.secret, int(at.timestamp() * 1000)) if options.secret else ""

    def body(paragraphs: Sequence[Paragraph], number: str) -> bytes:
        content = "\n\n".join([f"### {_escape(text.headline)}{number}", *map(_markdown, (*paragraphs, footer))])
        return msgspec.json.encode({"msgtype": "markdown", "markdown": {"title": text.title + number, "text": content}})

    pages = pack(text.paragraphs(), lambda some: len(body(some, " (999/999)")) <= DINGTALK_MAX_BYTES)
    return [Message(body(page, number), JSON, query) for page, number in _numbered(pages)]


def wecom_messages(payload: Alert | Bundle, options: FormatOptions, _at: datetime) -> list[Message]:
    """One message, or several with a page number in the title."""
    text, footer = render_for_bot(payload, options), bot_footer(options)

    def content(paragraphs: Sequence[Paragraph], number: str) -> str:
        return "\n".join([f"**{_escape(text.headline)}{number}**", *map(_markdown, (*paragraphs, footer))])

    pages = pack(text.paragraphs(), lambda some: len(content(some, " (999/999)").encode()) <= WECOM_MAX_BYTES)
    bodies = [{"msgtype": "markdown", "markdown": {"content": content(page, number)}} for page, number in _numbered(pages)]
    return [Message(msgspec.json.encode(body), JSON) for body in bodies]


def _numbered(pages: Sequence[list[Paragraph]]) -> list[tuple[list[Paragraph], str]]:
    return [(page, f" ({n}/{len(pages)})" if len(pages) > 1 else "") for n, page in enumerate(pages, 1)]


def _escape(text: str) -> str:
    """The text, so that no part of it is parsed as markup."""
    return _MARKUP.sub(lambda found: found[0] + ZERO_WIDTH_SPACE, text)


def _markdown(paragraph: Paragraph) -> str:
    return f"[{_escape(paragraph.text.translate(_BRACKETS))}]({paragraph.url})" if paragraph.url else _escape(paragraph.text)


DINGTALK = Format("dingtalk", dingtalk_messages, error_code_parser("DingTalk", {130101: 600.0}, 310000), (Limit(20, 60.0),), "own")
WECOM = Format("wecom", wecom_messages, error_code_parser("WeCom", {45009: 60.0}), (Limit(20, 60.0),))
