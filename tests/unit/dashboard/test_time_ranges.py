"""Time ranges: presets that end now, and custom ones in the address, which are the same period for every viewer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.pages.range_picker import FAULTS, fault_words, range_words
from dashboard.time_ranges import LONGEST, RANGES, SHORTEST, bounds, exact, free_key, range_of, starts, wall
from dashboard.view import View, parse

NOW = datetime(2026, 11, 22, 6, 5, tzinfo=UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")
moments = st.datetimes(datetime(1990, 1, 1), datetime(2050, 1, 1)).map(lambda moment: moment.replace(second=0, microsecond=0, tzinfo=UTC))
spans = st.integers(int(SHORTEST.total_seconds()) // 60, int(LONGEST.total_seconds()) // 60).map(lambda minutes: timedelta(minutes=minutes))


@given(moments, spans)
def test_a_free_range_is_read_as_it_was_written_and_has_windows_that_fit_a_chart(since: datetime, span: timedelta):
    key = free_key(since, since + span)
    found = range_of(key)
    assert found is not None
    assert (found.key, exact(found, NOW)) == (key, (since, since + span))
    first, last = bounds(found, NOW)
    assert first <= since < since + span <= last
    assert last - first < span + 2 * timedelta(seconds=found.width_s)
    assert int(first.timestamp()) % found.width_s == 0
    assert 1 <= len(starts(first, last, found.width_s)) <= 94
    assert parse({"range": key}) == View(range=key)


@pytest.mark.parametrize(
    "key",
    [
        "", "25h", "20261121T0000Z-20261120T0000Z", "20261120T0000Z-20261120T0000Z", "20261120T0000Z-20261120T0004Z",
        "20260101T0000Z-20261120T0000Z",
        "20260231T0000Z-20260302T0000Z", "20261120T2500Z-20261121T0000Z", "20261120T0000-20261121T0000", "00010101T0000Z-00010102T0000Z",
        "20261120T0000Z-20261121T0000Z; DROP TABLE x", "２０２６1120T0000Z-20261121T0000Z", "99991230T0000Z-99991231T0000Z",
        None, 7, ["24h"],
    ],
)  # fmt: skip
def test_an_invalid_range_is_refused_and_the_page_shows_an_error(key: object):
    assert range_of(key) is None
    view = parse({"range": key})
    assert (view.range, view.odd_range) == ("24h", bool(key))


def test_a_range_is_shown_and_set_in_the_viewers_time_zone():
    key = free_key(NOW, NOW + timedelta(hours=3))
    chosen = range_of(key)
    assert chosen is not None
    assert wall(chosen, NOW, SHANGHAI) == ("2026-11-22T14:05", "2026-11-22T17:05")
    assert range_words(View(range=key, zone="Asia/Shanghai", language="zh")) == "11月22日 14:05 – 11月22日 17:05"
    assert wall(RANGES["1h"], NOW, UTC) == ("2026-11-22T05:05", "2026-11-22T06:05")
    assert range_words(View()) == "24 h"


def test_each_fault_has_words_in_both_languages():
    english, chinese = fault_words(View()), fault_words(View(language="zh"))
    assert set(english) == set(chinese) == set(FAULTS)
    assert not set(english.values()) & set(chinese.values())
