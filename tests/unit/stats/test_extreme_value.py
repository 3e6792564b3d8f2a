from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats.extreme_value import PEAK_MIN, WEEK_S, PeakTracker, fit_threshold, prior_threshold
from stats.seasonal_baseline import MIN_DISPERSION
from stats.spikes import surprise
from tests.helpers.strategies import examples

WIDTH_S = 900
NOON = 1_795_176_000
HISTORY_S = 8 * WEEK_S


def test_prior_threshold_shares_the_budget_among_series_and_windows():
    alone = prior_threshold(1.0, 1, WIDTH_S)
    assert prior_threshold(1.0, 100, WIDTH_S) == pytest.approx(alone + 2)
    assert prior_threshold(10.0, 100, WIDTH_S) == pytest.approx(alone + 1)
    assert prior_threshold(1.0, 0, WIDTH_S) == alone
    assert prior_threshold(1e9, 1, WIDTH_S) == PEAK_MIN


@pytest.mark.parametrize(("scale", "per_week"), [(0.43, 40.0), (0.8, 40.0), (1.5, 12.0)])
def test_fitted_threshold_keeps_about_the_budget(scale: float, per_week: float):
    """Twenty times eight weeks of peaks with exponential excess; the alerts of the eight weeks after each are counted."""
    dice = np.random.default_rng(17)
    alerts = []
    for _ in range(20):
        past, later = (PEAK_MIN + dice.exponential(scale, dice.poisson(8 * per_week)) for _ in range(2))
        alerts.append(float((later >= fit_threshold(past.tolist(), 8.0, 1.0, prior_threshold(1.0, 300, WIDTH_S))).sum()) / 8)
    assert 0.5 < float(np.mean(alerts)) < 1.5


def test_fitted_threshold_follows_the_tail_of_the_past_and_not_the_prior():
    dice = np.random.default_rng(18)
    calm, wild = ((PEAK_MIN + dice.exponential(scale, 300)).tolist() for scale in (0.3, 2.0))
    assert fit_threshold(calm, 8.0, 1.0, 6.0) < 5
    assert fit_threshold(wild, 8.0, 1.0, 6.0) > 7


def test_threshold_is_the_prior_without_peaks_or_past():
    assert fit_threshold([], 3.0, 1.0, 6.2) == fit_threshold([9.0], 3.0, 1.0, 6.2) == fit_threshold([3.0] * 50, 0.0, 1.0, 6.2) == 6.2
    young, old = (fit_threshold([2.5] * 20, weeks, 1.0, 6.2) for weeks in (0.01, 8.0))
    assert abs(young - 6.2) < 0.2  # two hours of past carry little weight
    assert old < 4.2


@examples(80)
@given(
    st.lists(st.floats(PEAK_MIN, 40.0), max_size=60),
    st.floats(0.01, 8.0),
    st.floats(0.01, 100.0),
    st.floats(1.0, 20.0),
    st.integers(1, 400),
    st.randoms(use_true_random=False),
)
def test_a_larger_budget_never_raises_the_threshold(
    peaks: list[float], weeks: float, budget: float, times: float, n_series: int, chance: random.Random
):
    strict = fit_threshold(peaks, weeks, budget, prior_threshold(budget, n_series, WIDTH_S))
    assert fit_threshold(peaks, weeks, budget * times, prior_threshold(budget * times, n_series, WIDTH_S)) <= strict + 1e-9
    assert math.isfinite(strict) and strict >= PEAK_MIN
    chance.shuffle(peaks)
    assert fit_threshold(peaks, weeks, budget, prior_threshold(budget, n_series, WIDTH_S)) == strict


def tracker_of(*moments: tuple[str, int, float], gap_s: float = 3_600, width_s: int = 900) -> PeakTracker:
    peaks = PeakTracker(HISTORY_S, gap_s)
    for series, minute, strength in moments:
        peaks.add(series, NOON + 60 * minute, width_s, strength)
    return peaks


def threshold_of(peaks: PeakTracker, *, now: int = NOON + WEEK_S, began: int = NOON) -> float:
    return peaks.threshold(now, began, 1.0, 6.0)


def test_an_episode_is_one_peak_with_its_highest_surprise():
    one = tracker_of(("a", 0, 3.0), ("b", 5, 4.0), ("a", 30, 7.0), ("a", 80, 5.0), ("a", 100, 1.9))
    assert threshold_of(one) == fit_threshold([7.0, 4.0], 1.0, 1.0, 6.0)
    assert threshold_of(tracker_of(("a", 0, 3.0), ("a", 61, 7.0))) == fit_threshold([3.0, 7.0], 1.0, 1.0, 6.0)
    wide = tracker_of(("a", 0, 3.0), ("a", 61, 7.0), ("b", 61, 4.0), width_s=4 * 3_600)  # overlapping windows hold the same stories
    assert threshold_of(wide) == fit_threshold([7.0, 4.0], 1.0, 1.0, 6.0)


def test_threshold_uses_only_peaks_within_the_history_before_now():
    peaks = tracker_of(("a", 0, 3.0), ("b", 10, 4.0), ("c", 20, 5.0))
    assert threshold_of(peaks, now=NOON + 60 * 20, began=NOON - WEEK_S) == fit_threshold([3.0, 4.0], (WEEK_S + 1_200) / WEEK_S, 1.0, 6.0)
    assert threshold_of(peaks, now=NOON + 60 * 5 + HISTORY_S, began=0) == fit_threshold([4.0, 5.0], 8.0, 1.0, 6.0)
    assert threshold_of(peaks, began=NOON + 60 * 5) == fit_threshold([4.0, 5.0], (WEEK_S - 300) / WEEK_S, 1.0, 6.0)


def poisson(rng: random.Random, mean: float) -> int:
    count, product, limit = 0, rng.random(), math.exp(-mean)
    while product > limit:
        count, product = count + 1, product * rng.random()
    return count


@pytest.mark.parametrize(("mean", "burst"), [(0.05, 0.0), (0.5, 0.5), (4.0, 0.0), (4.0, 0.3)])
def test_prior_threshold_keeps_the_budget_where_the_model_is_right(mean: float, burst: float):
    """Ten quiet series over ten weeks; the window that ends with each story is tested, as live. The budget is one alert a week."""
    rng = random.Random(11)
    weeks, n_series = 10, 10
    limit = prior_threshold(1.0, n_series, WIDTH_S)
    alert_at = next(count for count in range(1, 500) if surprise(count, mean, max(burst, MIN_DISPERSION)) >= limit)
    alerts = 0
    for _ in range(n_series):
        stories: list[float] = []
        for window in range(weeks * 672):
            rate = mean * (rng.gammavariate(1 / burst, burst) if burst else 1.0)
            stories += sorted(window + rng.random() for _ in range(poisson(rng, rate)))
        oldest, last = 0, -math.inf
        for newest, story in enumerate(stories):
            while stories[oldest] <= story - 1:
                oldest += 1
            if newest - oldest + 1 >= alert_at and story - last >= 4:  # a cool-down of an hour
                alerts, last = alerts + 1, story
    assert alerts <= weeks + 3 * math.sqrt(weeks)
