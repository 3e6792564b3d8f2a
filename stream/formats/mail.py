"""An alert as a letter: text and HTML, in the endpoint's language. Pure. Sources: RFC 5322 (form), RFC 3834 (sent by a machine)."""

from __future__ import annotations

import html
from datetime import datetime
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from spine.records import Alert
from stream.formats.base import Format, Message, Options
from stream.formats.reading import Reading, read
from stream.signing import message_id

_STYLE = "font-family:sans-serif;line-height:1.5"


def messages(alert: Alert, options: Options, at: datetime) -> list[Message]:
    """One letter. Its Message-ID is the same at every attempt, so that a mailbox can tell what it has seen."""
    reading = read(alert, options)
    letter = EmailMessage(policy=SMTP)
    letter["From"] = address_of(options.sender)
    letter["To"] = [address_of(each) for each in options.recipients]
    letter["Subject"] = reading.headline
    letter["Date"] = at
    letter["Message-ID"] = f"<{message_id(alert)}@{address_of(options.sender).domain}>"
    letter["Auto-Submitted"] = "auto-generated"
    letter["Content-Language"] = options.language
    letter.set_content(_text(reading), cte="base64")
    letter.add_alternative(_html(reading, options.language), subtype="html", cte="base64")
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


def _text(reading: Reading) -> str:
    lines = [f"{piece.text}\n  {piece.url}" if piece.url else piece.text for piece in reading.pieces()]
    return "\n".join([reading.headline, "", *lines, ""])


def _html(reading: Reading, language: str) -> str:
    rows = "".join(f"<tr><th align=left>{html.escape(fact.name)}</th><td>{html.escape(fact.value)}</td></tr>" for fact in reading.facts)
    articles = "".join(f"<li>{_link(piece.text, piece.url)}</li>" for piece in reading.evidence)
    return (
        f'<!DOCTYPE html><html lang="{language}"><head><meta charset="utf-8"></head><body style="{_STYLE}">'
        f"<h2>{html.escape(reading.headline)}</h2>"
        + "".join(f"<p>{html.escape(sentence)}</p>" for sentence in reading.paragraphs())
        + (f"<table>{rows}</table>" if rows else "")
        + (f"<p>{html.escape(reading.words.articles)}</p><ul>{articles}</ul>" if articles else "")
        + (f"<p>{_link(reading.words.open, reading.link)}</p>" if reading.link else "")
        + "</body></html>"
    )


def _link(text: str, url: str) -> str:
    return f'<a href="{html.escape(url)}">{html.escape(text)}</a>' if url else html.escape(text)


FORMAT = Format("email", messages, transport="smtp")
