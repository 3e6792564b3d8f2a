"""Alerts as a letter: text and HTML, in the endpoint's language. Pure. Sources: RFC 5322 (form), RFC 3834 (sent by a machine)."""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import datetime
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from core.records import Alert
from stream.delivery.formats.alert_text import Reading
from stream.delivery.formats.base import Bundle, Format, Message, Options
from stream.delivery.formats.group_text import Together, words_of
from stream.delivery.formats.splitting import Piece
from stream.delivery.signing import message_id

_STYLE = "font-family:sans-serif;line-height:1.5"


def messages(sent: Alert | Bundle, options: Options, at: datetime) -> list[Message]:
    """One letter. Its Message-ID is the same at every attempt, so that a mailbox can tell what it has seen."""
    words = words_of(sent, options)
    letter = EmailMessage(policy=SMTP)
    letter["From"] = address_of(options.sender)
    letter["To"] = [address_of(each) for each in options.recipients]
    letter["Subject"] = words.headline
    letter["Date"] = at
    letter["Message-ID"] = f"<{message_id(sent)}@{address_of(options.sender).domain}>"
    letter["Auto-Submitted"] = "auto-generated"
    letter["Content-Language"] = options.language
    pieces, body = (words.pieces(), _body(words)) if isinstance(words, Reading) else (_all(words), _sections(words))
    letter.set_content(_text(words.headline, pieces), cte="base64")
    letter.add_alternative(_html(words.headline, body, options.language), subtype="html", cte="base64")
    return [Message(letter.as_bytes(), {})]


def address_of(written: str) -> Address:
    """The name and address in "Risk desk <desk@example.com>" or "desk@example.com". Raises ValueError for what is neither."""
    name, _, spec = written.rpartition("<")
    if not written.isprintable():
        raise ValueError("a line end, or another control, in an address")
    try:
        return Address(display_name=name.strip().strip('"'), addr_spec=spec.strip().removesuffix(">"))
    except (HeaderParseError, IndexError) as error:
        raise ValueError(str(error)) from error


def _text(headline: str, pieces: Sequence[Piece]) -> str:
    lines = [f"{piece.text}\n  {piece.url}" if piece.url else piece.text for piece in pieces]
    return "\n".join([headline, "", *lines, ""])


def _html(headline: str, body: str, language: str) -> str:
    return (
        f'<!DOCTYPE html><html lang="{language}"><head><meta charset="utf-8"></head><body style="{_STYLE}">'
        f"<h2>{html.escape(headline)}</h2>{body}</body></html>"
    )


def _body(reading: Reading) -> str:
    rows = "".join(f"<tr><th align=left>{html.escape(fact.name)}</th><td>{html.escape(fact.value)}</td></tr>" for fact in reading.facts)
    return (
        "".join(f"<p>{html.escape(sentence)}</p>" for sentence in reading.paragraphs())
        + (f"<table>{rows}</table>" if rows else "")
        + (f"<p>{html.escape(reading.words.articles)}</p>{_list(reading.evidence)}" if reading.evidence else "")
        + (f"<p>{_link(Piece(reading.words.open, reading.link))}</p>" if reading.link else "")
    )


def _all(together: Together) -> list[Piece]:
    """Every paragraph of several alerts, with all their articles: a letter has no limit."""
    return [piece for section in together.sections for piece in (section.head, *section.lines, *section.articles)]


def _sections(together: Together) -> str:
    return "".join(
        f"<h3>{_link(section.head)}</h3>" + "".join(f"<p>{_link(piece)}</p>" for piece in section.lines) + _list(section.articles)
        for section in together.sections
    )


def _list(pieces: Sequence[Piece]) -> str:
    return f"<ul>{''.join(f'<li>{_link(piece)}</li>' for piece in pieces)}</ul>" if pieces else ""


def _link(piece: Piece) -> str:
    text = html.escape(piece.text)
    return f'<a href="{html.escape(piece.url)}">{text}</a>' if piece.url else text


FORMAT = Format("email", messages, transport="smtp")
