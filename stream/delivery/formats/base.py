"""The interface of a webhook format, and the results of a delivery attempt. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import msgspec

from core.records import Alert, Language
from domain.alert_lifecycle.silences import rank
from storage.store import Delivery
from storage.tables.notifications import PREFIX

Transport = Literal["http", "smtp"]
Signing = Literal["standard", "own", "none"]
"""standard: Standard Webhooks headers with a whsec_… secret; own: the chat's own scheme, any secret; none: unsigned."""

GONE = 410
NOT_SENT = "not sent: "
RATE_LIMITED = "rate limited: "
PARTLY_REFUSED = "some recipients were refused: "
TIMED_OUT = "timed out"


class FormatOptions(NamedTuple):
    """The settings of an endpoint that its messages depend on.

    name: label of the endpoint
    link_base: URL of the dashboard; "" where it has no public URL
    secret: for formats with a signing scheme of their own
    keyword: a word that the bot wants in every message; "" for none
    sender, recipients: of mail, in RFC 5322 form
    first_attempt: of the delivery, see message_id
    """

    name: str
    language: Language = "en"
    link_base: str = ""
    secret: str = ""
    keyword: str = ""
    sender: str = ""
    recipients: tuple[str, ...] = ()
    first_attempt: int = 1


class Member(NamedTuple):
    """An alert of a bundle.

    resolved_at: None while it fires
    is_new: whether the endpoint has not received it before
    """

    alert: Alert
    resolved_at: datetime | None = None
    is_new: bool = True


class Bundle(NamedTuple):
    """Alerts that are sent together: a group or a digest.

    id: the same for the same members at every attempt
    at: when the group was due
    members: at least one
    by: the labels that all members share: rule, series, kind, severity; or "alert" for a group of one
    """

    id: str
    at: datetime
    members: tuple[Member, ...]
    by: tuple[str, ...] = ()
    digest: bool = False


class Message(NamedTuple):
    """One request or mail, ready to send. query: appended to the endpoint's URL."""

    body: bytes
    headers: Mapping[str, str]
    query: str = ""


class SendResult(NamedTuple):
    """The result of sending one message.

    status: HTTP or SMTP status; 0 when there was no response
    error: "" when the message was accepted
    wait_s: the pause that the endpoint asked for; 0 for none
    """

    status: int
    error: str
    wait_s: float = 0.0


class Limit(NamedTuple):
    """At most `messages` in any `seconds`."""

    messages: int
    seconds: float


ResponseParser = Callable[[int, bytes], SendResult]
"""From HTTP status and body to the result."""


class Format(NamedTuple):
    """One kind of receiver.

    messages: from (alert or bundle, options, time of the attempt) to messages, in order. Every attempt gives the same number of messages
        with the same content, so that a retry can continue after those already accepted.
    parse_response: None where the HTTP status is the whole answer and the body is not read
    limits: rate limits of the receiver
    """

    key: str
    messages: Callable[[Alert | Bundle, FormatOptions, datetime], list[Message]]
    parse_response: ResponseParser | None = None
    limits: tuple[Limit, ...] = ()
    signing: Signing = "none"
    transport: Transport = "http"


JSON = {"content-type": "application/json; charset=utf-8"}


class _Response(msgspec.Struct):
    """code, msg: Feishu; StatusCode: an older version of Feishu; errcode, errmsg: DingTalk and WeCom."""

    code: int | None = None
    StatusCode: int | None = None
    errcode: int | None = None
    msg: str = ""
    errmsg: str = ""


KEYWORD_HINT = "; the bot accepts only messages with one of its keywords: set `keyword` of this endpoint to one of them"
_ABOUT_KEYWORDS = ("keyword", "key word", "关键词", "关键字")


def error_code_parser(bot: str, rate_limit_codes: Mapping[int, float], keyword_code: int | None = None) -> ResponseParser:
    """A parser for bots that answer HTTP 200 with an error code in the body, 0 for success.

    Args:
        bot: its name, for error messages.
        rate_limit_codes: from the codes for "too many messages" to the pause after each, in seconds.
        keyword_code: the code for "no keyword in the message"; other causes with this code have another text.
    """

    def parse(status: int, body: bytes) -> SendResult:
        try:
            response = msgspec.json.decode(body, type=_Response)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return SendResult(status, f"HTTP {status}: this is not a response of {bot}; check the URL")
        code = next((given for given in (response.code, response.errcode, response.StatusCode) if given is not None), None)
        if code is None:
            return SendResult(status, f"HTTP {status}: this is not a response of {bot}; check the URL")
        if code == 0:
            return SendResult(status, "" if 200 <= status < 300 else f"HTTP {status}")
        text = " ".join((response.msg or response.errmsg).split())[:200]
        hint = KEYWORD_HINT if code == keyword_code and any(word in text.casefold() for word in _ABOUT_KEYWORDS) else ""
        return SendResult(status, f"{bot} {code}: {text}".rstrip(": ") + hint, rate_limit_codes.get(code, 0.0))

    return parse


def is_permanent_failure(delivery: Delivery) -> bool:
    """Whether a retry cannot help: the endpoint is gone or redirects, its address is not allowed, or some recipients already have it."""
    return delivery.status == GONE or 300 <= delivery.status < 400 or delivery.error.startswith((NOT_SENT, PARTLY_REFUSED))


def is_rate_limited(delivery: Delivery) -> bool:
    """Whether the message was held back by the endpoint's rate limit. That does not count as an attempt."""
    return delivery.error.startswith(RATE_LIMITED)


def subject(payload: Alert | Bundle) -> str:
    """Id of an alert or a group in the log of deliveries."""
    return payload.id if isinstance(payload, Alert) else PREFIX + payload.id


def message_id(payload: Alert | Bundle, part: int = 1, first_attempt: int = 1) -> str:
    """The webhook-id: the same at every attempt and for every endpoint, so that receivers can drop duplicates.

    Args:
        payload: what is sent.
        part: number of the message, from 1. The ":" cannot be part of an id, so ids of parts are unique.
        first_attempt: the attempt of which this is a retry. An alert that fired again is no duplicate.
    """
    name = f"{'alert' if isinstance(payload, Alert) else 'group'}_{payload.id}" + (f"_{first_attempt}" if first_attempt > 1 else "")
    return name if part == 1 else f"{name}:{part}"


def by_severity(members: Iterable[Member]) -> list[Member]:
    """The members, highest severity first, then highest surprise."""
    return sorted(members, key=lambda each: (-rank(each.alert.severity), -each.alert.surprise, each.alert.detected_at, each.alert.id))


def iso_millis(moment: datetime) -> str:
    """UTC in ISO 8601, to the millisecond: "2026-11-20T12:00:00.000Z"."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
