"""Alerts as e-mails in plain text and HTML. Pure. Sources: RFC 5322 (format), RFC 3834 (automatic mail)."""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import datetime
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from core.records import Alert
from stream.delivery.formats.alert_text import AlertText
from stream.delivery.formats.base import Bundle, Format, FormatOptions, Message, message_id
from stream.delivery.formats.group_text import GroupText, render
from stream.delivery.formats.splitting import Paragraph

_STYLE = "font-family:sans-serif;line-height:1.5"


def messages(payload: Alert | Bundle, options: FormatOptions, at: datetime) -> list[Message]:
    """One mail. Its Message-ID is the same at every attempt, so that a mailbox can drop duplicates."""
    text = render(payload, options)
    mail = EmailMessage(policy=SMTP)
    mail["From"] = parse_address(options.sender)
    mail["To"] = [parse_address(each) for each in options.recipients]
    mail["Subject"] = text.headline
    mail["Date"] = at
    mail["Message-ID"] = f"<{message_id(payload, first_attempt=options.first_attempt)}@{parse_address(options.sender).domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["Content-Language"] = options.language
    if isinstance(text, AlertText):
        paragraphs, body = text.paragraphs(), _alert_html(text)
    else:
        paragraphs, body = _all_paragraphs(text), _group_html(text)
    mail.set_content(_plain(text.headline, paragraphs), cte="base64")
    mail.add_alternative(_html(text.headline, body, options.language), subtype="html", cte="base64")
    return [Message(mail.as_bytes(), {})]


def parse_address(text: str) -> Address:
    """The name and address in "Risk team <risk@example.com>" or "risk@example.com". Raises ValueError."""
    name, _, spec = text.rpartition("<")
    if not text.isprintable():
        raise ValueError("an address must not contain a line break or another control character")
    try:
        return Address(display_name=name.strip().strip('"'), addr_spec=spec.strip().removesuffix(">"))
    except (HeaderParseError, IndexError) as error:
        raise ValueError(str(error)) from error


def _plain(headline: str, paragraphs: Sequence[Paragraph]) -> str:
    lines = [f"{each.text}\n  {each.url}" if each.url else each.text for each in paragraphs]
    return "\n".join([headline, "", *lines, ""])


def _html(headline: str, body: str, language: str) -> str:
    return (
        f'<!DOCTYPE html><html lang="{language}"><head><meta charset="utf-8"></head><body style="{_STYLE}">'
        f"<h2>{html.escape(headline)}</h2>{body}</body></html>"
    )


def _alert_html(text: AlertText) -> str:
    rows = "".join(f"<tr><th align=left>{html.escape(fact.name)}</th><td>{html.escape(fact.value)}</td></tr>" for fact in text.facts)
    return (
        "".join(f"<p>{html.escape(sentence)}</p>" for sentence in text.body())
        + (f"<table>{rows}</table>" if rows else "")
        + (f"<p>{html.escape(text.labels.articles)}</p>{_list(text.evidence)}" if text.evidence else "")
        + (f"<p>{_link(Paragraph(text.labels.open, text.link))}</p>" if text.link else "")
    )


def _all_paragraphs(text: GroupText) -> list[Paragraph]:
    """All paragraphs with all articles: mail has no size limit."""
    return [each for section in text.sections for each in (section.head, *section.lines, *section.articles)]


def _group_html(text: GroupText) -> str:
    return "".join(
        f"<h3>{_link(section.head)}</h3>" + "".join(f"<p>{_link(each)}</p>" for each in section.lines) + _list(section.articles)
        for section in text.sections
    )


def _list(paragraphs: Sequence[Paragraph]) -> str:
    return f"<ul>{''.join(f'<li>{_link(each)}</li>' for each in paragraphs)}</ul>" if paragraphs else ""


def _link(paragraph: Paragraph) -> str:
    text = html.escape(paragraph.text)
    return f'<a href="{html.escape(paragraph.url)}">{text}</a>' if paragraph.url else text


FORMAT = Format("email", messages, transport="smtp")
