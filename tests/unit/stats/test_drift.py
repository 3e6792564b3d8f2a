"""Jensen-Shannon distance and expected calibration error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats.drift import expected_calibration_error, jensen_shannon_distance

counts = st.dictionaries(st.sampled_from("abcd"), st.floats(min_value=0.01, max_value=1e6), min_size=1)


@given(counts, counts)
def test_distance_lies_between_0_and_1_and_is_symmetric(one: dict[str, float], two: dict[str, float]):
    assert jensen_shannon_distance(one, two) == pytest.approx(jensen_shannon_distance(two, one), abs=1e-9)
    assert 0 <= jensen_shannon_distance(one, two) <= 1 + 1e-9
    assert jensen_shannon_distance(one, {key: 3 * value for key, value in one.items()}) == pytest.approx(0, abs=1e-6)


def test_distance_of_disjoint_distributions_is_1():
    assert jensen_shannon_distance({"a": 5}, {"b": 1}) == pytest.approx(1)
    assert jensen_shannon_distance({"a": 1, "b": 1}, {"a": 1}) == pytest.approx(0.5579, abs=1e-4)  # sqrt(1 - 0.75 log2 3 + 0.5)


def test_calibration_error_weights_bins_by_their_answers():
    assert expected_calibration_error([(2, 1.8, 1), (2, 1.2, 2)]) == pytest.approx((0.8 + 0.8) / 4)


def test_calibration_error_without_answers_is_none():
    assert expected_calibration_error([]) is expected_calibration_error([(0.0, 0.0, 0.0)]) is None
