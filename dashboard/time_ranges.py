"""Time ranges: presets, which end now, and custom ranges between two moments in the address."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

from core.records import OLDEST


class Range(NamedTuple):
    """A time range.

    Attributes:
        width_s: width of its windows in seconds, so that a chart has 20 to 40 of them; whole days beyond ten days.
        ttl_s: how long its aggregates are cached, too short to be visible in its chart.
        since: start of a custom range; None for a preset, which ends now.
    """

    key: str
    span: timedelta
    width_s: int
    ttl_s: float
    since: datetime | None = None


RANGES: dict[str, Range] = {
    item.key: item
    for item in (
        Range("1h", timedelta(hours=1), 180, 2.0),
        Range("6h", timedelta(hours=6), 900, 2.0),
        Range("24h", timedelta(hours=24), 3_600, 2.0),
        Range("7d", timedelta(days=7), 21_600, 5.0),
        Range("30d", timedelta(days=30), 86_400, 15.0),
    )
}
"""The presets."""
DEFAULT_RANGE = "24h"
SHORTEST, LONGEST = timedelta(minutes=5), timedelta(days=92)
"""Bounds of a custom range: a quarter is read within seconds, a year would not be."""
_FREE = re.compile(r"(\d{8}T\d{4})Z-(\d{8}T\d{4})Z", re.ASCII)
_FORM = "%Y%m%dT%H%M"
_WIDTHS = ((40 * 60, 60), (2 * 3600, 180), (10 * 3600, 900), (40 * 3600, 3_600), (10 * 86_400, 21_600))
"""(maximum length of a range in seconds, width of its windows in seconds)"""


def free_key(since: datetime, until: datetime) -> str:
    """The key of a custom range in the address, in UTC: "20261120T0000Z-20261121T1230Z"."""
    return f"{since.astimezone(UTC):{_FORM}}Z-{until.astimezone(UTC):{_FORM}}Z"


def range_of(key: object) -> Range | None:
    """The preset or custom range of a key; None where it is invalid, too short or too long."""
    if not isinstance(key, str):
        return None
    return RANGES.get(key) or (_free(key) if len(key) < 40 else None)


def _free(key: str) -> Range | None:
    spelt = _FREE.fullmatch(key)
    if spelt is None:
        return None
    try:
        since, until = (datetime.strptime(each, _FORM).replace(tzinfo=UTC) for each in spelt.groups())
    except ValueError:  # the 31st of February
        return None
    span = until - since
    if not SHORTEST <= span <= LONGEST or since < OLDEST or until.year > 2100:
        return None
    width_s = next((width for most, width in _WIDTHS if span.total_seconds() <= most), 86_400)
    return Range(key, span, width_s, 15.0, since)


def bounds(chosen: Range, now: datetime) -> tuple[datetime, datetime]:
    """[since, until) of a range at `now` in whole windows.

    The last window of a preset contains `now`; a custom range is widened to whole windows.
    """
    width = chosen.width_s
    if chosen.since is None:
        until = _at((int(now.timestamp()) // width + 1) * width)
        return until - chosen.span, until
    first, last = int(chosen.since.timestamp()), int((chosen.since + chosen.span).timestamp())
    return _at(first // width * width), _at(-(-last // width) * width)


def exact(chosen: Range, now: datetime) -> tuple[datetime, datetime]:
    """[since, until) of a range to the minute, for lists of articles. For a preset the same as `bounds`."""
    return bounds(chosen, now) if chosen.since is None else (chosen.since, chosen.since + chosen.span)


def starts(since: datetime, until: datetime, width_s: int) -> list[datetime]:
    """Starts of the windows of [since, until)."""
    return [since + timedelta(seconds=n * width_s) for n in range(int((until - since).total_seconds()) // width_s)]


def wall(chosen: Range, now: datetime, tz: tzinfo) -> tuple[str, str]:
    """Start and end of a range in a time zone, in the format of a browser's date fields: "2026-11-20T08:00"."""
    since, until = exact(chosen, now) if chosen.since is not None else (now - chosen.span, now)
    return f"{since.astimezone(tz):%Y-%m-%dT%H:%M}", f"{until.astimezone(tz):%Y-%m-%dT%H:%M}"


def _at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)
