"""Silences: time-limited mutes of alerts, with an author and a comment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from core.errors import InvalidInput
from core.records import NEWEST, Alert, Severity, sha

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")
"""In ascending order."""
SilenceState = Literal["waiting", "active", "ended"]
SOON = timedelta(minutes=15)
"""A warning is logged when a silence ends within this time."""
MAX_PATTERNS = 100
MAX_PATTERN_CHARS = 300
MAX_COMMENT_CHARS = 4_000


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """While it is active, matching alerts are stored and shown but not delivered. An expired silence is kept.

    Attributes:
        series, rules: patterns in which * matches anything, such as "topic:*"; one of each must match, an empty tuple matches all
        least, most: the severities it covers, both included
        starts_at, ends_at: half-open interval, whole seconds, aware UTC
        ended_at, ended_by: set if somebody ended it early
    """

    id: str
    series: tuple[str, ...]
    rules: tuple[str, ...] = ()
    least: Severity = "info"
    most: Severity = "critical"
    starts_at: datetime
    ends_at: datetime
    author: str
    comment: str
    created_at: datetime
    ended_at: datetime | None = None
    ended_by: str = ""

    @property
    def until(self) -> datetime:
        """The effective end; never before the start."""
        end = self.ends_at if self.ended_at is None else min(self.ends_at, self.ended_at)
        return max(self.starts_at, end)

    def state(self, now: datetime) -> SilenceState:
        """The state at `now`."""
        if now >= self.until:
            return "ended"
        return "active" if now >= self.starts_at else "waiting"

    def known(self, at: datetime) -> Silence:
        """The silence as it was known at that time: a later early end is removed."""
        return self if self.ended_at is None or self.ended_at <= at else msgspec.structs.replace(self, ended_at=None, ended_by="")

    def matches(self, alert: Alert) -> bool:
        """Whether it covers this alert, regardless of time."""
        return (
            matches(self.series, alert.series)
            and matches(self.rules, alert.rule)
            and rank(self.least) <= rank(alert.severity) <= rank(self.most)
        )


def rank(severity: Severity) -> int:
    """Position in SEVERITIES, 0 for the lowest."""
    return SEVERITIES.index(severity)


def matches(patterns: Sequence[str], text: str) -> bool:
    """Whether one of `patterns` matches the whole of `text`, or there are none. * matches anything; case is ignored."""
    return not patterns or any(_like(each.casefold(), text.casefold()) for each in patterns)


def _like(pattern: str, text: str) -> bool:
    """Linear in the lengths, unlike a regular expression with many stars."""
    first, *others = pattern.split("*")
    if not others:
        return text == first
    if not text.startswith(first):
        return False
    place = len(first)
    for part in others[:-1]:
        found = text.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return len(text) - place >= len(others[-1]) and text.endswith(others[-1])


def silence(
    *,
    series: Sequence[str],
    author: str,
    comment: str,
    starts_at: datetime,
    ends_at: datetime,
    now: datetime,
    rules: Sequence[str] = (),
    least: Severity = "info",
    most: Severity = "critical",
) -> Silence:
    """A new silence.

    Raises:
        InvalidInput: it could match nothing, has expired already, or lacks an author or a comment
    """
    author, comment = author.strip(), comment.strip()
    patterns = tuple(dict.fromkeys(each.strip() for each in series))
    names = tuple(dict.fromkeys(each.strip() for each in rules))
    if not patterns:
        raise InvalidInput('a silence needs a series pattern such as "topic:*" or "company:AAPL"; "*" matches all')
    for each in patterns:
        if each != "*" and not re.fullmatch(r"[^:\s]+:.+", each, re.DOTALL):
            raise InvalidInput(
                f'{each!r} is not a series pattern: expected "kind:key", such as "topic:*" or "company:AAPL"; "*" matches all'
            )
    if not all(names):
        raise InvalidInput('a rule pattern must not be empty; "*" matches all')
    if len(patterns) + len(names) > MAX_PATTERNS or any(len(each) > MAX_PATTERN_CHARS for each in (*patterns, *names)):
        raise InvalidInput(f"a silence has at most {MAX_PATTERNS} patterns of {MAX_PATTERN_CHARS} characters")
    if rank(least) > rank(most):
        raise InvalidInput(f"a silence from {least} to {most} covers nothing; severities in ascending order: {', '.join(SEVERITIES)}")
    if not author or len(author) > 100 or not author.isprintable():
        raise InvalidInput("a silence needs an author of at most 100 printable characters")
    if not comment or len(comment) > MAX_COMMENT_CHARS:
        raise InvalidInput(f"a silence needs a comment that gives the reason, of at most {MAX_COMMENT_CHARS:,} characters")
    starts_at, ends_at = (moment.astimezone(UTC).replace(microsecond=0) for moment in (starts_at, ends_at))
    if not starts_at < ends_at < NEWEST:
        raise InvalidInput(f"a silence must end after it starts, and before {NEWEST.year}")
    if ends_at <= now:
        raise InvalidInput(f"a silence that ended at {ends_at:%Y-%m-%d %H:%M:%S} UTC has no effect")
    content = (author, comment, least, most, starts_at.isoformat(), ends_at.isoformat(), now.astimezone(UTC).isoformat())
    return Silence(
        id=sha("silence", *content, "\x1e".join(patterns), "\x1e".join(names)),
        series=patterns,
        rules=names,
        least=least,
        most=most,
        starts_at=starts_at,
        ends_at=ends_at,
        author=author,
        comment=comment,
        created_at=now.astimezone(UTC).replace(microsecond=0),
    )


def active_silences(silences: Iterable[Silence], alert: Alert, now: datetime) -> tuple[Silence, ...]:
    """The silences that suppress `alert` at `now`, the one that lasts longest first."""
    found = [each for each in silences if each.state(now) == "active" and each.matches(alert)]
    return tuple(sorted(found, key=lambda each: (-each.until.timestamp(), each.id)))


def ending_soon(silences: Iterable[Silence], now: datetime, within: timedelta = SOON) -> list[Silence]:
    """The active silences that end within that time, in order of their end."""
    return sorted(
        (each for each in silences if each.state(now) == "active" and each.until - now <= within), key=lambda each: (each.until, each.id)
    )
