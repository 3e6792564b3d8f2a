"""Quiet hours: when people are left alone. Pure: no clock.

    22:00-07:00 Asia/Shanghai; Sat,Sun 00:00-24:00 Asia/Shanghai; closed:XSHG 00:00-24:00 Asia/Shanghai

A window is of the day on which it begins; one that ends at or before its start ends on the next day. Where the clocks change, a
window is as long as the wall clocks make it. The days on which an exchange is closed come from a calendar that the caller gives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from spine.errors import SettingsError

Closed = Callable[[date], bool]
"""Whether an exchange is closed on a day of its own."""

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FARTHEST = timedelta(days=31)
"""Quiet that goes on for longer than this is a mistake: nothing would ever be delivered."""
_WINDOW = re.compile(r"(?:(?P<days>[A-Za-z,:\-0-9]+)\s+)?(?P<start>\d\d?:\d\d)\s*-\s*(?P<end>\d\d?:\d\d)\s+(?P<zone>[\w+\-/]+)")
_FORM = '"22:00-07:00 Asia/Shanghai", with days before it if need be ("Mon-Fri", "Sat,Sun")'


class Window(NamedTuple):
    """Quiet on the days for which `on` holds, from `start` to `end` minutes after midnight by the clocks of `zone`.

    end: over 24 * 60 when it is of the next day
    """

    on: Closed
    start: int
    end: int
    zone: ZoneInfo

    def end_of(self, now: datetime) -> datetime | None:
        """When the quiet around `now` ends; None: there is none."""
        today = now.astimezone(self.zone).date()
        for day in (today - timedelta(days=1), today):
            if self.on(day) and self._at(day, self.start) <= now < self._at(day, self.end):
                return self._at(day, self.end)
        return None

    def _at(self, day: date, minutes: int) -> datetime:
        """UTC: moments of two offsets compare rightly there."""
        days, rest = divmod(minutes, 24 * 60)
        return datetime.combine(day + timedelta(days=days), time(*divmod(rest, 60)), self.zone).astimezone(UTC)


class QuietHours:
    """The windows together. Without any it is never quiet."""

    def __init__(self, windows: tuple[Window, ...] = ()) -> None:
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


def quiet_hours(text: str, calendars: Mapping[str, Closed] | None = None) -> QuietHours:
    """The quiet hours in words, windows separated by ";"; never quiet for "" and "none". Raises SettingsError.

    calendars: name to the days on which that exchange is closed, for windows that begin with "closed:NAME"
    """
    if text.strip().casefold() in ("", "none"):
        return QuietHours()
    made = QuietHours(tuple(_window(part.strip(), calendars or {}) for part in text.split(";") if part.strip()))
    start = datetime(2026, 1, 5, tzinfo=UTC)
    if (made.ends(start) or start) - start >= FARTHEST:
        raise SettingsError(f"quiet hours {text!r} never end: nothing would ever be delivered")
    return made


def _window(text: str, calendars: Mapping[str, Closed]) -> Window:
    form = _WINDOW.fullmatch(text)
    if form is None:
        raise SettingsError(f"quiet hours {text!r}: expected {_FORM}")
    start, end = (_minutes(form[name], text) for name in ("start", "end"))
    if start == 24 * 60:
        raise SettingsError(f"quiet hours {text!r}: a window cannot begin at 24:00")
    try:
        zone = ZoneInfo(form["zone"])
    except (OSError, ValueError, KeyError) as error:
        raise SettingsError(f"quiet hours {text!r}: there is no time zone {form['zone']!r}") from error
    return Window(_days(form["days"] or "", text, calendars), start, end if end > start else end + 24 * 60, zone)


def _minutes(text: str, whole: str) -> int:
    hours, minutes = map(int, text.split(":"))
    if minutes > 59 or hours * 60 + minutes > 24 * 60:
        raise SettingsError(f"quiet hours {whole!r}: {text} is no time of a day")
    return hours * 60 + minutes


def _days(text: str, whole: str, calendars: Mapping[str, Closed]) -> Closed:
    if not text:
        return lambda _: True
    kind, colon, name = text.partition(":")
    if colon and kind.casefold() == "closed":
        if name not in calendars:
            known = ", ".join(sorted(calendars)) or "none is installed"
            raise SettingsError(f"quiet hours {whole!r}: there is no calendar of the exchange {name!r} ({known})")
        return calendars[name]
    chosen: set[int] = set()
    for part in text.split(","):
        first, _, last = part.casefold().partition("-")
        try:
            begin, final = WEEKDAYS.index(first[:3]), WEEKDAYS.index((last or first)[:3])
        except ValueError as error:
            raise SettingsError(f"quiet hours {whole!r}: {part!r} is no weekday: Mon, Tue, Wed, Thu, Fri, Sat, Sun") from error
        chosen.update((begin + n) % 7 for n in range((final - begin) % 7 + 1))
    return lambda day: day.weekday() in chosen
