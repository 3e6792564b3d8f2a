"""What a format is: how alerts become messages for one kind of receiver, and how its answers are understood. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import msgspec

from core.records import Alert, Language
from domain.alert_lifecycle.silences import rank
from storage.tables.alert_groups import PREFIX

Transport = Literal["http", "smtp"]
Signing = Literal["standard", "own", "none"]
"""standard: Standard Webhooks' headers, a secret whsec_…; own: as the bot has it, any secret; none: there is nothing to sign with."""


class Options(NamedTuple):
    """What an endpoint's settings say of the words it gets.

    name: what the endpoint is called; link_base: where the dashboard is reached, "" where people have no address of it
    secret: of a bot that signs in its own way; sender, recipients: of mail, as RFC 5322 writes them
    """

    name: str
    language: Language = "en"
    link_base: str = ""
    secret: str = ""
    sender: str = ""
    recipients: tuple[str, ...] = ()


class Member(NamedTuple):
    """An alert of a bundle.

    ended: since when it is over; None while it fires
    fresh: whether the endpoint is told of it for the first time
    """

    alert: Alert
    ended: datetime | None = None
    fresh: bool = True


class Bundle(NamedTuple):
    """Alerts that are sent together: a group, or a digest.

    id: the same for the same members, however often it is sent; at: when it was due; members: one at least
    by: in what all of them agree, of rule, series, kind and severity; "alert": every alert is sent by itself
    """

    id: str
    at: datetime
    members: tuple[Member, ...]
    by: tuple[str, ...] = ()
    digest: bool = False


class Message(NamedTuple):
    """One message, ready to be sent. query: to be added to the endpoint's URL."""

    body: bytes
    headers: Mapping[str, str]
    query: str = ""


class Verdict(NamedTuple):
    """What an answer means. error: "" when the message was taken; wait_s: how long nothing more should be sent, 0 where it does not say."""

    error: str
    wait_s: float = 0.0


class Limit(NamedTuple):
    """At most `messages` in any `seconds`."""

    messages: int
    seconds: float


class Format(NamedTuple):
    """One kind of receiver.

    messages: (alert or alerts, options, the moment of this attempt) to messages, in order; as many and the same words at every attempt
    verdict: (status of HTTP, body) to what it means; None: the status says all, the body is not read
    limits: how often its receiver lets itself be called
    """

    key: str
    messages: Callable[[Alert | Bundle, Options, datetime], list[Message]]
    verdict: Callable[[int, bytes], Verdict] | None = None
    limits: tuple[Limit, ...] = ()
    signing: Signing = "none"
    transport: Transport = "http"


JSON = {"content-type": "application/json; charset=utf-8"}


class _Answer(msgspec.Struct):
    """code, msg: Feishu's; StatusCode: what it said in its place before; errcode, errmsg: DingTalk's and WeCom's."""

    code: int | None = None
    StatusCode: int | None = None
    errcode: int | None = None
    msg: str = ""
    errmsg: str = ""


def coded(bot: str, too_many: Mapping[int, float]) -> Callable[[int, bytes], Verdict]:
    """The verdict of a bot that answers 200 and a code, which is 0 when the message was taken.

    too_many: codes that say so, and how long to be quiet after each, seconds
    """

    def verdict(status: int, body: bytes) -> Verdict:
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return Verdict(f"HTTP {status}: the answer is not {bot}'s: is the URL right?")
        code = next((given for given in (answer.code, answer.errcode, answer.StatusCode) if given is not None), None)
        if code is None:
            return Verdict(f"HTTP {status}: the answer is not {bot}'s: is the URL right?")
        if code == 0:
            return Verdict("" if 200 <= status < 300 else f"HTTP {status}")
        words = " ".join((answer.msg or answer.errmsg).split())[:200]
        return Verdict(f"{bot} {code}: {words}".rstrip(": "), too_many.get(code, 0.0))

    return verdict


def subject(sent: Alert | Bundle) -> str:
    """What the delivery log calls it."""
    return sent.id if isinstance(sent, Alert) else PREFIX + sent.id


def ranked(members: Iterable[Member]) -> list[Member]:
    """The most severe first, and of those the most surprising."""
    return sorted(members, key=lambda each: (-rank(each.alert.severity), -each.alert.surprise, each.alert.detected_at, each.alert.id))


def iso(moment: datetime) -> str:
    """A time as JSON says it, to the millisecond: "2026-11-20T12:00:00.000Z"."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
