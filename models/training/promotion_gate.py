"""The promotion gate: decides whether a challenger replaces the champion. Pure: predictions in, a decision with its reasons out.

    predictions of both models on the same frozen rows ─▶ paired bootstrap over rows ─▶ comparisons ─▶ decision

A challenger is promoted if it is significantly better on the new labels and nowhere worse by more than a margin. The margin of a language
or class is `margin` (one point), or half of its 95 % interval if that is more, but at most MAX_MARGIN_FACTOR times `margin`.

Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, ch. 13 (percentile intervals); paired, because both models predict
the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
MAX_MARGIN_FACTOR = 5.0
MIN_ROWS = 10
"""A class or language with fewer rows has no margin of its own, because one row would be more than ten points."""

SIDES = ("champion", "challenger")

_CHUNK = 4_000_000  # maximum number of draws in memory
_LOW, _HIGH = 2.5, 97.5

RowLabels = frozenset[str]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PairedPredictions:
    """True labels and predictions of both models for the rows of one frozen test.

    classes: the labels that are scored; others are ignored
    new: whether these are the new labels that the challenger should have learned
    """

    name: str
    languages: tuple[str, ...]
    truth: tuple[RowLabels, ...]
    champion: tuple[RowLabels, ...]
    challenger: tuple[RowLabels, ...]
    classes: tuple[str, ...]
    new: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """Comparison of champion and challenger on a group of rows of a test, with metrics in [0, 1].

    group: "all", "language zh" or "class negative"; metric: "accuracy" (all labels of a row right), "macro F1" or "F1"
    n: rows, or for a class the rows that have it; difference: challenger - champion, with its 95 % interval low..high
    margin: the loss that is allowed, 0 if the group is too small; fine: whether the loss is within the margin
    """

    test: str
    group: str
    metric: str
    n: int
    champion: float
    challenger: float
    difference: float
    low: float
    high: float
    margin: float
    fine: bool


@dataclass(frozen=True, slots=True)
class GateDecision:
    """The decision, its reasons, and all comparisons behind it."""

    promote: bool
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...]


def decide(pairs: Sequence[PairedPredictions], *, margin: float = 0.01, resamples: int = RESAMPLES, seed: int = 13) -> GateDecision:
    """Decide about a promotion. Deterministic.

    Args:
        pairs: the frozen tests. Those with new labels decide together whether there is a gain; every one is checked for losses.
        margin: allowed loss of a language or class.
        resamples: bootstrap resamples.
        seed: random seed of the bootstrap.

    Returns:
        The decision; without any new row it is not to promote.
    """
    comparisons = [found for pair in pairs for found in compare(pair, margin=margin, resamples=resamples, seed=seed)]
    gain = _gain([pair for pair in pairs if pair.new], resamples, seed)
    losses = [f"{_place(c)} fell by {-100 * c.difference:.1f} points, allowed {100 * c.margin:.1f}" for c in comparisons if not c.fine]
    if gain is None:
        reasons = ["no frozen rows with new labels: a gain cannot be shown"]
    else:
        comparisons.insert(0, gain)
        words = f"accuracy on the frozen part of the new labels changed by {100 * gain.difference:+.1f} points"
        words += f" (95 % interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f}, {gain.n} rows)"
        reasons = [f"{words}: {'significantly better' if gain.fine else 'not significantly better'}"]
    reasons += losses or ["no language or class of a frozen test lost more than its margin"]
    return GateDecision(gain is not None and gain.fine and not losses, tuple(reasons), tuple(comparisons))


def compare(pair: PairedPredictions, *, margin: float, resamples: int = RESAMPLES, seed: int = 13) -> list[Comparison]:
    """Compare both models on all rows of a test, on each language, and on each class. Empty for a test without rows."""
    if not pair.truth:
        return []
    found = _group(pair, "all", range(len(pair.truth)), margin, resamples, seed)
    languages = sorted(set(pair.languages))
    if len(languages) > 1:
        for language in languages:
            rows = [i for i, own in enumerate(pair.languages) if own == language]
            found += [c for c in _group(pair, f"language {language}", rows, margin, resamples, seed) if c.metric != "F1"]
    return found


def _gain(pairs: Sequence[PairedPredictions], resamples: int, seed: int) -> Comparison | None:
    """Accuracy over all rows with new labels; fine if its interval is above 0."""
    with_rows = [pair for pair in pairs if pair.truth]
    if not with_rows:
        return None
    one, two = (
        np.concatenate([_right(_flags(t.truth, t.classes), _flags(getattr(t, side), t.classes)) for t in with_rows]) for side in SIDES
    )
    drawn = np.concatenate([weights @ (two - one) / len(one) for weights in _draws(len(one), resamples, seed)])
    low, high = (float(value) for value in np.percentile(drawn, [_LOW, _HIGH]))
    before, after = float(one.mean()), float(two.mean())
    return Comparison("new labels", "all", "accuracy", len(one), before, after, after - before, low, high, 0.0, low > 0)


def _group(pair: PairedPredictions, group: str, rows: Sequence[int], margin: float, resamples: int, seed: int) -> list[Comparison]:
    """Accuracy, macro F1, and the F1 of each class on some rows of a test."""
    truth = [pair.truth[i] for i in rows]
    sides = [[predicted[i] for i in rows] for predicted in (pair.champion, pair.challenger)]
    truth_flags, one, two = (_flags(labels, pair.classes) for labels in (truth, *sides))
    right = [_right(truth_flags, predicted) for predicted in (one, two)]
    support = truth_flags.sum(0)
    drawn_accuracy, drawn_f1 = [], []
    for weights in _draws(len(rows), resamples, seed):
        drawn_accuracy.append(weights @ (right[1] - right[0]) / len(rows))
        drawn_f1.append(_f1(weights, truth_flags, two) - _f1(weights, truth_flags, one))
    f1 = [_f1(np.ones((1, len(rows))), truth_flags, predicted)[0] for predicted in (one, two)]
    drawn = np.concatenate(drawn_f1)  # (resamples, classes)
    present = support > 0

    def entry(label: str, metric: str, n: int, values: tuple[float, float], spread: Floats) -> Comparison:
        low, high = (float(value) for value in np.percentile(spread, [_LOW, _HIGH]))
        before, after = values
        allowed = min(max(margin, (high - low) / 2), MAX_MARGIN_FACTOR * margin) if n >= MIN_ROWS else 0.0
        fine = n < MIN_ROWS or after - before >= -allowed - 1e-12
        return Comparison(pair.name, label, metric, n, before, after, after - before, low, high, allowed, fine)

    found = [entry(group, "accuracy", len(rows), (float(right[0].mean()), float(right[1].mean())), np.concatenate(drawn_accuracy))]
    if present.any():
        means = (float(f1[0][present].mean()), float(f1[1][present].mean()))
        found.append(entry(group, "macro F1", len(rows), means, drawn[:, present].mean(1)))
    if group == "all":
        for i in np.flatnonzero(present):
            values = (float(f1[0][i]), float(f1[1][i]))
            found.append(entry(f"class {pair.classes[i]}", "F1", int(support[i]), values, drawn[:, i]))
    return found


def _draws(rows: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each row is drawn in each resample: (resamples, rows), in slices that fit into memory."""
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // rows)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        places = rng.integers(0, rows, (size, rows)) + rows * np.arange(size)[:, None]
        yield np.bincount(places.ravel(), minlength=size * rows).reshape(size, rows).astype(np.float64)


def _f1(weights: Floats, truth: Bools, predicted: Bools) -> Floats:
    """F1 by class, (resamples, classes); 0 for a class that is neither predicted nor true. weights: (resamples, rows)."""
    hits = weights @ (truth & predicted).astype(np.float64)
    total = weights @ (truth.astype(np.float64) + predicted)
    found: Floats = np.divide(2 * hits, total, out=np.zeros_like(hits), where=total > 0)
    return found


def _right(truth: Bools, predicted: Bools) -> Floats:
    right: Floats = (truth == predicted).all(1).astype(np.float64)
    return right


def _flags(labels: Sequence[RowLabels], classes: Sequence[str]) -> Bools:
    return np.array([[name in row for name in classes] for row in labels], dtype=np.bool_).reshape(len(labels), len(classes))


def _place(comparison: Comparison) -> str:
    return f"{comparison.test}, {comparison.group}: {comparison.metric}"
