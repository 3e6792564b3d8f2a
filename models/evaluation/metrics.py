"""Classification metrics with bootstrap intervals: accuracy, F1 by average, expected calibration error. Pure functions.

    rows ─▶ RowCounts (what each row adds to every sum) ─▶ sums ─▶ MetricsReport
                                                       └▶ 1,000 resamples of the rows ─▶ sums ─▶ 95 % intervals

Classes and spans are counted in the same way, as true positives, predicted and actual per row and class, so one implementation
serves every task. The tests compare it with scikit-learn and seqeval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

BINS = 15
RESAMPLES = 1000
METRICS = ("accuracy", "macro_f1", "micro_f1", "weighted_f1", "ece")
SpanKey = tuple[int, int, str]
"""A span: first character, the character after the last, type."""


class ClassScore(msgspec.Struct, frozen=True):
    """Scores of one class: precision, recall and F1 in [0, 1], and the number of rows that have it."""

    precision: float
    recall: float
    f1: float
    support: int


class MetricsReport(msgspec.Struct, frozen=True):
    """The metrics of one file, each in [0, 1].

    accuracy: share of rows that are right as a whole (subset accuracy): every label of the row, and no other
    macro_f1: mean over the classes that occur in the truth
    ece: expected calibration error of the probabilities of the predicted labels, 15 bins
    interval: metric -> 95 % bootstrap percentile interval over rows; that of ece is biased upwards, as resampling adds noise
    by_language: the same metrics for the rows of each language, where rows name theirs
    """

    n: int
    accuracy: float
    macro_f1: float
    micro_f1: float
    weighted_f1: float
    ece: float
    per_class: dict[str, ClassScore]
    interval: dict[str, tuple[float, float]] = {}
    by_language: dict[str, MetricsReport] = {}


@dataclass(frozen=True, slots=True)
class RowCounts:
    """What each of N rows adds to the sums over C classes.

    true_positives, predicted, actual: (N, C), counts of correct predictions, of predictions, and of true labels
    exact: (N,), whether the row is right as a whole
    bins: (N, 3, BINS), of the predictions per bin of confidence: how many, the sum of their confidences, how many are right
    """

    names: tuple[str, ...]
    true_positives: Ints
    predicted: Ints
    actual: Ints
    exact: Bools
    bins: Floats

    def take(self, rows: npt.NDArray[np.int_]) -> RowCounts:
        """The counts of the given rows only; rows: (M,) indices."""
        return RowCounts(self.names, self.true_positives[rows], self.predicted[rows], self.actual[rows], self.exact[rows], self.bins[rows])


def confidence_bins(rows: int, owner: npt.NDArray[np.int_], confidence: Floats, right: Bools) -> Floats:
    """Sum predictions into bins of equal width.

    Args:
        rows: N.
        owner: (P,), the row of each prediction.
        confidence: (P,), its probability in [0, 1].
        right: (P,), whether it is correct.

    Returns:
        (N, 3, BINS): number of predictions, sum of confidences, number of correct ones.
    """
    bins = np.zeros((rows, 3, BINS))
    place = np.clip((confidence * BINS).astype(int), 0, BINS - 1)
    for kind, value in enumerate((np.ones(len(confidence)), confidence, right.astype(float))):
        np.add.at(bins[:, kind], (owner, place), value)
    return bins


def calibration_error(bins: Floats) -> Floats:
    """Expected calibration error (...) of summed bins (..., 3, BINS): mean |confidence - accuracy| weighted by bin size; 0 without any.

    Source: Guo et al. (2017), On Calibration of Modern Neural Networks, eq. 3.
    """
    total = np.maximum(bins[..., 0, :].sum(-1), 1.0)
    gaps: Floats = np.abs(bins[..., 1, :] - bins[..., 2, :]).sum(-1) / total
    return gaps


def expected_calibration_error(confidence: Floats, right: Bools) -> float:
    """The expected calibration error of confidences (N,) and whether each prediction was right (N,)."""
    owner = np.zeros(len(confidence), dtype=int)
    return float(calibration_error(confidence_bins(1, owner, confidence, right)[0]))


def single_label_counts(truth: Sequence[str], probabilities: Floats, names: Sequence[str]) -> RowCounts:
    """Counts of a single-label task, where the most probable class is predicted.

    Args:
        truth: (N,) labels; one that is not in `names` becomes a class that is never predicted.
        probabilities: (N, C).
        names: the C classes.
    """
    all_names = (*names, *sorted(set(truth) - set(names)))
    actual = indicators([(label,) for label in truth], all_names)
    best = probabilities.argmax(1) if len(truth) else np.zeros(0, dtype=int)
    predicted = np.eye(len(all_names), dtype=np.bool_)[best].reshape(-1, len(all_names))
    rows = np.arange(len(truth))
    return indicator_counts(actual, predicted, rows, probabilities.max(1) if len(truth) else np.zeros(0), actual[rows, best], all_names)


def multi_label_counts(truth: Sequence[frozenset[str]], predicted: Sequence[dict[str, float]], known: Sequence[str]) -> RowCounts:
    """Counts of a multi-label task.

    Args:
        truth: the true labels of each row.
        predicted: the predicted labels of each row with their probabilities.
        known: the C labels to score; other labels are ignored.
    """
    names = frozenset(known)
    known_rows = [{key: p for key, p in row.items() if key in names} for row in predicted]
    owner = np.array([i for i, row in enumerate(known_rows) for _ in row], dtype=int)
    confidence = np.array([p for row in known_rows for p in row.values()], dtype=np.float64)
    right = np.array([key in truth[i] for i, row in enumerate(known_rows) for key in row], dtype=np.bool_)
    return indicator_counts(indicators([*truth], known), indicators(known_rows, known), owner, confidence, right, known)


def indicators(rows: Sequence[Sequence[str] | frozenset[str] | dict[str, float]], names: Sequence[str]) -> Bools:
    """(N, C): whether the row has the label."""
    column = {name: i for i, name in enumerate(names)}
    found = np.zeros((len(rows), len(names)), dtype=np.bool_)
    for i, row in enumerate(rows):
        for label in row:
            if label in column:
                found[i, column[label]] = True
    return found


def indicator_counts(
    truth: Bools, predicted: Bools, owner: npt.NDArray[np.int_], confidence: Floats, right: Bools, names: Sequence[str]
) -> RowCounts:
    """Counts from indicator matrices (N, C), and the predictions' confidences for the calibration error (see `confidence_bins`)."""
    bins = confidence_bins(len(truth), owner, confidence, right)
    exact: Bools = (truth == predicted).all(1)
    return RowCounts(tuple(names), (truth & predicted).astype(np.int32), predicted.astype(np.int32), truth.astype(np.int32), exact, bins)


def span_counts(truth: Sequence[Sequence[SpanKey]], spans: Sequence[Sequence[tuple[SpanKey, float]]], kinds: Sequence[str]) -> RowCounts:
    """Counts of a span task under strict matching: a true positive has the right type and both boundaries (CoNLL-2003).

    Args:
        truth: the annotated spans of each row.
        spans: the predicted spans of each row with their probabilities.
        kinds: the C span types.
    """
    true_positives, predicted, actual = (np.zeros((len(truth), len(kinds)), dtype=np.int32) for _ in range(3))
    exact = np.zeros(len(truth), dtype=np.bool_)
    owner, confidence, right = [], [], []
    column = {kind: i for i, kind in enumerate(kinds)}
    for row, (annotated, found) in enumerate(zip(truth, spans, strict=True)):
        places = set(annotated)
        for place in places:
            actual[row, column[place[2]]] += 1
        for place, probability in found:
            predicted[row, column[place[2]]] += 1
            true_positives[row, column[place[2]]] += place in places
            owner.append(row)
            confidence.append(probability)
            right.append(place in places)
        exact[row] = places == {place for place, _ in found}
    bins = confidence_bins(len(truth), np.array(owner, dtype=int), np.array(confidence, dtype=np.float64), np.array(right, dtype=np.bool_))
    return RowCounts(tuple(kinds), true_positives, predicted, actual, exact, bins)


def metrics_report(row_counts: RowCounts, languages: Sequence[str] = (), *, resamples: int = 0, seed: int = 13) -> MetricsReport:
    """The metrics of counts.

    Args:
        row_counts: counts of N rows.
        languages: (N,), the language of each row, "" where unknown; empty for no report by language.
        resamples: bootstrap resamples; 0 for no intervals.
        seed: random seed of the bootstrap.
    """
    sums = _sums(row_counts, np.ones((1, len(row_counts.exact))))
    figures = {name: float(value[0]) for name, value in _figures(sums, len(row_counts.exact)).items()}
    parts = {}
    for language in sorted(set(languages) - {""}):
        inside = np.flatnonzero(np.array(languages) == language)
        parts[language] = metrics_report(row_counts.take(inside), resamples=resamples, seed=seed)
    return MetricsReport(
        n=len(row_counts.exact),
        **figures,
        per_class=_per_class(row_counts),
        interval=bootstrap_intervals(row_counts, resamples, seed) if resamples else {},
        by_language=parts,
    )


def bootstrap_intervals(row_counts: RowCounts, resamples: int = RESAMPLES, seed: int = 13) -> dict[str, tuple[float, float]]:
    """95 % percentile bootstrap intervals over rows (Efron 1979): metric -> (low, high). Deterministic for a seed."""
    rows = len(row_counts.exact)
    if not rows:
        return {}
    rng = np.random.default_rng(seed)
    found: dict[str, list[Floats]] = {name: [] for name in METRICS}
    for start in range(0, resamples, 50):
        drawn = rng.integers(0, rows, (min(50, resamples - start), rows))
        weights = np.stack([np.bincount(one, minlength=rows) for one in drawn]).astype(np.float64)
        for name, value in _figures(_sums(row_counts, weights), rows).items():
            found[name].append(value)
    cuts = {name: np.percentile(np.concatenate(values), (2.5, 97.5)) for name, values in found.items()}
    return {name: (float(low), float(high)) for name, (low, high) in cuts.items()}


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums of counts under R weightings of the rows: (R, C), (R,), (R, 3, BINS)."""

    true_positives: Floats
    predicted: Floats
    actual: Floats
    exact: Floats
    bins: Floats


def _sums(row_counts: RowCounts, weights: Floats) -> _Sums:
    return _Sums(
        weights @ row_counts.true_positives,
        weights @ row_counts.predicted,
        weights @ row_counts.actual,
        weights @ row_counts.exact,
        (weights @ row_counts.bins.reshape(len(row_counts.exact), 3 * BINS)).reshape(-1, 3, BINS),
    )


def _figures(sums: _Sums, rows: int) -> dict[str, Floats]:
    """Each metric (R,) from sums. F1 = 2 TP / (predicted + actual); 0 for a class that is neither predicted nor actual."""
    f1 = 2 * sums.true_positives / np.maximum(sums.predicted + sums.actual, 1.0)
    occurs = sums.actual > 0
    everything = sums.predicted.sum(1) + sums.actual.sum(1)
    return {
        "accuracy": sums.exact / max(rows, 1),
        "macro_f1": (f1 * occurs).sum(1) / np.maximum(occurs.sum(1), 1),
        "micro_f1": 2 * sums.true_positives.sum(1) / np.maximum(everything, 1.0),
        "weighted_f1": (f1 * sums.actual).sum(1) / np.maximum(sums.actual.sum(1), 1.0),
        "ece": calibration_error(sums.bins),
    }


def _per_class(row_counts: RowCounts) -> dict[str, ClassScore]:
    """Scores of the classes that occur or were predicted, in their order."""
    true_positives, predicted, actual = row_counts.true_positives.sum(0), row_counts.predicted.sum(0), row_counts.actual.sum(0)
    scores = {}
    for i, name in enumerate(row_counts.names):
        if not predicted[i] and not actual[i]:
            continue
        precision = float(true_positives[i] / predicted[i]) if predicted[i] else 0.0
        recall = float(true_positives[i] / actual[i]) if actual[i] else 0.0
        scores[name] = ClassScore(precision, recall, float(2 * true_positives[i] / (predicted[i] + actual[i])), int(actual[i]))
    return scores
