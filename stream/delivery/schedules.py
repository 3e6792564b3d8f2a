"""Quiet hours and digest times of the settings. Pure: the time is a parameter.

    quiet hours    22:00-07:00 Asia/Shanghai; Sat,Sun 00:00-24:00 Asia/Shanghai; closed XSHG; outside XNYS
    digests        hourly, or Mon-Fri 08:00,18:00 Asia/Shanghai

A window belongs to the day on which it begins; one that ends at or before its start ends on the next day. When the clocks change, a
window is as long as local time makes it. The trading days and hours of exchanges come from calendars that the caller supplies.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

from core.errors import SettingsError

Days = Callable[[date], bool]
"""Whether a schedule applies on a day."""
DAY = 24 * 60
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MAX_QUIET = timedelta(days=31)
"""Quiet hours without a break for longer are a mistake: nothing would ever be delivered."""
_QUIET_WINDOW = re.compile(r"(?:(?P<days>[A-Za-z,:\-0-9/]+)\s+)?(?P<start>\d\d?:\d\d)\s*-\s*(?P<end>\d\d?:\d\d)\s+(?P<zone>[\w+\-/]+)")
_EXCHANGE = re.compile(r"(?P<when>closed|outside)\s+(?P<name>\S+)", re.IGNORECASE)
_QUIET_SYNTAX = '"22:00-07:00 Asia/Shanghai", optionally with days before it ("Mon-Fri", "Sat,Sun"), "closed XSHG" or "outside XNYS"'
_DIGEST = re.compile(r"(?:(?P<days>[A-Za-z,\-]+)\s+)?(?P<times>\d\d?:\d\d(?:\s*,\s*\d\d?:\d\d)*)\s+(?P<zone>[\w+\-/]+)")
_DIGEST_SYNTAX = '"hourly" or "08:00 Asia/Shanghai", optionally with days before it ("Mon-Fri 08:00,18:00 ...")'
_WEEK = timedelta(days=8)


class TradingCalendar(Protocol):
    """The trading days of an exchange."""

    @property
    def zone(self) -> ZoneInfo:
        """Time zone of the exchange."""

    def hours(self, day: date) -> tuple[datetime, datetime] | None:
        """First opening and last closing of a day, in UTC; None if the exchange does not trade on it."""


Calendars = Callable[[str], TradingCalendar]
"""From the name of an exchange to its calendar. Raises SettingsError for an unknown name."""


class QuietWindow(NamedTuple):
    """Quiet hours at fixed local times.

    days: the days on which they begin
    start, end: minutes after midnight in `zone`; an end over 24 * 60 is on the next day
    """

    days: Days
    start: int
    end: int
    zone: ZoneInfo

    def end_of(self, now: datetime) -> datetime | None:
        """End of the quiet hours that include `now`; None outside of them."""
        today = now.astimezone(self.zone).date()
        for day in (today - timedelta(days=1), today):
            if self.days(day) and _local_time(day, self.start, self.zone) <= now < _local_time(day, self.end, self.zone):
                return _local_time(day, self.end, self.zone)
        return None


class OutsideTradingHours(NamedTuple):
    """Quiet from the last closing of a trading day to the next opening; not during a break at midday."""

    exchange: TradingCalendar

    def end_of(self, now: datetime) -> datetime | None:
        """End of the quiet hours that include `now`; None outside of them."""
        day = now.astimezone(self.exchange.zone).date() - timedelta(days=1)
        for _ in range(MAX_QUIET.days + 2):  # some exchanges open on the evening before the trading day
            hours = self.exchange.hours(day)
            if hours and now < hours[1]:
                return hours[0] if now < hours[0] else None
            day += timedelta(days=1)
        return now + MAX_QUIET


class QuietHours:
    """A union of windows. Without any, it is never quiet."""

    def __init__(self, windows: tuple[QuietWindow | OutsideTradingHours, ...] = ()) -> None:
        self._windows = windows

    def __bool__(self) -> bool:
        return bool(self._windows)

    def end_of(self, now: datetime) -> datetime | None:
        """End of the quiet hours that include `now`, across adjacent windows; None outside of them. At most MAX_QUIET from now."""
        at = now.astimezone(UTC)
        while at - now < MAX_QUIET:
            ends = [end for window in self._windows if (end := window.end_of(at)) is not None]
            if not ends:
                break
            at = max(ends)
        return at if at > now else None


def parse_quiet_hours(text: str, calendars: Calendars | None = None) -> QuietHours:
    """Parses windows separated by ";"; "" and "none" have none.

    Args:
        text: of the setting.
        calendars: for windows that name an exchange.

    Raises:
        SettingsError.
    """
    if text.strip().casefold() in ("", "none"):
        return QuietHours()
    hours = QuietHours(tuple(_window(part.strip(), calendars) for part in text.split(";") if part.strip()))
    start = datetime(2026, 1, 5, tzinfo=UTC)
    if (hours.end_of(start) or start) - start >= MAX_QUIET:
        raise SettingsError(f"quiet hours {text!r} never end: nothing would ever be delivered")
    return hours


class DigestSchedule(NamedTuple):
    """Daily times of a digest. times: minutes after midnight in `zone`, ascending"""

    days: Days
    times: tuple[int, ...]
    zone: ZoneInfo

    def next_at(self, since: datetime) -> datetime:
        """The first digest time at or after `since`, in UTC."""
        today = since.astimezone(self.zone).date()
        return min(at for at in self._between(today - timedelta(days=1), today + _WEEK) if at >= since)

    def last_at(self, until: datetime) -> datetime:
        """The last digest time at or before `until`, in UTC."""
        today = until.astimezone(self.zone).date()
        return max(at for at in self._between(today - _WEEK, today + timedelta(days=1)) if at <= until)

    def _between(self, day: date, until: date) -> Iterator[datetime]:
        while day <= until:
            if self.days(day):
                yield from (_local_time(day, each, self.zone) for each in self.times)
            day += timedelta(days=1)


def parse_digest_schedule(text: str) -> DigestSchedule | None:
    """Parses the times of a digest; None for "". Raises SettingsError."""
    setting = f"digest {text!r}"
    if not text.strip():
        return None
    if text.strip().casefold() == "hourly":
        return DigestSchedule(lambda _: True, tuple(range(0, DAY, 60)), ZoneInfo("UTC"))
    parts = _DIGEST.fullmatch(text.strip())
    if parts is None:
        raise SettingsError(f"{setting}: expected {_DIGEST_SYNTAX}")
    times = sorted({_minutes(each.strip(), setting) % DAY for each in parts["times"].split(",")})
    return DigestSchedule(_weekdays(parts["days"] or "", setting), tuple(times), _zone(parts["zone"], setting))


def _window(text: str, calendars: Calendars | None) -> QuietWindow | OutsideTradingHours:
    setting = f"quiet hours {text!r}"
    by_exchange = _EXCHANGE.fullmatch(text)
    if by_exchange is not None:
        exchange = _calendar(by_exchange["name"], setting, calendars)
        if by_exchange["when"].casefold() == "outside":
            return OutsideTradingHours(exchange)
        return QuietWindow(_closed_days(exchange), 0, DAY, exchange.zone)
    parts = _QUIET_WINDOW.fullmatch(text)
    if parts is None:
        raise SettingsError(f"{setting}: expected {_QUIET_SYNTAX}")
    start, end = (_minutes(parts[name], setting) for name in ("start", "end"))
    if start == DAY:
        raise SettingsError(f"{setting}: a window cannot begin at 24:00")
    kind, colon, name = (parts["days"] or "").partition(":")
    closed = bool(colon) and kind.casefold() == "closed"
    days = _closed_days(_calendar(name, setting, calendars)) if closed else _weekdays(parts["days"] or "", setting)
    return QuietWindow(days, start, end if end > start else end + DAY, _zone(parts["zone"], setting))


def _closed_days(exchange: TradingCalendar) -> Days:
    return lambda day: exchange.hours(day) is None


def _calendar(name: str, setting: str, calendars: Calendars | None) -> TradingCalendar:
    if calendars is None:
        raise SettingsError(f"{setting}: calendars of exchanges are not available here")
    try:
        return calendars(name)
    except SettingsError as error:
        raise SettingsError(f"{setting}: {error}") from error


def _zone(name: str, setting: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise SettingsError(f"{setting}: unknown time zone {name!r}") from error


def _minutes(text: str, setting: str) -> int:
    """Minutes after midnight of "07:30", up to 24:00."""
    hours, rest = map(int, text.split(":"))
    if rest > 59 or hours * 60 + rest > DAY:
        raise SettingsError(f"{setting}: {text} is not a time of day")
    return hours * 60 + rest


def _weekdays(text: str, setting: str) -> Days:
    """The days of "Mon-Fri" or "Sat,Sun"; every day for ""."""
    if not text:
        return lambda _: True
    chosen: set[int] = set()
    for part in text.split(","):
        first, _, last = part.casefold().partition("-")
        try:
            begin, final = WEEKDAYS.index(first[:3]), WEEKDAYS.index((last or first)[:3])
        except ValueError as error:
            raise SettingsError(f"{setting}: {part!r} is not a weekday: Mon, Tue, Wed, Thu, Fri, Sat, Sun") from error
        chosen.update((begin + n) % 7 for n in range((final - begin) % 7 + 1))
    return lambda day: day.weekday() in chosen


def _local_time(day: date, after_midnight: int, zone: ZoneInfo) -> datetime:
    """So many minutes after midnight in local time, as UTC, so that comparisons hold when the clocks change."""
    days, rest = divmod(after_midnight, DAY)
    return datetime.combine(day + timedelta(days=days), time(*divmod(rest, 60)), zone).astimezone(UTC)
