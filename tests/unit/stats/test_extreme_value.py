from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats.extreme_value import OVER, WEEK_S, Peaks, bar, theory
from stats.seasonal_baseline import LEAST_DISPERSION
from stats.spikes import surprise
from tests.helpers.strategies import examples

WIDTH_S = 900
NOON = 1_795_176_000
REACH_S = 8 * WEEK_S


def test_the_budget_is_shared_among_series_and_windows():
    alone = theory(1.0, 1, WIDTH_S)
    assert theory(1.0, 100, WIDTH_S) == pytest.approx(alone + 2)
    assert theory(10.0, 100, WIDTH_S) == pytest.approx(alone + 1)
    assert theory(1.0, 0, WIDTH_S) == alone
    assert theory(1e9, 1, WIDTH_S) == OVER


@pytest.mark.parametrize(("scale", "per_week"), [(0.43, 40.0), (0.8, 40.0), (1.5, 12.0)])
def test_the_bar_learned_keeps_about_the_budget(scale: float, per_week: float):
    """Eight weeks of peaks whose excess is exponential, twenty times over; then as many weeks tell how often the bar rings."""
    dice = np.random.default_rng(17)
    rings = []
    for _ in range(20):
        past, later = (OVER + dice.exponential(scale, dice.poisson(8 * per_week)) for _ in range(2))
        rings.append(float((later >= bar(past.tolist(), 8.0, 1.0, theory(1.0, 300, WIDTH_S))).sum()) / 8)
    assert 0.5 < float(np.mean(rings)) < 1.5


def test_the_learned_bar_is_that_of_the_feed_and_not_of_theory():
    dice = np.random.default_rng(18)
    calm, wild = ((OVER + dice.exponential(scale, 300)).tolist() for scale in (0.3, 2.0))
    assert bar(calm, 8.0, 1.0, 6.0) < 5
    assert bar(wild, 8.0, 1.0, 6.0) > 7


def test_with_no_peaks_the_odds_are_taken_at_their_word():
    assert bar([], 3.0, 1.0, 6.2) == bar([9.0], 3.0, 1.0, 6.2) == bar([3.0] * 50, 0.0, 1.0, 6.2) == 6.2
    young, old = (bar([2.5] * 20, weeks, 1.0, 6.2) for weeks in (0.01, 8.0))
    assert abs(young - 6.2) < 0.2  # a past of two hours is not believed
    assert old < 4.2


@examples(80)
@given(
    st.lists(st.floats(OVER, 40.0), max_size=60),
    st.floats(0.01, 8.0),
    st.floats(0.01, 100.0),
    st.floats(1.0, 20.0),
    st.integers(1, 400),
    st.randoms(use_true_random=False),
)
def test_who_accepts_more_false_alarms_has_no_higher_bar(
    peaks: list[float], weeks: float, budget: float, times: float, n_series: int, chance: random.Random
):
    strict = bar(peaks, weeks, budget, theory(budget, n_series, WIDTH_S))
    assert bar(peaks, weeks, budget * times, theory(budget * times, n_series, WIDTH_S)) <= strict + 1e-9
    assert math.isfinite(strict) and strict >= OVER
    chance.shuffle(peaks)
    assert bar(peaks, weeks, budget, theory(budget, n_series, WIDTH_S)) == strict


def noted(*moments: tuple[str, int, float], apart_s: float = 3_600, width_s: int = 900) -> Peaks:
    peaks = Peaks(REACH_S, apart_s)
    for series, minute, strength in moments:
        peaks.note(series, NOON + 60 * minute, width_s, strength)
    return peaks


def bar_of(peaks: Peaks, *, now: int = NOON + WEEK_S, began: int = NOON) -> float:
    return peaks.bar(now, began, 1.0, 6.0)


def test_an_episode_is_one_peak_and_its_strongest_moment_counts():
    one = noted(("a", 0, 3.0), ("b", 5, 4.0), ("a", 30, 7.0), ("a", 80, 5.0), ("a", 100, 1.9))
    assert bar_of(one) == bar([7.0, 4.0], 1.0, 1.0, 6.0)
    assert bar_of(noted(("a", 0, 3.0), ("a", 61, 7.0))) == bar([3.0, 7.0], 1.0, 1.0, 6.0)
    wide = noted(("a", 0, 3.0), ("a", 61, 7.0), ("b", 61, 4.0), width_s=4 * 3_600)  # windows that overlap hold the same stories
    assert bar_of(wide) == bar([7.0, 4.0], 1.0, 1.0, 6.0)


def test_the_bar_of_a_moment_rests_on_what_was_before_it_and_not_too_long_ago():
    peaks = noted(("a", 0, 3.0), ("b", 10, 4.0), ("c", 20, 5.0))
    assert bar_of(peaks, now=NOON + 60 * 20, began=NOON - WEEK_S) == bar([3.0, 4.0], (WEEK_S + 1_200) / WEEK_S, 1.0, 6.0)
    assert bar_of(peaks, now=NOON + 60 * 5 + REACH_S, began=0) == bar([4.0, 5.0], 8.0, 1.0, 6.0)
    assert bar_of(peaks, began=NOON + 60 * 5) == bar([4.0, 5.0], (WEEK_S - 300) / WEEK_S, 1.0, 6.0)


def poisson(rng: random.Random, mean: float) -> int:
    count, product, limit = 0, rng.random(), math.exp(-mean)
    while product > limit:
        count, product = count + 1, product * rng.random()
    return count


@pytest.mark.parametrize(("mean", "burst"), [(0.05, 0.0), (0.5, 0.5), (4.0, 0.0), (4.0, 0.3)])
def test_the_bar_of_theory_keeps_the_budget_where_the_model_is_right(mean: float, burst: float):
    """Ten quiet series, 10 weeks: each story's own window is judged, as live. At a budget of one a week there may be no more."""
    rng = random.Random(11)
    weeks, n_series = 10, 10
    limit = theory(1.0, n_series, WIDTH_S)
    ring_at = next(count for count in range(1, 500) if surprise(count, mean, max(burst, LEAST_DISPERSION)) >= limit)
    rings = 0
    for _ in range(n_series):
        stories: list[float] = []
        for window in range(weeks * 672):
            rate = mean * (rng.gammavariate(1 / burst, burst) if burst else 1.0)
            stories += sorted(window + rng.random() for _ in range(poisson(rng, rate)))
        oldest, last = 0, -math.inf
        for newest, story in enumerate(stories):
            while stories[oldest] <= story - 1:
                oldest += 1
            if newest - oldest + 1 >= ring_at and story - last >= 4:  # a cool-down of an hour
                rings, last = rings + 1, story
    assert rings <= weeks + 3 * math.sqrt(weeks)
