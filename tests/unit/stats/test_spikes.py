from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats.minute_counts import DAY_S, HOUR_S, MINUTE_S, StoryCounts
from stats.seasonal_baseline import BINS_PER_WEEK, SeasonalBaseline
from stats.spikes import WIDTHS_S, Spike, find_spikes, surprise
from tests.helpers.strategies import examples

NOON = 1_795_176_000
"""2026-11-20 12:00 UTC."""
WIDTHS_H = (1, 4, 12, 24)


def strongest(*known: Any, **more: Any) -> Spike | None:
    return next(iter(find_spikes(*known, **more)), None)


def baseline(negative: float = 0.0, others: float = 0.0, dispersion: float = 0.1) -> SeasonalBaseline:
    """A constant number of stories per hour."""
    return SeasonalBaseline(np.full(BINS_PER_WEEK, negative / 4), np.full(BINS_PER_WEEK, others / 4), dict.fromkeys(WIDTHS_H, dispersion))


def stories_every(step_s: float, since: int, until: int, bad: int = 1) -> StoryCounts:
    """A story each step_s of [since, until)."""
    at = np.arange(since, until, step_s)
    return StoryCounts.of(at, np.full(len(at), bad))


def exact_tail(observed: int, expected: Fraction, size: int) -> float:
    """P(count >= observed) of a negative binomial of integer size, in exact arithmetic, independent of the code."""
    p = Fraction(size) / (size + expected)
    below = sum(Fraction(math.comb(k + size - 1, k)) * (1 - p) ** k * p**size for k in range(observed))
    return float(1 - below)


@pytest.mark.parametrize("observed", [1, 2, 3, 5, 9, 20, 60])
@pytest.mark.parametrize(("expected", "size"), [(Fraction(1, 20), 2), (Fraction(1), 1), (Fraction(7, 2), 4), (Fraction(30), 10)])
def test_surprise_is_the_exact_tail_of_a_negative_binomial(observed: int, expected: Fraction, size: int):
    want = -math.log10(exact_tail(observed, expected, size))
    assert surprise(observed, float(expected), 1 / size) == pytest.approx(want, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("observed", "expected"), [(1, 0.05), (4, 0.5), (3, 3.0), (12, 4.0), (40, 10.0), (2, 9.0)])
def test_surprise_without_dispersion_is_the_poisson_tail(observed: int, expected: float):
    tail = math.fsum(math.exp(-expected) * expected**k / math.factorial(k) for k in range(observed, observed + 100))
    assert surprise(observed, expected, 0.0) == pytest.approx(-math.log10(tail), rel=1e-9, abs=1e-12)
    for little in (1e-12, 1e-9, 1e-7):
        assert surprise(observed, expected, little) == pytest.approx(surprise(observed, expected, 0.0), rel=1e-4)


def test_surprise_of_nothing_is_zero_and_of_the_impossible_infinite():
    assert surprise(0, 3.0, 0.5) == 0.0
    assert surprise(1, 0.0, 0.5) == math.inf


@given(st.integers(0, 400), st.floats(0.01, 200), st.floats(0, 5))
def test_more_negative_stories_never_lower_the_surprise(observed: int, expected: float, dispersion: float):
    assert surprise(observed + 1, expected, dispersion) >= surprise(observed, expected, dispersion) - 1e-9


@given(st.integers(1, 200), st.floats(0.01, 100), st.floats(0.0, 3))
def test_a_higher_expectation_never_raises_the_surprise(observed: int, expected: float, dispersion: float):
    assert surprise(observed, expected * 1.1, dispersion) <= surprise(observed, expected, dispersion) + 1e-9


def test_a_sudden_burst_is_found_by_the_narrowest_window():
    found = strongest(stories_every(60, NOON - 480, NOON), baseline(0.3, 1.0), NOON, WIDTHS_S)
    assert found is not None
    assert (found.width_s, found.observed, found.end) == (900, 8, NOON)
    assert found.surprise == surprise(8, found.expected, found.dispersion)


def test_a_slow_rise_over_a_day_is_found_by_a_wide_window():
    """Three stories an hour where one is usual: no quarter of an hour and no single hour stands out."""
    creeping, known = stories_every(1_200, NOON - DAY_S, NOON), baseline(1.0, 4.0, 0.01)
    short = strongest(creeping, known, NOON, WIDTHS_S[:2])
    found = strongest(creeping, known, NOON, WIDTHS_S)
    assert short is not None and found is not None
    assert short.surprise < 3
    assert found.surprise > 5 and found.width_s >= 43_200


def test_more_stories_of_all_kinds_raise_the_expected_negative_ones():
    """Four times the negative stories, with four times as many others, and with the usual number of others."""
    bad, known = stories_every(900, NOON - DAY_S, NOON), baseline(1.0, 6.0)
    busy = strongest(bad + stories_every(150, NOON - DAY_S, NOON, bad=0), known, NOON, WIDTHS_S)
    grim = strongest(bad + stories_every(600, NOON - DAY_S, NOON, bad=0), known, NOON, WIDTHS_S)
    assert busy is not None and grim is not None
    assert busy.surprise < 1.5
    assert grim.surprise > 4
    calm = strongest(bad, known, NOON, WIDTHS_S)  # fewer others than usual do not lower the expectation
    assert calm is not None and calm.expected >= 1.0


def test_a_backlog_after_an_outage_is_compared_with_the_whole_outage():
    """The negative stories of eight hours, all dated at the end of the outage."""
    known = baseline(2.0, 20.0)
    backlog = stories_every(30, NOON - 480, NOON)
    alone = strongest(backlog, known, NOON, WIDTHS_S)
    waited = strongest(backlog, known, NOON, WIDTHS_S, outages=[(NOON - 8 * HOUR_S, NOON - 480)])
    assert alone is not None and waited is not None
    assert alone.surprise > 5
    assert waited.surprise < 1
    later = strongest(backlog, known, NOON, WIDTHS_S, outages=[(NOON - 30 * HOUR_S, NOON - 28 * HOUR_S)])
    assert later == alone


@examples(80)
@given(
    st.lists(st.tuples(st.integers(1, 1_600), st.booleans()), max_size=30),
    st.integers(1, 1_439),
    st.floats(0, 5),
    st.floats(0, 20),
    st.floats(0.05, 1),
)
def test_one_more_negative_story_never_lowers_the_strongest_surprise(
    stories: list[tuple[int, bool]], minute: int, negative: float, others: float, dispersion: float
):
    counts, known = (
        StoryCounts.of([NOON - MINUTE_S * at for at, _ in stories], [bad for _, bad in stories]),
        baseline(negative, others, dispersion),
    )
    before = strongest(counts, known, NOON, WIDTHS_S, min_ratio=2.0)
    after = strongest(counts + StoryCounts.of([NOON - MINUTE_S * minute], [1]), known, NOON, WIDTHS_S, min_ratio=2.0)
    assert before is None or (after is not None and after.surprise >= before.surprise - 1e-9)


def test_a_spike_needs_min_stories_and_min_ratio():
    assert strongest(stories_every(60, NOON - 120, NOON), baseline(), NOON, WIDTHS_S, min_stories=3) is None
    assert strongest(stories_every(60, NOON - 180, NOON), baseline(), NOON, WIDTHS_S, min_stories=3) is not None
    many = stories_every(36, NOON - HOUR_S, NOON)  # 100 where 80 are expected: unlikely, but not relevant
    assert strongest(many, baseline(80.0, 80.0, 0.0001), NOON, [3_600], min_ratio=2.0) is None
    assert strongest(many, baseline(80.0, 80.0, 0.0001), NOON, [3_600], min_ratio=1.2) is not None
    assert strongest(stories_every(60, NOON, NOON + 600), baseline(), NOON, WIDTHS_S) is None  # windows are half open
