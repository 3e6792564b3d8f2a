"""Wilson's interval against published values, and its symmetries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats.wilson import wilson, wilson_bounds


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"), [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (1, 1, 0.2065, 1.0)]
)
def test_interval_equals_published_values(hits: int, n: int, low: float, high: float):
    """Brown, Cai and DasGupta (2001)."""
    found = wilson(hits, n)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    assert wilson_bounds(hits, n) == (found.low, found.high)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_interval_contains_its_share_is_symmetric_and_narrows_with_more_trials(counts: tuple[int, int]):
    hits, n = counts
    found, more = wilson(hits, n), wilson(10 * hits, 10 * n)
    assert 0 <= found.low <= found.share <= found.high <= 1
    assert more.high - more.low < found.high - found.low
    other = wilson(n - hits, n)
    assert other.low == pytest.approx(1 - found.high)


def test_bounds_without_trials_are_0_and_1():
    assert wilson_bounds(0, 0) == (0.0, 1.0)
