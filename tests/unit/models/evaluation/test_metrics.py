"""Metrics: examples worked out by hand, invariants, and comparison with scikit-learn and seqeval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.metrics import (
    METRICS,
    bootstrap_intervals,
    expected_calibration_error,
    metrics_report,
    multi_label_counts,
    single_label_counts,
    span_counts,
)

NAMES = ("negative", "neutral", "positive")


def test_single_label_metrics_of_an_example():
    # truth: n n u p; predicted: n u u p
    probabilities = np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.1, 0.7, 0.2], [0.0, 0.1, 0.9]])
    found = metrics_report(single_label_counts(["negative", "negative", "neutral", "positive"], probabilities, NAMES))
    assert found.n == 4
    assert found.accuracy == found.micro_f1 == 0.75
    assert found.macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert found.weighted_f1 == pytest.approx((2 * 2 / 3 + 2 / 3 + 1) / 4)
    assert found.per_class["negative"].recall == 0.5
    assert found.per_class["neutral"].precision == 0.5
    # bins of 1/15: .8 right, .6 wrong, .7 right, .9 right, each alone in its bin
    assert found.ece == pytest.approx((0.2 + 0.6 + 0.3 + 0.1) / 4)


def test_a_label_that_cannot_be_predicted_counts_as_an_error():
    found = metrics_report(single_label_counts(["a", "z"], np.array([[0.9, 0.1], [0.6, 0.4]]), ("a", "b")))
    assert found.accuracy == 0.5
    assert found.per_class["z"].recall == 0.0
    assert found.macro_f1 == pytest.approx((2 / 3 + 0) / 2)


def test_multi_label_metrics_of_an_example():
    truth = [frozenset({"legal"}), frozenset({"legal", "macro"}), frozenset[str]()]
    predicted = [{"legal": 0.9, "crypto": 0.8}, {"macro": 0.7}, {}]
    found = metrics_report(multi_label_counts(truth, predicted, ("legal", "macro")))
    assert found.accuracy == pytest.approx(2 / 3)  # crypto is not scored; the second lacks legal; the third is correctly empty
    assert found.micro_f1 == pytest.approx(2 * 2 / (2 + 3))
    assert found.per_class["legal"].recall == 0.5
    assert set(found.per_class) == {"legal", "macro"}


def test_a_span_needs_the_right_type_and_both_boundaries():
    truth = [[(0, 2, "PER"), (5, 9, "ORG")], [(0, 4, "ORG")], []]
    predicted = [
        [((0, 2, "PER"), 0.9), ((5, 8, "ORG"), 0.8)],
        [((0, 4, "LOC"), 0.7)],
        [],
    ]
    found = metrics_report(span_counts(truth, predicted, ("PER", "ORG", "LOC")))
    assert found.micro_f1 == pytest.approx(2 * 1 / (3 + 3))
    assert found.per_class["PER"].f1 == 1.0
    assert found.per_class["ORG"].support == 2
    assert found.per_class["ORG"].f1 == 0.0
    assert found.accuracy == pytest.approx(1 / 3)  # the sentence that has none, and in which none was found


def test_calibration_error_is_the_gap_between_confidence_and_accuracy():
    sure = np.full(10, 0.95)
    assert expected_calibration_error(sure, np.ones(10, dtype=bool)) == pytest.approx(0.05)
    assert expected_calibration_error(sure, np.arange(10) < 5) == pytest.approx(0.45)
    assert expected_calibration_error(np.array([]), np.array([], dtype=bool)) == 0.0


def test_metrics_are_reported_by_language():
    probabilities = np.array([[0.8, 0.2], [0.4, 0.6], [0.9, 0.1]])
    found = metrics_report(single_label_counts(["a", "b", "b"], probabilities, ("a", "b")), ["en", "en", "zh"], resamples=20)
    assert found.by_language["en"].accuracy == 1.0
    assert found.by_language["zh"].accuracy == 0.0
    assert found.by_language["zh"].interval["accuracy"] == (0.0, 0.0)


def test_the_interval_of_accuracy_matches_the_binomial_one():
    """For 200 of 400 right the half width is 1.96 * sqrt(.25 / 400) = .049; percentiles of 1,000 resamples are within .01 of it."""
    probabilities = np.tile([[0.6, 0.4]], (400, 1))
    low, high = bootstrap_intervals(single_label_counts(["a", "b"] * 200, probabilities, ("a", "b")))["accuracy"]
    assert low == pytest.approx(0.451, abs=0.01)
    assert high == pytest.approx(0.549, abs=0.01)


def test_intervals_depend_on_the_seed():
    rng = np.random.default_rng(5)
    row_counts = single_label_counts(rng.choice(["a", "b"], 60).tolist(), rng.dirichlet((1, 1), 60), ("a", "b"))
    assert bootstrap_intervals(row_counts, 200, 1) == bootstrap_intervals(row_counts, 200, 1) != bootstrap_intervals(row_counts, 200, 2)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.01, 1), st.floats(0.01, 1), st.floats(0.01, 1)), min_size=1, max_size=30))
def test_metrics_are_in_the_unit_interval_and_independent_of_row_order(rows):
    labels = [row[0] for row in rows]
    probabilities = np.array([row[1:] for row in rows])
    probabilities /= probabilities.sum(1, keepdims=True)
    found = metrics_report(single_label_counts(labels, probabilities, "abc"), resamples=30)
    back = metrics_report(single_label_counts(labels[::-1], probabilities[::-1], "abc"))
    for name in METRICS:
        value = getattr(found, name)
        low, high = found.interval[name]
        assert 0.0 <= low <= high <= 1.0 + 1e-9
        assert 0.0 <= value <= 1.0
        assert value == pytest.approx(getattr(back, name))


def test_metrics_of_no_rows_are_zero():
    found = metrics_report(single_label_counts([], np.zeros((0, 2)), ("a", "b")))
    assert (found.n, found.accuracy, found.ece) == (0, 0.0, 0.0)
