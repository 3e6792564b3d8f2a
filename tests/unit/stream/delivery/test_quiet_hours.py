"""Quiet hours: midnight, weekends, changes of the clocks, and trading calendars."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import SettingsError
from stream.delivery.schedules import QuietHours, parse_quiet_hours
from tests.helpers.strategies import examples

SHANGHAI, LONDON = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/London")
NIGHT = "22:00-07:00 Asia/Shanghai"


def shanghai(day: int, hour: int, minute: int = 0) -> datetime:
    """Of November 2026; the 20th is a Friday."""
    return datetime(2026, 11, day, hour, minute, tzinfo=SHANGHAI)


@pytest.mark.parametrize(
    ("now", "end"),
    [
        (shanghai(20, 21, 59), None),
        (shanghai(20, 22), shanghai(21, 7)),
        (shanghai(21, 0), shanghai(21, 7)),
        (shanghai(21, 6, 59), shanghai(21, 7)),
        (shanghai(21, 7), None),
        (shanghai(20, 23).astimezone(UTC), shanghai(21, 7)),
    ],
)
def test_quiet_hours_continue_over_midnight(now: datetime, end: datetime | None):
    assert parse_quiet_hours(NIGHT).end_of(now) == end


def test_adjacent_windows_are_merged():
    weekend = parse_quiet_hours(f"{NIGHT}; Sat,Sun 00:00-24:00 Asia/Shanghai")
    assert weekend.end_of(shanghai(20, 23)) == shanghai(23, 7)
    assert weekend.end_of(shanghai(18, 23)) == shanghai(19, 7)


def test_a_window_belongs_to_the_day_on_which_it_begins():
    weekdays = parse_quiet_hours("Mon-Fri 22:00-07:00 Asia/Shanghai")
    assert weekdays.end_of(shanghai(21, 3)) == shanghai(21, 7)
    assert weekdays.end_of(shanghai(22, 3)) is None
    assert weekdays.end_of(shanghai(23, 3)) is None, "the night after Sunday is not included"
    around = parse_quiet_hours("fri-mon 22:00-23:00 Asia/Shanghai")
    assert [around.end_of(shanghai(day, 22)) is not None for day in range(16, 23)] == [True, False, False, False, True, True, True]


def test_local_time_counts_when_the_clocks_change():
    night = parse_quiet_hours("22:00-07:00 Europe/London")
    spring = datetime(2026, 3, 28, 22, tzinfo=LONDON)
    autumn = datetime(2026, 10, 24, 22, tzinfo=LONDON)
    lengths = []
    for start in (spring, autumn):
        end = night.end_of(start)
        assert end is not None
        assert end.astimezone(LONDON).hour == 7
        lengths.append((end - start.astimezone(UTC)) / timedelta(hours=1))
    assert lengths == [8, 10]


class FixedCalendar:
    """Trades from 9:30 to 15:00 in Shanghai on weekdays that are not holidays."""

    zone = SHANGHAI
    holidays = (date(2026, 10, 1), date(2026, 10, 2))

    def hours(self, day: date) -> tuple[datetime, datetime] | None:
        if day.weekday() > 4 or day in self.holidays:
            return None
        opens, closes = (datetime.combine(day, at, SHANGHAI).astimezone(UTC) for at in (time(9, 30), time(15)))
        return opens, closes


def fixed_calendar(name: str) -> FixedCalendar:
    if name != "XSHG":
        raise SettingsError(f"unknown exchange {name}")
    return FixedCalendar()


def test_closed_days_follow_the_trading_calendar():
    """1 October 2026 is a Thursday."""
    for text in ("closed XSHG", "closed:XSHG 00:00-24:00 Asia/Shanghai"):
        quiet = parse_quiet_hours(text, fixed_calendar)
        assert quiet.end_of(datetime(2026, 10, 1, 9, tzinfo=SHANGHAI)) == datetime(2026, 10, 5, tzinfo=SHANGHAI)
        assert quiet.end_of(datetime(2026, 10, 5, 3, tzinfo=SHANGHAI)) is None, "the night before a trading day is not quiet"
    morning = parse_quiet_hours("closed:XSHG 06:00-09:00 Asia/Shanghai", fixed_calendar)
    assert morning.end_of(datetime(2026, 10, 1, 8, tzinfo=SHANGHAI)) == datetime(2026, 10, 1, 9, tzinfo=SHANGHAI)
    assert morning.end_of(datetime(2026, 9, 30, 8, tzinfo=SHANGHAI)) is None


def test_it_is_quiet_outside_trading_hours():
    quiet = parse_quiet_hours("Outside XSHG", fixed_calendar)
    opens = datetime(2026, 10, 5, 9, 30, tzinfo=SHANGHAI)
    for day, hour in ((30, 15), (30, 23)):
        assert quiet.end_of(datetime(2026, 9, day, hour, tzinfo=SHANGHAI)) == opens
    assert quiet.end_of(datetime(2026, 10, 3, 12, tzinfo=SHANGHAI)) == opens
    assert quiet.end_of(opens - timedelta(microseconds=1)) == opens
    for at in (opens, opens + timedelta(hours=5, minutes=29)):
        assert quiet.end_of(at) is None
    both = parse_quiet_hours("outside XSHG; 09:00-10:00 Asia/Shanghai", fixed_calendar)
    assert both.end_of(datetime(2026, 10, 3, 12, tzinfo=SHANGHAI)) == opens + timedelta(minutes=30)


@pytest.mark.parametrize("text", ["closed XSHE", "outside XSHE", "closed:XSHE 00:00-24:00 UTC"])
def test_an_unknown_exchange_is_rejected_with_the_setting(text: str):
    with pytest.raises(SettingsError, match=f"quiet hours '{text}': unknown exchange XSHE"):
        parse_quiet_hours(text, fixed_calendar)
    with pytest.raises(SettingsError, match="not available here"):
        parse_quiet_hours(text)


@pytest.mark.parametrize("text", ["", "none", " None "])
def test_an_empty_text_is_never_quiet(text: str):
    assert not parse_quiet_hours(text)
    assert QuietHours().end_of(shanghai(20, 23)) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("22:00-07:00", "expected"),
        ("22:00-07:00 Mars/Base", "unknown time zone 'Mars/Base'"),
        ("22:00-07:00 ../../etc/passwd", "expected"),
        ("22:61-07:00 UTC", "22:61 is not a time"),
        ("25:00-26:00 UTC", "25:00 is not a time"),
        ("24:00-07:00 UTC", "cannot begin"),
        ("Fry-Sat 22:00-07:00 UTC", "not a weekday"),
        ("00:00-24:00 UTC", "never end"),
        ("00:00-12:00 UTC; 12:00-00:00 UTC", "never end"),
    ],
)
def test_a_syntax_error_is_rejected_with_a_reason(text: str, reason: str):
    with pytest.raises(SettingsError, match=reason):
        parse_quiet_hours(text)


@examples(60)
@given(
    st.integers(0, 1439),
    st.integers(1, 1440),
    st.sampled_from(["Asia/Shanghai", "Europe/London", "America/New_York", "UTC"]),
    st.integers(0, 365 * 24 * 60),
)
def test_quiet_hours_last_exactly_until_their_end(start: int, end: int, zone: str, minutes: int):
    if end == start or (start == 0 and end == 1440):
        return
    hours = parse_quiet_hours(f"{start // 60}:{start % 60:02}-{end // 60}:{end % 60:02} {zone}")
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    until = hours.end_of(now)
    local = now.astimezone(ZoneInfo(zone))
    minute = local.hour * 60 + local.minute
    inside = start <= minute < end if end > start else minute >= start or minute < end
    if local.utcoffset() == (now - timedelta(hours=26)).astimezone(ZoneInfo(zone)).utcoffset():  # the clocks did not change
        assert (until is not None) == inside
    if until is not None:
        assert now < until <= now + timedelta(hours=25)
        assert hours.end_of(until) is None
        assert hours.end_of(until - timedelta(minutes=1)) is not None or until - now < timedelta(minutes=1)
