"""Trading days and hours of exchanges, with holidays and early closings, from exchange_calendars.

The library is imported only when an exchange is named: the import takes over a second, most of it for pandas.
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


class _RegularHours(NamedTuple):
    """Trading hours of a year whose holidays are not published yet, in local time."""

    weekdays: frozenset[int]
    opens: time
    closes: time


class Exchange:
    """The calendar of an exchange. Each year is loaded on first use.

    zone: its time zone
    """

    def __init__(self, name: str, last_year: int) -> None:
        """last_year: a year whose holidays are known. Raises any error of exchange_calendars."""
        self._name = name
        self.zone, days = _year(name, last_year)
        self._years: dict[int, dict[date, Hours] | _RegularHours] = {last_year: days}
        opens, closes = days[max(days)]
        at = (opens.astimezone(self.zone).time(), closes.astimezone(self.zone).time())
        self._regular = _RegularHours(frozenset(day.weekday() for day in days), *at)

    def hours(self, day: date) -> Hours | None:
        """First opening and last closing of a day, in UTC; None if the exchange does not trade on it.

        In a year whose holidays are not published yet, every weekday is a trading day.
        """
        if day.year not in self._years:
            self._years[day.year] = self._read(day.year)
        year = self._years[day.year]
        if not isinstance(year, _RegularHours):
            return year.get(day)
        if day.weekday() not in year.weekdays:
            return None
        opens, closes = (datetime.combine(day, at, self.zone).astimezone(UTC) for at in (year.opens, year.closes))
        return opens, closes

    def _read(self, year: int) -> dict[date, Hours] | _RegularHours:
        try:
            return _year(self._name, year)[1]
        except Exception as error:  # ValueError where holidays are not recorded; others occur too
            _log.warning("holidays_unknown", exchange=self._name, year=year, error=str(error)[:200])
            return self._regular


@functools.cache
def load_exchange(name: str) -> Exchange:
    """The exchange with this ISO 10383 code, such as XSHG, or alias, such as NYSE. Raises SettingsError with similar names."""
    from exchange_calendars import get_calendar_names

    known = {each.upper(): each for each in get_calendar_names()}
    found = known.get(name.upper())
    if found is None:
        close = difflib.get_close_matches(name.upper(), sorted(known), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(known[each] for each in close)}?" if close else "use a code such as XSHG, XHKG, XNYS or XLON"
        raise SettingsError(f"unknown exchange {name!r}: {hint}")
    try:
        return Exchange(found, datetime.now(UTC).year - 1)
    except Exception as error:  # some calendars fail with NotImplementedError or ValueError
        raise SettingsError(f"the calendar of the exchange {found} cannot be loaded: {str(error)[:200]}") from error


def _year(name: str, year: int) -> tuple[ZoneInfo, dict[date, Hours]]:
    """Time zone, and the hours of each trading day of a year."""
    from exchange_calendars import get_calendar

    calendar = get_calendar(name, start=f"{year}-01-01", end=f"{year}-12-31")
    rows = zip(calendar.schedule.index, calendar.schedule["open"], calendar.schedule["close"], strict=True)
    days = {day.date(): (start.to_pydatetime().astimezone(UTC), end.to_pydatetime().astimezone(UTC)) for day, start, end in rows}
    return ZoneInfo(str(calendar.tz)), days
