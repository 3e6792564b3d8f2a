"""Our metrics compared with independent implementations: scikit-learn, seqeval, and a plain loop for calibration."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, precision_recall_fscore_support

from bench.own_topics import average_precision
from models.evaluation.metrics import (
    BINS,
    MetricsReport,
    expected_calibration_error,
    metrics_report,
    multi_label_counts,
    single_label_counts,
    span_counts,
)
from models.heads import ENTITY_TYPES
from models.inference.entities import spans_of_bio

CLASSES = ("a", "b", "c", "d")
Segments = list[tuple[str, int]]

oracle = settings(deadline=None, max_examples=60)
"""Without a deadline, because the oracles are slow on a busy machine."""

label_pairs = st.lists(st.tuples(st.sampled_from(CLASSES), st.sampled_from(CLASSES)), min_size=1, max_size=40)
label_set_pairs = st.lists(
    st.tuples(st.frozensets(st.sampled_from(CLASSES)), st.frozensets(st.sampled_from(CLASSES))), min_size=1, max_size=40
)


def assert_f1_scores_equal(report: MetricsReport, truth: npt.NDArray[np.int_], predicted: npt.NDArray[np.int_], columns: list[int]) -> None:
    """Compare with scikit-learn. truth, predicted: indicators (N, C); columns: classes that occur in the truth, for the macro mean."""
    assert report.micro_f1 == pytest.approx(f1_score(truth, predicted, average="micro", zero_division=0))
    assert report.weighted_f1 == pytest.approx(f1_score(truth, predicted, average="weighted", zero_division=0))
    if columns:
        assert report.macro_f1 == pytest.approx(f1_score(truth, predicted, labels=columns, average="macro", zero_division=0))
    precision, recall, f1, support = precision_recall_fscore_support(truth, predicted, average=None, zero_division=0)
    for name, score in report.per_class.items():
        i = CLASSES.index(name)
        expected = (precision[i], recall[i], f1[i], support[i])
        assert (score.precision, score.recall, score.f1, score.support) == pytest.approx(expected)


def indicators(rows: list[frozenset[str]]) -> npt.NDArray[np.int_]:
    return np.array([[int(name in row) for name in CLASSES] for row in rows])


@oracle
@given(label_pairs)
def test_single_label_metrics_equal_those_of_scikit_learn(pairs: list[tuple[str, str]]):
    truth, predicted = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    probabilities = np.array([[0.7 if name == label else 0.1 for name in CLASSES] for label in predicted])
    report = metrics_report(single_label_counts(truth, probabilities, CLASSES))
    assert report.accuracy == pytest.approx(accuracy_score(truth, predicted))
    columns = [i for i, name in enumerate(CLASSES) if name in truth]
    assert_f1_scores_equal(report, indicators([frozenset({x}) for x in truth]), indicators([frozenset({x}) for x in predicted]), columns)


@oracle
@given(label_set_pairs)
def test_multi_label_metrics_equal_those_of_scikit_learn(pairs: list[tuple[frozenset[str], frozenset[str]]]):
    truth, predicted = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    report = metrics_report(multi_label_counts(truth, [dict.fromkeys(row, 0.9) for row in predicted], CLASSES))
    real, found = indicators(truth), indicators(predicted)
    assert report.accuracy == pytest.approx(accuracy_score(real, found))  # subset accuracy
    assert_f1_scores_equal(report, real, found, np.flatnonzero(real.any(0)).tolist())


@oracle
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=80))
def test_calibration_error_equals_that_of_a_plain_loop(rows: list[tuple[float, bool]]):
    """Guo et al. (2017), eq. 3, with half-open bins of equal width; 1.0 belongs to the last one."""
    expected = 0.0
    for number in range(BINS):
        inside = [(p, right) for p, right in rows if min(int(p * BINS), BINS - 1) == number]
        if inside:
            confidence = sum(p for p, _ in inside) / len(inside)
            accuracy = sum(right for _, right in inside) / len(inside)
            expected += len(inside) / len(rows) * abs(accuracy - confidence)
    found = expected_calibration_error(np.array([p for p, _ in rows]), np.array([right for _, right in rows]))
    assert found == pytest.approx(expected)


@oracle
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60, unique_by=lambda row: row[0]))
def test_average_precision_equals_that_of_scikit_learn(rows: list[tuple[float, bool]]):
    probabilities, truth = np.array([p for p, _ in rows]), np.array([right for _, right in rows])
    if truth.any():  # scikit-learn warns without a positive row
        assert average_precision(truth, probabilities) == pytest.approx(average_precision_score(truth, probabilities))


def bio_tags(segments: Segments) -> list[str]:
    """Valid IOB2 tags: each segment is one entity, or tokens outside of entities for the type "O"."""
    tags: list[str] = []
    for kind, length in segments:
        tags += ["O"] * length if kind == "O" else [f"B-{kind}", *[f"I-{kind}"] * (length - 1)]
    return tags


segments = st.lists(st.tuples(st.sampled_from(("O", *ENTITY_TYPES)), st.integers(1, 3)), max_size=8)


@oracle
@given(st.lists(st.tuples(segments, segments), min_size=1, max_size=6))
def test_strict_span_metrics_equal_those_of_seqeval(sentences: list[tuple[Segments, Segments]]):
    pairs = []
    for one, other in sentences:
        length = max(1, min(len(bio_tags(one)), len(bio_tags(other))))
        pairs.append(tuple([*bio_tags(each), "O"][:length] for each in (one, other)))
    spans = [[[(s.start, s.end, s.kind) for s in spans_of_bio(["x"] * len(tags), tags, "en")[1]] for tags in pair] for pair in pairs]
    found = metrics_report(span_counts([a for a, _ in spans], [[(span, 0.9) for span in b] for _, b in spans], ENTITY_TYPES))
    truth, predicted = [list(pair[0]) for pair in pairs], [list(pair[1]) for pair in pairs]
    if not any(tag != "O" for row in [*truth, *predicted] for tag in row):
        assert found.micro_f1 == 0.0  # seqeval has no report without entities
        return
    report = classification_report(truth, predicted, output_dict=True, mode="strict", scheme=IOB2, zero_division=0)
    assert found.micro_f1 == pytest.approx(report["micro avg"]["f1-score"])
    for kind, score in found.per_class.items():
        expected = report[kind]
        assert (score.precision, score.recall, score.f1) == pytest.approx((expected["precision"], expected["recall"], expected["f1-score"]))
        assert score.support == expected["support"]
    occurring = [report[kind]["f1-score"] for kind, score in found.per_class.items() if score.support]
    assert found.macro_f1 == pytest.approx(sum(occurring) / len(occurring) if occurring else 0.0)
