from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats.minute_counts import DAY_S, EMPTY, HOUR_S, FloatArray, StoryCounts
from stats.seasonal_baseline import (
    BIN_S,
    BINS_PER_HOUR,
    BINS_PER_WEEK,
    CATCH_UP_S,
    MIN_DISPERSION,
    PRIOR_DISPERSION,
    FeedActivity,
    SeasonalBaseline,
    catch_up_start,
    fit_baseline,
    fit_feed_activity,
    floor,
    rate_integral,
    rate_sum,
)
from tests.helpers.strategies import examples

MIDNIGHT = 1_795_132_800
"""2026-11-20, a Friday, UTC."""
DAYS = 28
LAST = MIDNIGHT // HOUR_S
FIRST = LAST - 24 * DAYS
WIDTHS_H = (1, 4, 24)


def by_hour(rates: FloatArray) -> FloatArray:
    """Stories per hour of the last 28 days, from those of a day [24]."""
    return np.tile(np.asarray(rates, np.float64), DAYS)


def poisson_stories(dice: np.random.Generator, per_hour: FloatArray, bad: int) -> StoryCounts:
    """Poisson stories from FIRST on, with these means per hour; bad: whether they are negative."""
    counts = dice.poisson(np.repeat(per_hour / BINS_PER_HOUR, BINS_PER_HOUR))
    at = np.repeat(FIRST * HOUR_S + BIN_S * np.arange(len(counts)), counts) + dice.integers(0, BIN_S, int(counts.sum()))
    return StoryCounts.of(at, np.full(len(at), bad))


def fitted(series: StoryCounts, market: StoryCounts) -> SeasonalBaseline:
    return fit_baseline(series, fit_feed_activity(market, FIRST, LAST), FIRST, LAST, WIDTHS_H)


def expected_in(rates: FloatArray, hour: int, day: int = 0) -> float:
    """Stories to expect in this hour of the day, `day` days from MIDNIGHT."""
    since = MIDNIGHT + day * DAY_S + hour * HOUR_S
    return float(rate_sum(rates, since, since + HOUR_S))


WORKDAY = np.where((np.arange(24) >= 9) & (np.arange(24) < 17), 60.0, 6.0)


def test_a_busy_series_has_its_own_profile_of_the_day():
    """The profile of the feed as a whole is flat."""
    dice = np.random.default_rng(7)
    own = np.where((np.arange(24) >= 12) & (np.arange(24) < 18), 6.0, 0.5)
    series = poisson_stories(dice, by_hour(own), bad=1)
    found = fitted(series, poisson_stories(dice, by_hour(np.full(24, 40.0)), bad=0) + series)
    noons, nights = ([expected_in(found.negative, hour, day) for day in range(7) for hour in hours] for hours in ((13, 14, 15), (2, 3, 4)))
    assert np.mean(noons) == pytest.approx(6.0, rel=0.15)
    assert np.mean(nights) == pytest.approx(0.5, rel=0.5)
    assert min(noons) > 3 * max(nights)


def test_a_thin_series_has_the_profile_of_the_feed_and_its_own_level():
    dice = np.random.default_rng(8)
    market = poisson_stories(dice, by_hour(WORKDAY), bad=0)
    thin = StoryCounts.of(MIDNIGHT - DAY_S * np.arange(1, 9) + 12 * HOUR_S, np.ones(8))  # eight stories, each at noon
    found = fitted(thin, market)
    assert expected_in(found.negative, 10) > 4 * expected_in(found.negative, 22)
    assert float(found.negative.sum()) == pytest.approx(8 / 4, rel=0.35)


def test_hours_of_a_feed_outage_are_unknown_and_not_quiet():
    dice = np.random.default_rng(9)
    market, series = poisson_stories(dice, by_hour(np.full(24, 30.0)), bad=0), poisson_stories(dice, by_hour(np.full(24, 2.0)), bad=1)
    whole = market + series
    down = (FIRST + 300) * HOUR_S, (FIRST + 300 + 10 * 24) * HOUR_S  # ten of 28 days

    def without(counts: StoryCounts) -> StoryCounts:
        return counts.between(0, down[0]).then(counts.between(down[1], 2**40))

    feed = fit_feed_activity(without(whole), FIRST, LAST)
    assert feed.known.sum() == pytest.approx(24 * DAYS - 240, abs=1)
    found = fit_baseline(without(series), feed, FIRST, LAST, WIDTHS_H)
    assert float(found.negative.sum()) == pytest.approx(float(fitted(series, whole).negative.sum()), rel=0.15)
    assert float(found.negative.sum()) / 168 == pytest.approx(2.0, rel=0.15)
    assert found.dispersion[1] < 2 * PRIOR_DISPERSION
    ((began, ended),) = feed.outages(without(whole), FIRST * HOUR_S, LAST * HOUR_S)
    assert down[0] - HOUR_S < began < down[0] and down[1] <= ended < down[1] + HOUR_S


def test_a_regular_quiet_night_is_no_outage():
    dice = np.random.default_rng(10)
    feed = fit_feed_activity(poisson_stories(dice, by_hour(np.where(np.arange(24) < 7, 0.0, 40.0)), bad=0), FIRST, LAST)
    assert feed.known.min() == 1


def test_one_past_spike_hardly_changes_the_baseline():
    dice = np.random.default_rng(11)
    market, series = poisson_stories(dice, by_hour(np.full(24, 30.0)), bad=0), poisson_stories(dice, by_hour(np.full(24, 0.4)), bad=1)
    wild = series + StoryCounts.of(np.full(400, (LAST - 24 * 7 + 12) * HOUR_S), np.ones(400))  # at noon, a week ago
    calm, after = fitted(series, market + series), fitted(wild, market + wild)
    assert expected_in(after.negative, 12) < expected_in(calm.negative, 12) + 2.0
    assert expected_in(after.negative, 3) < 1.3 * expected_in(calm.negative, 3)
    assert after.dispersion[1] < 4 * PRIOR_DISPERSION


def test_dispersion_follows_the_burstiness_of_the_past():
    dice = np.random.default_rng(3)
    market = poisson_stories(dice, by_hour(np.full(24, 40.0)), bad=0)
    steady = fitted(poisson_stories(dice, by_hour(np.full(24, 8.0)), bad=1), market)
    bursty = fitted(poisson_stories(dice, dice.gamma(2.0, 4.0, 24 * DAYS), bad=1), market)  # negative binomial, dispersion 0.5
    assert steady.dispersion[1] == pytest.approx(MIN_DISPERSION, abs=0.03)
    assert 0.25 < bursty.dispersion[1] < 0.75


def test_baseline_without_a_past_is_zero_with_the_prior_dispersion():
    feed = fit_feed_activity(EMPTY, FIRST, LAST)
    for found in (
        fit_baseline(EMPTY, feed, LAST, LAST, WIDTHS_H),
        fit_baseline(EMPTY, FeedActivity(LAST, np.zeros(0), np.zeros(BINS_PER_WEEK)), LAST, LAST, (1,)),
    ):
        assert float(found.negative.sum() + found.others.sum()) == 0
        assert set(found.dispersion.values()) == {PRIOR_DISPERSION}
    assert feed.profile.tolist() == [1.0] * BINS_PER_WEEK
    assert 0 < floor(0.25) < floor(24) < 24 * floor(1)


moments = st.lists(st.tuples(st.integers(-100, 5), st.integers(0, 3_599), st.integers(1, 300), st.booleans()), max_size=25)


@examples(40)
@given(moments, st.integers(0, 100))
def test_baseline_is_finite_and_not_negative_for_any_counts(stories: list[tuple[int, int, int, bool]], hours: int):
    at = [(LAST + hour) * HOUR_S + second for hour, second, _, _ in stories]
    series = StoryCounts.of(at, [count * bad for *_, count, bad in stories], [count for *_, count, _ in stories])
    feed = fit_feed_activity(series, LAST - hours, LAST)
    found = fit_baseline(series, feed, LAST - hours, LAST, WIDTHS_H)
    for rates in (found.negative, found.others, feed.rates, feed.profile):
        assert np.isfinite(rates).all() and (rates >= 0).all()
    assert set(np.unique(feed.known)) <= {0.0, 1.0}
    assert all(np.isfinite(value) and value >= MIN_DISPERSION for value in found.dispersion.values())


@examples(60)
@given(st.integers(0, 3 * 7 * DAY_S), st.integers(60, 8 * DAY_S))
def test_rate_sum_adds_all_quarters_that_the_interval_touches(since: int, width_s: int):
    rates = np.arange(BINS_PER_WEEK, dtype=np.float64)
    touched = range(since // BIN_S, -(-(since + width_s) // BIN_S))
    assert float(rate_sum(rates, since, since + width_s)) == pytest.approx(
        sum(rates[quarter % BINS_PER_WEEK] for quarter in touched), rel=1e-9
    )


@examples(60)
@given(st.integers(MIDNIGHT, MIDNIGHT + 9 * DAY_S), st.integers(1, 9 * DAY_S), st.integers(0, 9 * DAY_S))
def test_rate_integral_is_additive_and_equals_rate_sum_on_whole_quarters(since: int, width_s: int, cut: int):
    rates = np.random.default_rng(5).uniform(0, 3, BINS_PER_WEEK)
    middle, until = since + min(cut, width_s), since + width_s
    whole = float(rate_integral(rates, since, until))
    assert float(rate_integral(rates, since, middle)) + float(rate_integral(rates, middle, until)) == pytest.approx(whole, abs=1e-6)
    quarters = (since // BIN_S * BIN_S, -(-until // BIN_S) * BIN_S)
    assert float(rate_integral(rates, *quarters)) == pytest.approx(float(rate_sum(rates, since, until)), rel=1e-9)
    assert float(rate_integral(rates, MIDNIGHT, MIDNIGHT + 90)) == pytest.approx(rates[MIDNIGHT // BIN_S % BINS_PER_WEEK] * 0.1, rel=1e-9)


def test_catch_up_start_is_the_start_of_an_outage_that_ended_recently():
    outages = [(100, 500), (90_000, 91_300)]
    assert catch_up_start(outages, 91_200, 91_500) == 90_000
    assert catch_up_start(outages, 400, 91_500) == 100
    assert catch_up_start(outages, 91_300, 91_500) == 90_000  # in the minutes after the outage
    assert catch_up_start(outages, 91_300 + CATCH_UP_S, 95_500) == 90_000
    assert catch_up_start(outages, 91_301 + CATCH_UP_S, 95_500) == 91_301 + CATCH_UP_S  # the backlog has arrived by then
    assert catch_up_start(outages, 90_500, 91_200) == 90_500  # before the outage ended
    assert catch_up_start([], 5, 10) == 5
