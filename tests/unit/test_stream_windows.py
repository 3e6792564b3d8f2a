from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from spine.store import WindowCount
from stream.windows import Window, align, fill, history_start, touched, window_of

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
WIDTH_S = 900
moments = st.datetimes(datetime(2000, 1, 1), datetime(2050, 1, 1), timezones=st.just(UTC))


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def test_the_window_of_a_story_ends_with_its_minute():
    # 11:53      12:08
    #   [──────────)
    #            ^ 12:07:30
    assert window_of(at(7.5), WIDTH_S) == Window(at(-7), at(8))


def test_a_story_on_the_minute_lies_inside_as_windows_are_half_open():
    assert window_of(at(7), WIDTH_S) == Window(at(-7), at(8))


@given(moments, st.sampled_from([60, 300, 900, 86_400]))
def test_a_window_holds_its_moment_in_its_last_step(moment: datetime, width_s: int):
    window = window_of(moment, width_s)
    assert window.start <= moment < window.end
    assert window.end - moment <= timedelta(seconds=60)
    assert window.end - window.start == timedelta(seconds=width_s)
    assert align(window.end, 60) == window.end


@given(st.lists(st.floats(0, 59), min_size=1, max_size=20))
def test_the_order_of_arrival_does_not_change_which_windows_are_judged(minutes: list[float]):
    stories = [at(minute) for minute in minutes]
    now = at(60)
    assert touched(stories, WIDTH_S, now, 3600) == touched(sorted(stories, reverse=True), WIDTH_S, now, 3600)
    assert len(touched(stories, WIDTH_S, now, 3600)) <= 5


def test_the_newest_story_of_each_stretch_names_the_window():
    assert touched([at(1), at(3), at(17), at(2)], WIDTH_S, at(20), 3600) == [window_of(at(3), WIDTH_S), window_of(at(17), WIDTH_S)]


def test_history_rings_nothing_and_a_clock_that_runs_ahead_means_now():
    assert touched([at(-90)], WIDTH_S, at(0), 3600) == []
    assert touched([at(9)], WIDTH_S, at(0), 3600) == [window_of(at(0), WIDTH_S)]


def test_the_past_is_whole_windows_and_starts_when_the_series_was_first_seen():
    window = Window(at(0), at(15))
    assert history_start(window, 3600, None) == at(-60)
    assert history_start(window, 3600, at(-40)) == at(-30)
    assert history_start(window, 3600, at(-10)) == at(0)
    assert history_start(window, 3600, at(5)) == at(0)


def test_windows_without_a_story_are_zero():
    some = WindowCount(at(15), WIDTH_S, 2, 3)
    assert fill([some], at(0), at(45), WIDTH_S) == [WindowCount(at(0), WIDTH_S, 0, 0), some, WindowCount(at(30), WIDTH_S, 0, 0)]
    assert fill([], at(0), at(0), WIDTH_S) == []
