"""Wall clocks in settings: places, times of a day, days of the week. Pure. `what`: the setting as it was written, for complaints."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from core.errors import SettingsError

Days = Callable[[date], bool]
DAY = 24 * 60
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def place(name: str, what: str) -> ZoneInfo:
    """The clocks of "Asia/Shanghai". Raises SettingsError."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise SettingsError(f"{what}: there is no time zone {name!r}") from error


def minutes(text: str, what: str) -> int:
    """Minutes after midnight in "07:30", up to 24:00. Raises SettingsError."""
    hours, rest = map(int, text.split(":"))
    if rest > 59 or hours * 60 + rest > DAY:
        raise SettingsError(f"{what}: {text} is no time of a day")
    return hours * 60 + rest


def weekdays(text: str, what: str) -> Days:
    """The days in "Mon-Fri" or "Sat,Sun"; all of them in "". Raises SettingsError."""
    if not text:
        return lambda _: True
    chosen: set[int] = set()
    for part in text.split(","):
        first, _, last = part.casefold().partition("-")
        try:
            begin, final = WEEKDAYS.index(first[:3]), WEEKDAYS.index((last or first)[:3])
        except ValueError as error:
            raise SettingsError(f"{what}: {part!r} is no weekday: Mon, Tue, Wed, Thu, Fri, Sat, Sun") from error
        chosen.update((begin + n) % 7 for n in range((final - begin) % 7 + 1))
    return lambda day: day.weekday() in chosen


def moment(day: date, after_midnight: int, zone: ZoneInfo) -> datetime:
    """So many minutes after midnight by the wall clocks of a place, in UTC: moments of two offsets compare rightly there."""
    days, rest = divmod(after_midnight, DAY)
    return datetime.combine(day + timedelta(days=days), time(*divmod(rest, 60)), zone).astimezone(UTC)
