"""Quiet hours: when people are left alone. Pure: no clock.

    22:00-07:00 Asia/Shanghai; Sat,Sun 00:00-24:00 Asia/Shanghai; closed XSHG; outside XNYS

A window is of the day on which it begins; one that ends at or before its start ends on the next day. Where the clocks change, a
window is as long as the wall clocks make it. The days and hours of exchanges come from calendars that the caller gives.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

from core.errors import SettingsError
from stream.delivery.clock_times import DAY, Days, minutes, moment, place, weekdays

FARTHEST = timedelta(days=31)
"""Quiet that goes on for longer than this is a mistake: nothing would ever be delivered."""
_WINDOW = re.compile(r"(?:(?P<days>[A-Za-z,:\-0-9/]+)\s+)?(?P<start>\d\d?:\d\d)\s*-\s*(?P<end>\d\d?:\d\d)\s+(?P<zone>[\w+\-/]+)")
_EXCHANGE = re.compile(r"(?P<when>closed|outside)\s+(?P<name>\S+)", re.IGNORECASE)
_FORM = '"22:00-07:00 Asia/Shanghai", with days before it if need be ("Mon-Fri", "Sat,Sun"), "closed XSHG" or "outside XNYS"'


class Calendar(Protocol):
    """The days of an exchange. zone: of its clocks"""

    @property
    def zone(self) -> ZoneInfo:
        """Where it is."""

    def hours(self, day: date) -> tuple[datetime, datetime] | None:
        """From its first opening to its last closing on a day of its own, in UTC; None: it does not trade on that day."""


Calendars = Callable[[str], Calendar]
"""Name of an exchange to its calendar. Raises SettingsError where there is none."""


class Window(NamedTuple):
    """Quiet on the days for which `on` holds, from `start` to `end` minutes after midnight by the clocks of `zone`.

    end: over 24 * 60 when it is of the next day
    """

    on: Days
    start: int
    end: int
    zone: ZoneInfo

    def end_of(self, now: datetime) -> datetime | None:
        """When the quiet around `now` ends; None: there is none."""
        today = now.astimezone(self.zone).date()
        for day in (today - timedelta(days=1), today):
            if self.on(day) and moment(day, self.start, self.zone) <= now < moment(day, self.end, self.zone):
                return moment(day, self.end, self.zone)
        return None


class Outside(NamedTuple):
    """Quiet from an exchange's last closing on a day to its next opening. A break at midday is not quiet."""

    exchange: Calendar

    def end_of(self, now: datetime) -> datetime | None:
        """When the quiet around `now` ends; None: there is none."""
        day = now.astimezone(self.exchange.zone).date() - timedelta(days=1)
        for _ in range(FARTHEST.days + 2):  # some open on the evening before the day that is theirs
            hours = self.exchange.hours(day)
            if hours and now < hours[1]:
                return hours[0] if now < hours[0] else None
            day += timedelta(days=1)
        return now + FARTHEST


class QuietHours:
    """The windows together. Without any it is never quiet."""

    def __init__(self, windows: tuple[Window | Outside, ...] = ()) -> None:
        self._windows = windows

    def __bool__(self) -> bool:
        return bool(self._windows)

    def ends(self, now: datetime) -> datetime | None:
        """When the quiet around `now` ends, over windows that meet; None: it is not quiet. At FARTHEST from now."""
        at = now.astimezone(UTC)
        while at - now < FARTHEST:
            ends = [end for window in self._windows if (end := window.end_of(at)) is not None]
            if not ends:
                break
            at = max(ends)
        return at if at > now else None


def quiet_hours(text: str, calendars: Calendars | None = None) -> QuietHours:
    """The quiet hours in words, windows separated by ";"; never quiet for "" and "none". Raises SettingsError.

    calendars: for windows that name an exchange
    """
    if text.strip().casefold() in ("", "none"):
        return QuietHours()
    made = QuietHours(tuple(_window(part.strip(), calendars) for part in text.split(";") if part.strip()))
    start = datetime(2026, 1, 5, tzinfo=UTC)
    if (made.ends(start) or start) - start >= FARTHEST:
        raise SettingsError(f"quiet hours {text!r} never end: nothing would ever be delivered")
    return made


def _window(text: str, calendars: Calendars | None) -> Window | Outside:
    what = f"quiet hours {text!r}"
    named = _EXCHANGE.fullmatch(text)
    if named is not None:
        exchange = _exchange(named["name"], what, calendars)
        return Outside(exchange) if named["when"].casefold() == "outside" else Window(_closed(exchange), 0, DAY, exchange.zone)
    form = _WINDOW.fullmatch(text)
    if form is None:
        raise SettingsError(f"{what}: expected {_FORM}")
    start, end = (minutes(form[name], what) for name in ("start", "end"))
    if start == DAY:
        raise SettingsError(f"{what}: a window cannot begin at 24:00")
    kind, colon, name = (form["days"] or "").partition(":")
    closed = bool(colon) and kind.casefold() == "closed"
    on = _closed(_exchange(name, what, calendars)) if closed else weekdays(form["days"] or "", what)
    return Window(on, start, end if end > start else end + DAY, place(form["zone"], what))


def _closed(exchange: Calendar) -> Days:
    return lambda day: exchange.hours(day) is None


def _exchange(name: str, what: str, calendars: Calendars | None) -> Calendar:
    if calendars is None:
        raise SettingsError(f"{what}: there are no calendars of exchanges here")
    try:
        return calendars(name)
    except SettingsError as error:
        raise SettingsError(f"{what}: {error}") from error
