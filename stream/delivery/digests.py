"""When digests are due: "hourly", "08:00 Asia/Shanghai", "Mon-Fri 08:00,18:00 Asia/Shanghai". Pure: no clock."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from core.errors import SettingsError
from stream.delivery.clock_times import DAY, Days, minutes, moment, place, weekdays

_FORM = re.compile(r"(?:(?P<days>[A-Za-z,\-]+)\s+)?(?P<times>\d\d?:\d\d(?:\s*,\s*\d\d?:\d\d)*)\s+(?P<zone>[\w+\-/]+)")
_WEEK = timedelta(days=8)


class Digest(NamedTuple):
    """Moments of the clock. at: minutes after midnight in `zone`, in order, on the days for which `on` holds"""

    on: Days
    at: tuple[int, ...]
    zone: ZoneInfo

    def first(self, since: datetime) -> datetime:
        """The first moment at or after `since`, in UTC."""
        today = since.astimezone(self.zone).date()
        return min(found for found in self._moments(today - timedelta(days=1), today + _WEEK) if found >= since)

    def last(self, until: datetime) -> datetime:
        """The last moment at or before `until`, in UTC."""
        today = until.astimezone(self.zone).date()
        return max(found for found in self._moments(today - _WEEK, today + timedelta(days=1)) if found <= until)

    def _moments(self, day: date, until: date) -> Iterator[datetime]:
        while day <= until:
            if self.on(day):
                yield from (moment(day, each, self.zone) for each in self.at)
            day += timedelta(days=1)


def digest(text: str) -> Digest | None:
    """The digest in words; None for "". Raises SettingsError."""
    what = f"digest {text!r}"
    if not text.strip():
        return None
    if text.strip().casefold() == "hourly":
        return Digest(lambda _: True, tuple(range(0, DAY, 60)), ZoneInfo("UTC"))
    form = _FORM.fullmatch(text.strip())
    if form is None:
        raise SettingsError(
            f'{what}: expected "hourly" or "08:00 Asia/Shanghai", with days before it if need be ("Mon-Fri 08:00,18:00 ...")'
        )
    at = sorted({minutes(each.strip(), what) % DAY for each in form["times"].split(",")})
    return Digest(weekdays(form["days"] or "", what), tuple(at), place(form["zone"], what))


def said(at: datetime) -> str:
    """A moment for people, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
