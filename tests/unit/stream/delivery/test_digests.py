"""Digest schedules: times, days and changes of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import SettingsError
from stream.delivery.schedules import DigestSchedule, parse_digest_schedule
from tests.helpers.strategies import examples

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
"""A Friday."""


def parsed(text: str) -> DigestSchedule:
    found = parse_digest_schedule(text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("hourly", NOON, NOON),
        ("08:00 Asia/Shanghai", datetime(2026, 11, 21, 0, tzinfo=UTC), datetime(2026, 11, 20, 0, tzinfo=UTC)),
        ("18:00, 8:30 Asia/Shanghai", datetime(2026, 11, 21, 0, 30, tzinfo=UTC), datetime(2026, 11, 20, 10, tzinfo=UTC)),
        ("Mon-Thu 08:00 Asia/Shanghai", datetime(2026, 11, 23, 0, tzinfo=UTC), datetime(2026, 11, 19, 0, tzinfo=UTC)),
        ("Fri 12:00 UTC", NOON, NOON),
        ("24:00 UTC", datetime(2026, 11, 21, 0, tzinfo=UTC), datetime(2026, 11, 20, 0, tzinfo=UTC)),
    ],
)
def test_the_next_and_the_last_digest_time(text: str, first: datetime, last: datetime):
    assert (parsed(text).next_at(NOON), parsed(text).last_at(NOON)) == (first, last)
    if first != NOON:
        assert parsed(text).next_at(first + timedelta(microseconds=1)) > first


def test_local_time_counts_when_the_clocks_change():
    """Clocks go back on 25 October 2026 in London."""
    times = parsed("08:00 Europe/London")
    assert [times.next_at(datetime(2026, 10, day, tzinfo=UTC)).hour for day in (24, 25)] == [7, 8]


@examples(40)
@given(
    st.lists(st.integers(0, 1439), min_size=1, max_size=3), st.sampled_from(["Asia/Shanghai", "America/New_York"]), st.integers(0, 600_000)
)
def test_no_digest_time_is_skipped(at: list[int], zone: str, minutes: int):
    times = parsed(f"{', '.join(f'{each // 60}:{each % 60:02}' for each in at)} {zone}")
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    first, last = times.next_at(now), times.last_at(now)
    assert last <= now <= first <= last + timedelta(hours=26)
    assert times.last_at(first) == first and times.next_at(last) == last
    if first.astimezone(ZoneInfo(zone)).utcoffset() == (first - timedelta(hours=3)).astimezone(ZoneInfo(zone)).utcoffset():
        local = first.astimezone(ZoneInfo(zone))
        assert local.hour * 60 + local.minute in at


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_text_has_no_digest(text: str):
    assert parse_digest_schedule(text) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("daily", "expected"),
        ("08:00", "expected"),
        ("08:00 Mars/Base", "unknown time zone 'Mars/Base'"),
        ("25:00 UTC", "25:00 is not a time"),
        ("Fry 08:00 UTC", "not a weekday"),
    ],
)
def test_a_syntax_error_is_rejected_with_a_reason(text: str, reason: str):
    with pytest.raises(SettingsError, match=f"digest '{text}': .*{reason}"):
        parse_digest_schedule(text)
