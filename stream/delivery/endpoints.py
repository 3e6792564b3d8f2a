"""The endpoints of the settings: what each understands, what it wants to hear, and whether it can work at all. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from email.headerregistry import Address
from fnmatch import fnmatchcase
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from core.errors import SettingsError
from core.records import Alert, Severity
from core.settings import Webhook
from stream.delivery.digests import digest
from stream.delivery.formats import FORMATS
from stream.delivery.formats.base import Format, Options
from stream.delivery.formats.mail import address_of
from stream.delivery.grouping import Grouping
from stream.delivery.signing import signing_key

_ORDER: dict[Severity, int] = {"info": 0, "warning": 1, "critical": 2}
_PORTS = {"http": 80, "https": 443, "smtp": 587, "smtps": 465}


class Wanted(NamedTuple):
    """Which alerts an endpoint is told of. series, rules: patterns, of which one must fit; none: all do"""

    paused: bool
    min_severity: Severity
    series: tuple[str, ...]
    rules: tuple[str, ...]

    def fits(self, alert: Alert) -> bool:
        """Whether the endpoint is told of this one."""
        return (
            not self.paused
            and _ORDER[alert.severity] >= _ORDER[self.min_severity]
            and _any_fits(self.series, alert.series)
            and _any_fits(self.rules, alert.rule)
        )


class Server(NamedTuple):
    """Where mail is handed in. tls: from the first byte on; user: "" when it wants no password"""

    user: str
    password: str
    tls: bool


class Endpoint(NamedTuple):
    """One webhook or mailbox, ready to send to.

    label: what the delivery log calls it
    url: of HTTP; of mail it is empty, as it holds the password, and `server` says the rest
    keys: the newest first; none when it is not signed as Standard Webhooks has it
    grouping: how alerts are put together, repeated and said to be over; None: each is sent alone, at once, and that is all
    """

    label: str
    host: str
    port: int
    url: str
    server: Server
    format: Format
    options: Options
    wanted: Wanted
    keys: tuple[bytes, ...]
    allow_private: bool
    grouping: Grouping | None


def endpoints(webhooks: Sequence[Webhook], link_base: str = "") -> Iterator[Endpoint]:
    """The endpoints of the settings, each with a label of its own. Raises SettingsError."""
    labels: set[str] = set()
    for number, webhook in enumerate(webhooks, 1):
        place = _place(webhook, f"webhook {number}")
        label = webhook.name or str(place.hostname)
        if label in labels:
            raise SettingsError(f"webhook {number}: two are called {label!r}; give each a name of its own")
        labels.add(label)
        try:
            yield _endpoint(webhook, label, place, link_base)
        except SettingsError as error:
            raise SettingsError(f"webhook {label}: {error}") from error


def _place(webhook: Webhook, who: str) -> SplitResult:
    """The parts of the URL. Raises SettingsError, which never shows it: it may hold a password."""
    mail = FORMATS[webhook.format].transport == "smtp"
    form = "smtp(s)://user:password@host:port?from=…&to=…" if mail else "http(s)://host:port/… without a user name"
    try:
        place = urlsplit(webhook.url)
        port = _PORTS.get(place.scheme, 0) if place.port is None else place.port
    except ValueError:
        port = 0
    if port == 0 or not place.hostname or place.scheme not in (("smtp", "smtps") if mail else ("http", "https")):
        raise SettingsError(f"{who}: its url must be {form}")
    if not mail and place.username is not None:
        raise SettingsError(f"{who}: its url must be {form}")
    return place


def _endpoint(webhook: Webhook, label: str, place: SplitResult, link_base: str) -> Endpoint:
    chosen = FORMATS[webhook.format]
    if webhook.secret and chosen.signing == "none":
        raise SettingsError(f"{webhook.format} has no signature: leave `secret` out")
    if webhook.previous_secret and (chosen.signing != "standard" or not webhook.secret):
        raise SettingsError("`previous_secret` needs a `secret` of Standard Webhooks: formats json and alertmanager")
    mail = chosen.transport == "smtp"
    server = Server(unquote(place.username or ""), unquote(place.password or ""), place.scheme == "smtps")
    if not (server.user + server.password).isascii():
        raise SettingsError("a mail server's user and password must be of ASCII letters")
    sender, recipients = _mailboxes(place) if mail else ("", ())
    secrets = [secret for secret in (webhook.secret, webhook.previous_secret) if secret and chosen.signing == "standard"]
    return Endpoint(
        label=label,
        host=str(place.hostname),
        port=place.port or _PORTS[place.scheme],
        url="" if mail else webhook.url,
        server=server,
        format=chosen,
        options=Options(
            name=label,
            language=webhook.language,
            link_base=link_base.rstrip("/"),
            secret=webhook.secret if chosen.signing == "own" else "",
            sender=sender,
            recipients=recipients,
        ),
        wanted=Wanted(webhook.paused, webhook.min_severity, webhook.series, webhook.rules),
        keys=tuple(signing_key(secret) for secret in secrets),
        allow_private=webhook.allow_private,
        grouping=_grouping(webhook),
    )


def _grouping(webhook: Webhook) -> Grouping | None:
    made = Grouping(
        by=webhook.group_by,
        wait_s=webhook.group_wait_s,
        interval_s=webhook.group_interval_s,
        repeat_s=webhook.repeat_interval_s,
        tell_resolved=webhook.tell_resolved,
        digest=digest(webhook.digest),
    )
    return None if made.alone and not made.repeat_s and not made.tell_resolved else made


def _mailboxes(place: SplitResult) -> tuple[str, tuple[str, ...]]:
    """From whom, and to whom: "to" may be given several times, or hold several with commas between."""
    query = parse_qs(place.query.replace("+", "%2B"))  # as people write it: desk+alerts@example.com
    senders, recipients = query.get("from", []), [each for given in query.get("to", []) for each in given.split(",") if each.strip()]
    if len(senders) != 1 or not recipients:
        raise SettingsError("the url of an email endpoint ends in ?from=alerts@example.com&to=desk@example.com")
    for written in (*senders, *recipients):
        try:
            found: Address = address_of(written)
        except ValueError as error:
            raise SettingsError(f"{written!r} is no mail address") from error
        if not (found.username and found.domain and found.addr_spec.isascii()):
            raise SettingsError(f"{written!r} is no mail address (of ASCII letters)")
    return senders[0], tuple(recipients)


def _any_fits(patterns: tuple[str, ...], name: str) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
