"""The days and hours of exchanges, holidays and early closings included: the door of exchange_calendars.

That is imported when an exchange is named, and not before: it takes over a second, most of it pandas.
"""

from __future__ import annotations

import difflib
import functools
from datetime import UTC, date, datetime, time
from typing import NamedTuple
from zoneinfo import ZoneInfo

from core import log
from core.errors import SettingsError

Hours = tuple[datetime, datetime]
_log = log.get_logger(__name__)


class _Usual(NamedTuple):
    """What holds for a year of which nobody has published the holidays: the days of the week, and the exchange's own clocks."""

    weekdays: frozenset[int]
    opens: time
    closes: time


class Exchange:
    """One exchange. A year is read when one of its days is asked for.

    zone: of its clocks
    """

    def __init__(self, name: str, last_year: int) -> None:
        """Raises what exchange_calendars raises for a calendar that it cannot make; last_year: one whose holidays are known."""
        self._name = name
        self.zone, days = _year(name, last_year)
        self._years: dict[int, dict[date, Hours] | _Usual] = {last_year: days}
        opens, closes = days[max(days)]
        at = (opens.astimezone(self.zone).time(), closes.astimezone(self.zone).time())
        self._usual = _Usual(frozenset(day.weekday() for day in days), *at)

    def hours(self, day: date) -> Hours | None:
        """From its first opening to its last closing on a day of its own, in UTC; None: it does not trade on that day.

        Of a year whose holidays nobody has published yet, every weekday is a day like any other.
        """
        if day.year not in self._years:
            self._years[day.year] = self._read(day.year)
        year = self._years[day.year]
        if not isinstance(year, _Usual):
            return year.get(day)
        if day.weekday() not in year.weekdays:
            return None
        opens, closes = (datetime.combine(day, at, self.zone).astimezone(UTC) for at in (year.opens, year.closes))
        return opens, closes

    def _read(self, year: int) -> dict[date, Hours] | _Usual:
        try:
            return _year(self._name, year)[1]
        except Exception as error:  # a ValueError where holidays are not recorded, and whatever it meets on its way
            _log.warning("holidays not known", exchange=self._name, year=year, error=str(error)[:200])
            return self._usual


@functools.cache
def exchange(name: str) -> Exchange:
    """The exchange with this code of ISO 10383, such as XSHG, or an alias, such as NYSE. Raises SettingsError with names like it."""
    from exchange_calendars import get_calendar_names

    known = {each.upper(): each for each in get_calendar_names()}
    found = known.get(name.upper())
    if found is None:
        close = difflib.get_close_matches(name.upper(), sorted(known), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(known[each] for each in close)}?" if close else "it has a code such as XSHG, XHKG, XNYS or XLON"
        raise SettingsError(f"there is no calendar of the exchange {name!r}: {hint}")
    try:
        return Exchange(found, datetime.now(UTC).year - 1)
    except Exception as error:  # some are broken: NotImplementedError, ValueError
        raise SettingsError(f"the calendar of the exchange {found} cannot be made: {str(error)[:200]}") from error


def _year(name: str, year: int) -> tuple[ZoneInfo, dict[date, Hours]]:
    """Where it is, and day to hours of the days of a year on which it trades."""
    from exchange_calendars import get_calendar

    calendar = get_calendar(name, start=f"{year}-01-01", end=f"{year}-12-31")
    rows = zip(calendar.schedule.index, calendar.schedule["open"], calendar.schedule["close"], strict=True)
    days = {day.date(): (start.to_pydatetime().astimezone(UTC), end.to_pydatetime().astimezone(UTC)) for day, start, end in rows}
    return ZoneInfo(str(calendar.tz)), days
