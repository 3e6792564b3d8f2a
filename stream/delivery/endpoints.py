"""The endpoints of the settings: format, filter, address, keys and grouping of each. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from email.headerregistry import Address
from fnmatch import fnmatchcase
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from core.errors import SettingsError
from core.records import Alert, Severity
from core.settings import Webhook
from domain.alert_lifecycle.silences import rank
from stream.delivery.formats import FORMATS
from stream.delivery.formats.base import Format, FormatOptions
from stream.delivery.formats.mail import parse_address
from stream.delivery.grouping import Grouping
from stream.delivery.schedules import parse_digest_schedule
from stream.delivery.signing import signing_key

KEYWORD_FORMATS = ("feishu", "dingtalk")
"""Formats whose bots may accept only messages with a keyword."""
MARKUP = "[]()<>*_~`#\\|"
"""Characters that Markdown may change."""
_MARKUP = re.compile(f"[{re.escape(MARKUP)}]")
_PORTS = {"http": 80, "https": 443, "smtp": 587, "smtps": 465}


class AlertFilter(NamedTuple):
    """Selects the alerts that an endpoint receives. series, rules: patterns of which one must match; () matches all."""

    paused: bool
    min_severity: Severity
    series: tuple[str, ...]
    rules: tuple[str, ...]

    def matches(self, alert: Alert) -> bool:
        """Whether the endpoint receives this alert."""
        return (
            not self.paused
            and rank(alert.severity) >= rank(self.min_severity)
            and _any_matches(self.series, alert.series)
            and _any_matches(self.rules, alert.rule)
        )


class MailServer(NamedTuple):
    """Login to a mail server. user: "" for none; tls: TLS from the first byte, instead of STARTTLS"""

    user: str
    password: str
    tls: bool


class DeliveryEndpoint(NamedTuple):
    """A webhook or mail endpoint, ready to send to.

    label: its name in the log of deliveries
    url: of HTTP; "" for mail, whose URL holds the password
    keys: for the signatures of Standard Webhooks, newest first; () for none
    grouping: None where each alert is sent alone, at once, and only once
    """

    label: str
    host: str
    port: int
    url: str
    mail_server: MailServer
    format: Format
    options: FormatOptions
    filter: AlertFilter
    keys: tuple[bytes, ...]
    allow_private: bool
    grouping: Grouping | None


def endpoints(webhooks: Sequence[Webhook], link_base: str = "") -> Iterator[DeliveryEndpoint]:
    """The endpoints of the settings, each with a unique label. Raises SettingsError."""
    labels: set[str] = set()
    for number, webhook in enumerate(webhooks, 1):
        place = _place(webhook, f"webhook {number}")
        label = webhook.name or str(place.hostname)
        if label in labels:
            raise SettingsError(f"webhook {number}: the name {label!r} is used twice; give each endpoint a unique name")
        labels.add(label)
        try:
            yield _endpoint(webhook, label, place, link_base)
        except SettingsError as error:
            raise SettingsError(f"webhook {label}: {error}") from error


def _place(webhook: Webhook, actor: str) -> SplitResult:
    """The parts of the URL. Raises SettingsError; its message leaves the URL out, as that may hold a password."""
    mail = FORMATS[webhook.format].transport == "smtp"
    form = "smtp(s)://user:password@host:port?from=…&to=…" if mail else "http(s)://host:port/… without a user name"
    try:
        place = urlsplit(webhook.url)
        port = _PORTS.get(place.scheme, 0) if place.port is None else place.port
    except ValueError:
        port = 0
    if port == 0 or not place.hostname or place.scheme not in (("smtp", "smtps") if mail else ("http", "https")):
        raise SettingsError(f"{actor}: its url must be {form}")
    if not mail and place.username is not None:
        raise SettingsError(f"{actor}: its url must be {form}")
    return place


def _endpoint(webhook: Webhook, label: str, place: SplitResult, link_base: str) -> DeliveryEndpoint:
    chosen = FORMATS[webhook.format]
    if webhook.secret and chosen.signing == "none":
        raise SettingsError(f"messages in the format {webhook.format} are not signed; remove `secret`")
    if webhook.previous_secret and (chosen.signing != "standard" or not webhook.secret):
        raise SettingsError("`previous_secret` needs a `secret` and the format json or alertmanager")
    if webhook.keyword and chosen.key not in KEYWORD_FORMATS:
        raise SettingsError(f"bots of the format {webhook.format} have no keywords; remove `keyword`")
    if webhook.keyword != webhook.keyword.strip() or not webhook.keyword.isprintable() or _MARKUP.search(webhook.keyword):
        raise SettingsError(f"`keyword` {webhook.keyword!r} must be plain text, without blanks around it and without any of {MARKUP}")
    mail = chosen.transport == "smtp"
    server = MailServer(unquote(place.username or ""), unquote(place.password or ""), place.scheme == "smtps")
    if not (server.user + server.password).isascii():
        raise SettingsError("the user and password of a mail server must be ASCII")
    sender, recipients = _mail_addresses(place) if mail else ("", ())
    secrets = [secret for secret in (webhook.secret, webhook.previous_secret) if secret and chosen.signing == "standard"]
    return DeliveryEndpoint(
        label=label,
        host=str(place.hostname),
        port=place.port or _PORTS[place.scheme],
        url="" if mail else webhook.url,
        mail_server=server,
        format=chosen,
        options=FormatOptions(
            name=label,
            language=webhook.language,
            link_base=link_base.rstrip("/"),
            secret=webhook.secret if chosen.signing == "own" else "",
            keyword=webhook.keyword,
            sender=sender,
            recipients=recipients,
        ),
        filter=AlertFilter(webhook.paused, webhook.min_severity, webhook.series, webhook.rules),
        keys=tuple(signing_key(secret) for secret in secrets),
        allow_private=webhook.allow_private,
        grouping=_grouping(webhook),
    )


def _grouping(webhook: Webhook) -> Grouping | None:
    grouping = Grouping(
        by=webhook.group_by,
        wait_s=webhook.group_wait_s,
        interval_s=webhook.group_interval_s,
        repeat_s=webhook.repeat_interval_s,
        send_resolved=webhook.send_resolved,
        digest=parse_digest_schedule(webhook.digest),
    )
    return None if grouping.alone and not grouping.repeat_s and not grouping.send_resolved else grouping


def _mail_addresses(place: SplitResult) -> tuple[str, tuple[str, ...]]:
    """Sender and recipients. "to" may be repeated, and may hold several addresses separated by commas."""
    query = parse_qs(place.query.replace("+", "%2B"))  # a plain + in an address: risk+alerts@example.com
    senders, recipients = query.get("from", []), [each for given in query.get("to", []) for each in given.split(",") if each.strip()]
    if len(senders) != 1 or not recipients:
        raise SettingsError("the url of an email endpoint must end in ?from=alerts@example.com&to=risk@example.com")
    for text in (*senders, *recipients):
        try:
            found: Address = parse_address(text)
        except ValueError as error:
            raise SettingsError(f"{text!r} is not a mail address") from error
        if not (found.username and found.domain and found.addr_spec.isascii()):
            raise SettingsError(f"{text!r} contains non-ASCII characters, which mail addresses must not have")
    return senders[0], tuple(recipients)


def _any_matches(patterns: tuple[str, ...], name: str) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
