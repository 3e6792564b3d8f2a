"""Time ranges: the presets of the picker, which end now, and free ones, which lie between two moments of an address."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

from core.records import OLDEST


class Range(NamedTuple):
    """A choice of the time-range picker.

    width_s: of a window, so that a chart has 20 to 40 of them: fewer say little, more are noise; beyond ten days they are days
    ttl_s: how long its aggregates may be shared before they are read again; well below what can be seen in its chart
    since: where a free range begins; None: it ends now
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
"""What a free range may span: a quarter's charts are read within seconds, a year's would not be."""
_FREE = re.compile(r"(\d{8}T\d{4})Z-(\d{8}T\d{4})Z", re.ASCII)
_FORM = "%Y%m%dT%H%M"
_WIDTHS = ((40 * 60, 60), (2 * 3600, 180), (10 * 3600, 900), (40 * 3600, 3_600), (10 * 86_400, 21_600))
"""(seconds that a range spans at most, width of its windows)"""


def free_key(since: datetime, until: datetime) -> str:
    """A free range as an address has it: the same moments for every viewer, "20261120T0000Z-20261121T1230Z"."""
    return f"{since.astimezone(UTC):{_FORM}}Z-{until.astimezone(UTC):{_FORM}}Z"


def range_of(key: object) -> Range | None:
    """The preset of this name, or the free range that it spells; None: neither, or one that is too short, too long or turned round."""
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
    """[since, until) of a range at `now`, made of whole windows. Of a preset `now` lies in the last one, which is not over yet;
    a free one is widened to the windows that it touches."""
    width = chosen.width_s
    if chosen.since is None:
        until = _at((int(now.timestamp()) // width + 1) * width)
        return until - chosen.span, until
    first, last = int(chosen.since.timestamp()), int((chosen.since + chosen.span).timestamp())
    return _at(first // width * width), _at(-(-last // width) * width)


def exact(chosen: Range, now: datetime) -> tuple[datetime, datetime]:
    """[since, until) of a range to the minute: of articles, which need no windows. A preset's is as `bounds` has it."""
    return bounds(chosen, now) if chosen.since is None else (chosen.since, chosen.since + chosen.span)


def starts(since: datetime, until: datetime, width_s: int) -> list[datetime]:
    """Where the windows of [since, until) begin."""
    return [since + timedelta(seconds=n * width_s) for n in range(int((until - since).total_seconds()) // width_s)]


def wall(chosen: Range, now: datetime, tz: tzinfo) -> tuple[str, str]:
    """A range's two moments on the clock of a zone, as a browser's date fields have them: "2026-11-20T08:00"."""
    since, until = exact(chosen, now) if chosen.since is not None else (now - chosen.span, now)
    return f"{since.astimezone(tz):%Y-%m-%dT%H:%M}", f"{until.astimezone(tz):%Y-%m-%dT%H:%M}"


def _at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)
