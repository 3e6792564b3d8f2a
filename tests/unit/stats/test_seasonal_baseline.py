from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats.minute_counts import DAY_S, EMPTY, HOUR_S, FloatArray, Tally
from stats.seasonal_baseline import (
    BIN_S,
    BINS_PER_HOUR,
    LEAST_DISPERSION,
    PRIOR_DISPERSION,
    RETURN_S,
    WEEK,
    Baseline,
    Feed,
    baseline,
    between,
    feed_of,
    floor,
    reaches,
    within,
)
from tests.helpers.strategies import examples

MIDNIGHT = 1_795_132_800
"""2026-11-20, a Friday, UTC."""
DAYS = 28
LAST = MIDNIGHT // HOUR_S
FIRST = LAST - 24 * DAYS
WIDTHS_H = (1, 4, 24)


def by_hour(rates: FloatArray) -> FloatArray:
    """Stories an hour for each of the last 28 days' hours, from those of a day [24]."""
    return np.tile(np.asarray(rates, np.float64), DAYS)


def told(dice: np.random.Generator, per_hour: FloatArray, bad: int) -> Tally:
    """Stories that come by chance, so many an hour on average, from FIRST on; bad: whether they are negative."""
    counts = dice.poisson(np.repeat(per_hour / BINS_PER_HOUR, BINS_PER_HOUR))
    at = np.repeat(FIRST * HOUR_S + BIN_S * np.arange(len(counts)), counts) + dice.integers(0, BIN_S, int(counts.sum()))
    return Tally.of(at, np.full(len(at), bad))


def usual(series: Tally, market: Tally) -> Baseline:
    return baseline(series, feed_of(market, FIRST, LAST), FIRST, LAST, WIDTHS_H)


def due(rates: FloatArray, hour: int, day: int = 0) -> float:
    """Stories due in this hour of the day, `day` days from MIDNIGHT."""
    since = MIDNIGHT + day * DAY_S + hour * HOUR_S
    return float(between(rates, since, since + HOUR_S))


WORKDAY = np.where((np.arange(24) >= 9) & (np.arange(24) < 17), 60.0, 6.0)


def test_busy_hours_are_expected_to_be_busy():
    """A series with a rhythm of its own, of which the feed as a whole knows nothing."""
    dice = np.random.default_rng(7)
    own = np.where((np.arange(24) >= 12) & (np.arange(24) < 18), 6.0, 0.5)
    series = told(dice, by_hour(own), bad=1)
    found = usual(series, told(dice, by_hour(np.full(24, 40.0)), bad=0) + series)
    noons, nights = ([due(found.negative, hour, day) for day in range(7) for hour in hours] for hours in ((13, 14, 15), (2, 3, 4)))
    assert np.mean(noons) == pytest.approx(6.0, rel=0.15)
    assert np.mean(nights) == pytest.approx(0.5, rel=0.5)
    assert min(noons) > 3 * max(nights)


def test_a_thin_series_has_the_rhythm_of_the_feed_and_a_level_of_its_own():
    dice = np.random.default_rng(8)
    market = told(dice, by_hour(WORKDAY), bad=0)
    thin = Tally.of(MIDNIGHT - DAY_S * np.arange(1, 9) + 12 * HOUR_S, np.ones(8))  # eight stories, each at noon
    found = usual(thin, market)
    assert due(found.negative, 10) > 4 * due(found.negative, 22)
    assert float(found.negative.sum()) == pytest.approx(8 / 4, rel=0.35)


def test_a_gap_of_the_feed_is_unknown_and_not_quiet():
    dice = np.random.default_rng(9)
    market, series = told(dice, by_hour(np.full(24, 30.0)), bad=0), told(dice, by_hour(np.full(24, 2.0)), bad=1)
    whole = market + series
    away = (FIRST + 300) * HOUR_S, (FIRST + 300 + 10 * 24) * HOUR_S  # ten of 28 days

    def without(tally: Tally) -> Tally:
        return tally.between(0, away[0]).then(tally.between(away[1], 2**40))

    feed = feed_of(without(whole), FIRST, LAST)
    assert feed.heard.sum() == pytest.approx(24 * DAYS - 240, abs=1)
    found = baseline(without(series), feed, FIRST, LAST, WIDTHS_H)
    assert float(found.negative.sum()) == pytest.approx(float(usual(series, whole).negative.sum()), rel=0.15)
    assert float(found.negative.sum()) / 168 == pytest.approx(2.0, rel=0.15)
    assert found.dispersion[1] < 2 * PRIOR_DISPERSION
    ((fell, back),) = feed.silences(without(whole), FIRST * HOUR_S, LAST * HOUR_S)
    assert away[0] - HOUR_S < fell < away[0] and away[1] <= back < away[1] + HOUR_S


def test_a_night_in_which_nobody_writes_is_no_gap():
    dice = np.random.default_rng(10)
    feed = feed_of(told(dice, by_hour(np.where(np.arange(24) < 7, 0.0, 40.0)), bad=0), FIRST, LAST)
    assert feed.heard.min() == 1


def test_one_wild_hour_hardly_moves_what_is_expected_of_the_next():
    dice = np.random.default_rng(11)
    market, series = told(dice, by_hour(np.full(24, 30.0)), bad=0), told(dice, by_hour(np.full(24, 0.4)), bad=1)
    wild = series + Tally.of(np.full(400, (LAST - 24 * 7 + 12) * HOUR_S), np.ones(400))  # at noon, a week ago
    calm, after = usual(series, market + series), usual(wild, market + wild)
    assert due(after.negative, 12) < due(calm.negative, 12) + 2.0
    assert due(after.negative, 3) < 1.3 * due(calm.negative, 3)
    assert after.dispersion[1] < 4 * PRIOR_DISPERSION


def test_bursty_counts_are_taken_to_be_bursty():
    dice = np.random.default_rng(3)
    market = told(dice, by_hour(np.full(24, 40.0)), bad=0)
    steady = usual(told(dice, by_hour(np.full(24, 8.0)), bad=1), market)
    bursty = usual(told(dice, dice.gamma(2.0, 4.0, 24 * DAYS), bad=1), market)  # negative binomial, dispersion 0.5
    assert steady.dispersion[1] == pytest.approx(LEAST_DISPERSION, abs=0.03)
    assert 0.25 < bursty.dispersion[1] < 0.75


def test_no_past_is_nothing_due_and_the_prior():
    feed = feed_of(EMPTY, FIRST, LAST)
    for found in (baseline(EMPTY, feed, LAST, LAST, WIDTHS_H), baseline(EMPTY, Feed(LAST, np.zeros(0), np.zeros(WEEK)), LAST, LAST, (1,))):
        assert float(found.negative.sum() + found.others.sum()) == 0
        assert set(found.dispersion.values()) == {PRIOR_DISPERSION}
    assert feed.shape.tolist() == [1.0] * WEEK
    assert 0 < floor(0.25) < floor(24) < 24 * floor(1)


moments = st.lists(st.tuples(st.integers(-100, 5), st.integers(0, 3_599), st.integers(1, 300), st.booleans()), max_size=25)


@examples(40)
@given(moments, st.integers(0, 100))
def test_whatever_came_what_is_expected_is_a_number_and_not_negative(stories: list[tuple[int, int, int, bool]], hours: int):
    at = [(LAST + hour) * HOUR_S + second for hour, second, _, _ in stories]
    series = Tally.of(at, [count * bad for *_, count, bad in stories], [count for *_, count, _ in stories])
    feed = feed_of(series, LAST - hours, LAST)
    found = baseline(series, feed, LAST - hours, LAST, WIDTHS_H)
    for rates in (found.negative, found.others, feed.rates, feed.shape):
        assert np.isfinite(rates).all() and (rates >= 0).all()
    assert set(np.unique(feed.heard)) <= {0.0, 1.0}
    assert all(np.isfinite(value) and value >= LEAST_DISPERSION for value in found.dispersion.values())


@examples(60)
@given(st.integers(0, 3 * 7 * DAY_S), st.integers(60, 8 * DAY_S))
def test_what_is_due_is_the_sum_of_all_quarters_that_are_touched(since: int, width_s: int):
    rates = np.arange(WEEK, dtype=np.float64)
    touched = range(since // BIN_S, -(-(since + width_s) // BIN_S))
    assert float(between(rates, since, since + width_s)) == pytest.approx(sum(rates[quarter % WEEK] for quarter in touched), rel=1e-9)


@examples(60)
@given(st.integers(MIDNIGHT, MIDNIGHT + 9 * DAY_S), st.integers(1, 9 * DAY_S), st.integers(0, 9 * DAY_S))
def test_shares_of_quarters_add_up_to_what_is_due_in_whole_ones(since: int, width_s: int, cut: int):
    rates = np.random.default_rng(5).uniform(0, 3, WEEK)
    middle, until = since + min(cut, width_s), since + width_s
    whole = float(within(rates, since, until))
    assert float(within(rates, since, middle)) + float(within(rates, middle, until)) == pytest.approx(whole, abs=1e-6)
    quarters = (since // BIN_S * BIN_S, -(-until // BIN_S) * BIN_S)
    assert float(within(rates, *quarters)) == pytest.approx(float(between(rates, since, until)), rel=1e-9)
    assert float(within(rates, MIDNIGHT, MIDNIGHT + 90)) == pytest.approx(rates[MIDNIGHT // BIN_S % WEEK] * 0.1, rel=1e-9)


def test_stories_may_have_waited_since_the_feed_fell_silent():
    silences = [(100, 500), (90_000, 91_300)]
    assert reaches(silences, 91_200, 91_500) == 90_000
    assert reaches(silences, 400, 91_500) == 100
    assert reaches(silences, 91_300, 91_500) == 90_000  # in the minutes after the return
    assert reaches(silences, 91_300 + RETURN_S, 95_500) == 90_000
    assert reaches(silences, 91_301 + RETURN_S, 95_500) == 91_301 + RETURN_S  # by then it has brought all
    assert reaches(silences, 90_500, 91_200) == 90_500  # before the return
    assert reaches([], 5, 10) == 5
