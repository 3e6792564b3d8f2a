"""May a challenger take the champion's place? Pure: labels in, a verdict with every reason out.

    trials (both models' labels on the same frozen rows) ─▶ paired bootstrap over rows ─▶ comparisons ─▶ verdict

It is promoted when, on what it was to learn, it is better beyond chance, and nowhere worse by more than its margin. The margin
of a language or class is `margin` (one point), or what chance alone explains where its rows are few, but never more than
WIDEST times `margin`.

Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, ch. 13 (percentile intervals); paired, as both models
saw the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
WIDEST = 5.0
LEAST_ROWS = 10
"""A class or language with fewer rows is counted in the whole but not judged by itself: one row would be ten points."""

SIDES = ("champion", "challenger")

_CHUNK = 4_000_000  # draws held at a time
_LOW, _HIGH = 2.5, 97.5

Labels = frozenset[str]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trial:
    """One frozen test: what is right and what each model said, row by row.

    classes: those that are judged; labels outside of them are no part of the test
    new: whether it is what the challenger was to learn
    """

    name: str
    languages: tuple[str, ...]
    truth: tuple[Labels, ...]
    champion: tuple[Labels, ...]
    challenger: tuple[Labels, ...]
    classes: tuple[str, ...]
    new: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """Champion beside challenger on some rows of a test, in shares of 1.

    group: "all", "language zh" or "class negative"; metric: "accuracy" (all labels of a row right), "macro F1" or "F1"
    n: rows, or for a class the rows that have it; difference: challenger - champion, with its 95 % interval low..high
    margin: the loss that is allowed; 0 where nothing is judged
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
class Verdict:
    """promote, and every reason for or against; comparisons: all figures behind it."""

    promote: bool
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...]


def judge(trials: Sequence[Trial], *, margin: float = 0.01, resamples: int = RESAMPLES, seed: int = 13) -> Verdict:
    """The verdict over all trials. Those that are new decide together whether there is a gain; each is looked at for losses.

    Without any row that is new there is nothing to promote for. The same input gives the same verdict.
    """
    comparisons = [found for trial in trials for found in compare(trial, margin=margin, resamples=resamples, seed=seed)]
    gain = _gain([trial for trial in trials if trial.new], resamples, seed)
    losses = [f"{_place(c)} lost {-100 * c.difference:.1f} points, {100 * c.margin:.1f} are allowed" for c in comparisons if not c.fine]
    if gain is None:
        reasons = ["no frozen row of the new labels: nothing shows a gain"]
    else:
        comparisons.insert(0, gain)
        words = f"the new labels' frozen part changed by {100 * gain.difference:+.1f} points of accuracy"
        words += f" (95 % interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f}, {gain.n} rows)"
        reasons = [f"{words}: {'better beyond chance' if gain.fine else 'not better beyond chance'}"]
    reasons += losses or ["no language and no class of a frozen test lost more than its margin"]
    return Verdict(gain is not None and gain.fine and not losses, tuple(reasons), tuple(comparisons))


def compare(trial: Trial, *, margin: float, resamples: int = RESAMPLES, seed: int = 13) -> list[Comparison]:
    """All groups of one test: the whole, each language, each class. Empty for a test without rows."""
    if not trial.truth:
        return []
    found = _group(trial, "all", range(len(trial.truth)), margin, resamples, seed)
    languages = sorted(set(trial.languages))
    if len(languages) > 1:
        for language in languages:
            rows = [i for i, own in enumerate(trial.languages) if own == language]
            found += [c for c in _group(trial, f"language {language}", rows, margin, resamples, seed) if c.metric != "F1"]
    return found


def _gain(trials: Sequence[Trial], resamples: int, seed: int) -> Comparison | None:
    """Accuracy over all rows that are new; fine when its interval lies above 0."""
    asked = [trial for trial in trials if trial.truth]
    if not asked:
        return None
    one, two = (np.concatenate([_right(_flags(t.truth, t.classes), _flags(getattr(t, side), t.classes)) for t in asked]) for side in SIDES)
    drawn = np.concatenate([weights @ (two - one) / len(one) for weights in _draws(len(one), resamples, seed)])
    low, high = (float(value) for value in np.percentile(drawn, [_LOW, _HIGH]))
    before, after = float(one.mean()), float(two.mean())
    return Comparison("new labels", "all", "accuracy", len(one), before, after, after - before, low, high, 0.0, low > 0)


def _group(trial: Trial, group: str, rows: Sequence[int], margin: float, resamples: int, seed: int) -> list[Comparison]:
    """Accuracy, macro F1 and each class's F1 on some rows of a test."""
    truth = [trial.truth[i] for i in rows]
    sides = [[said[i] for i in rows] for said in (trial.champion, trial.challenger)]
    real, one, two = (_flags(labels, trial.classes) for labels in (truth, *sides))
    right = [_right(real, said) for said in (one, two)]
    support = real.sum(0)
    drawn_accuracy, drawn_f1 = [], []
    for weights in _draws(len(rows), resamples, seed):
        drawn_accuracy.append(weights @ (right[1] - right[0]) / len(rows))
        drawn_f1.append(_f1(weights, real, two) - _f1(weights, real, one))
    f1 = [_f1(np.ones((1, len(rows))), real, said)[0] for said in (one, two)]
    drawn = np.concatenate(drawn_f1)  # (resamples, classes)
    present = support > 0

    def entry(label: str, metric: str, n: int, values: tuple[float, float], spread: Floats) -> Comparison:
        low, high = (float(value) for value in np.percentile(spread, [_LOW, _HIGH]))
        before, after = values
        allowed = min(max(margin, (high - low) / 2), WIDEST * margin) if n >= LEAST_ROWS else 0.0
        fine = n < LEAST_ROWS or after - before >= -allowed - 1e-12
        return Comparison(trial.name, label, metric, n, before, after, after - before, low, high, allowed, fine)

    found = [entry(group, "accuracy", len(rows), (float(right[0].mean()), float(right[1].mean())), np.concatenate(drawn_accuracy))]
    if present.any():
        means = (float(f1[0][present].mean()), float(f1[1][present].mean()))
        found.append(entry(group, "macro F1", len(rows), means, drawn[:, present].mean(1)))
    if group == "all":
        for i in np.flatnonzero(present):
            values = (float(f1[0][i]), float(f1[1][i]))
            found.append(entry(f"class {trial.classes[i]}", "F1", int(support[i]), values, drawn[:, i]))
    return found


def _draws(rows: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each row is drawn in each resample, (resamples, rows) in slices that fit into memory."""
    dice = np.random.default_rng(seed)
    step = max(1, _CHUNK // rows)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        places = dice.integers(0, rows, (size, rows)) + rows * np.arange(size)[:, None]
        yield np.bincount(places.ravel(), minlength=size * rows).reshape(size, rows).astype(np.float64)


def _f1(weights: Floats, truth: Bools, said: Bools) -> Floats:
    """F1 by class, (resamples, classes); 0 for a class that nobody named and nobody has. weights: (resamples, rows)."""
    hits = weights @ (truth & said).astype(np.float64)
    total = weights @ (truth.astype(np.float64) + said)
    found: Floats = np.divide(2 * hits, total, out=np.zeros_like(hits), where=total > 0)
    return found


def _right(truth: Bools, said: Bools) -> Floats:
    right: Floats = (truth == said).all(1).astype(np.float64)
    return right


def _flags(labels: Sequence[Labels], classes: Sequence[str]) -> Bools:
    return np.array([[name in row for name in classes] for row in labels], dtype=np.bool_).reshape(len(labels), len(classes))


def _place(comparison: Comparison) -> str:
    return f"{comparison.test}, {comparison.group}: {comparison.metric}"
