"""How good are answers that were given? Pure figures from rows that were answered, with their bootstrap intervals.

    rows ─▶ Tally (what each row adds to every sum) ─▶ sums ─▶ Report
                                                  └▶ 1,000 resamples of the rows ─▶ sums ─▶ 95 % intervals

Classes and spans are counted alike: hits, named and real per row and class; so one code measures every task.
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
Place = tuple[int, int, str]
"""A span: first character, the one after its last, type."""


class ClassScore(msgspec.Struct, frozen=True):
    """One class: precision, recall and F1 in [0, 1], and how many rows have it."""

    precision: float
    recall: float
    f1: float
    support: int


class Report(msgspec.Struct, frozen=True):
    """The figures of one file.

    accuracy: rows that are right as a whole: in multi-label tasks and for spans every label, and none too many
    macro_f1: over the classes that occur
    ece: expected calibration error of the probabilities behind what was said, 15 bins
    interval: metric -> its 95 % bootstrap interval over rows (percentiles); ece's is biased upwards, as resampling adds noise
    by_language: the same of the rows of each language, where rows name theirs
    """

    n: int
    accuracy: float
    macro_f1: float
    micro_f1: float
    weighted_f1: float
    ece: float
    per_class: dict[str, ClassScore]
    interval: dict[str, tuple[float, float]] = {}
    by_language: dict[str, Report] = {}


@dataclass(frozen=True, slots=True)
class Tally:
    """What each of N rows adds to the sums over C classes.

    hits, named, real: (N, C) how often the row's class was said rightly, said, and true
    exact: (N,) whether the row is right as a whole
    bins: (N, 3, BINS) of what was said: how many per bin of confidence, the sum of confidences, how many are right
    """

    names: tuple[str, ...]
    hits: Ints
    named: Ints
    real: Ints
    exact: Bools
    bins: Floats

    def take(self, rows: npt.NDArray[np.int_]) -> Tally:
        """The tally of these rows alone."""
        return Tally(self.names, self.hits[rows], self.named[rows], self.real[rows], self.exact[rows], self.bins[rows])


def confidence_bins(rows: int, owner: npt.NDArray[np.int_], confidence: Floats, right: Bools) -> Floats:
    """(rows, 3, BINS) from things said: the row that each belongs to, its confidence in [0, 1], whether it is right."""
    bins = np.zeros((rows, 3, BINS))
    place = np.clip((confidence * BINS).astype(int), 0, BINS - 1)
    for kind, value in enumerate((np.ones(len(confidence)), confidence, right.astype(float))):
        np.add.at(bins[:, kind], (owner, place), value)
    return bins


def calibration_error(bins: Floats) -> Floats:
    """Expected calibration error (...) of summed bins (..., 3, BINS): the mean |confidence - share right| weighted by size; 0 for none.

    Source: Guo et al. (2017), On Calibration of Modern Neural Networks.
    """
    total = np.maximum(bins[..., 0, :].sum(-1), 1.0)
    gaps: Floats = np.abs(bins[..., 1, :] - bins[..., 2, :]).sum(-1) / total
    return gaps


def expected_calibration_error(confidence: Floats, right: Bools) -> float:
    """The same of single confidences (N,) and whether each was right (N,)."""
    owner = np.zeros(len(confidence), dtype=int)
    return float(calibration_error(confidence_bins(1, owner, confidence, right)[0]))


def single_tally(truth: Sequence[str], probabilities: Floats, names: Sequence[str]) -> Tally:
    """Tally of an exclusive task: truth (N,), probabilities (N, C) over `names`, of which the likeliest is said.

    A truth that is not among `names` is a class of its own which nobody can say.
    """
    every = (*names, *sorted(set(truth) - set(names)))
    real = indicators([(label,) for label in truth], every)
    best = probabilities.argmax(1) if len(truth) else np.zeros(0, dtype=int)
    said = np.eye(len(every), dtype=np.bool_)[best].reshape(-1, len(every))
    rows = np.arange(len(truth))
    return class_tally(real, said, rows, probabilities.max(1) if len(truth) else np.zeros(0), real[rows, best], every)


def multi_tally(truth: Sequence[frozenset[str]], said: Sequence[dict[str, float]], known: Sequence[str]) -> Tally:
    """Tally of a multi-label task; said: label to probability, per row; labels that are not `known` are not looked at."""
    names = frozenset(known)
    kept = [{key: p for key, p in row.items() if key in names} for row in said]
    owner = np.array([i for i, row in enumerate(kept) for _ in row], dtype=int)
    confidence = np.array([p for row in kept for p in row.values()], dtype=np.float64)
    right = np.array([key in truth[i] for i, row in enumerate(kept) for key in row], dtype=np.bool_)
    return class_tally(indicators([*truth], known), indicators(kept, known), owner, confidence, right, known)


def indicators(rows: Sequence[Sequence[str] | frozenset[str] | dict[str, float]], names: Sequence[str]) -> Bools:
    """(N, C): whether the row holds the name."""
    column = {name: i for i, name in enumerate(names)}
    found = np.zeros((len(rows), len(names)), dtype=np.bool_)
    for i, row in enumerate(rows):
        for label in row:
            if label in column:
                found[i, column[label]] = True
    return found


def class_tally(truth: Bools, said: Bools, owner: npt.NDArray[np.int_], confidence: Floats, right: Bools, names: Sequence[str]) -> Tally:
    """Tally from indicator matrices (N, C) and the confidences behind the error of calibration (see `confidence_bins`)."""
    bins = confidence_bins(len(truth), owner, confidence, right)
    exact: Bools = (truth == said).all(1)
    return Tally(tuple(names), (truth & said).astype(np.int32), said.astype(np.int32), truth.astype(np.int32), exact, bins)


def span_tally(truth: Sequence[Sequence[Place]], said: Sequence[Sequence[tuple[Place, float]]], kinds: Sequence[str]) -> Tally:
    """Tally of spans: a hit has the right type and both boundaries (CoNLL-2003). said: spans with their probabilities, per row."""
    hits, named, real = (np.zeros((len(truth), len(kinds)), dtype=np.int32) for _ in range(3))
    exact = np.zeros(len(truth), dtype=np.bool_)
    owner, confidence, right = [], [], []
    column = {kind: i for i, kind in enumerate(kinds)}
    for row, (wanted, found) in enumerate(zip(truth, said, strict=True)):
        places = set(wanted)
        for place in places:
            real[row, column[place[2]]] += 1
        for place, probability in found:
            named[row, column[place[2]]] += 1
            hits[row, column[place[2]]] += place in places
            owner.append(row)
            confidence.append(probability)
            right.append(place in places)
        exact[row] = places == {place for place, _ in found}
    bins = confidence_bins(len(truth), np.array(owner, dtype=int), np.array(confidence, dtype=np.float64), np.array(right, dtype=np.bool_))
    return Tally(tuple(kinds), hits, named, real, exact, bins)


def report_of(tally: Tally, languages: Sequence[str] = (), *, resamples: int = 0, seed: int = 13) -> Report:
    """The figures of a tally; languages: of each row, "" where it names none; resamples: 0 leaves the intervals out."""
    sums = _sums(tally, np.ones((1, len(tally.exact))))
    figures = {name: float(value[0]) for name, value in _figures(sums, len(tally.exact)).items()}
    parts = {}
    for language in sorted(set(languages) - {""}):
        inside = np.flatnonzero(np.array(languages) == language)
        parts[language] = report_of(tally.take(inside), resamples=resamples, seed=seed)
    return Report(
        n=len(tally.exact),
        **figures,
        per_class=_per_class(tally),
        interval=intervals(tally, resamples, seed) if resamples else {},
        by_language=parts,
    )


def intervals(tally: Tally, resamples: int = RESAMPLES, seed: int = 13) -> dict[str, tuple[float, float]]:
    """95 % percentile bootstrap intervals over rows (Efron 1979): metric -> (low, high); the same seed gives the same."""
    rows = len(tally.exact)
    if not rows:
        return {}
    dice = np.random.default_rng(seed)
    found: dict[str, list[Floats]] = {name: [] for name in METRICS}
    for start in range(0, resamples, 50):
        drawn = dice.integers(0, rows, (min(50, resamples - start), rows))
        weights = np.stack([np.bincount(one, minlength=rows) for one in drawn]).astype(np.float64)
        for name, value in _figures(_sums(tally, weights), rows).items():
            found[name].append(value)
    cuts = {name: np.percentile(np.concatenate(values), (2.5, 97.5)) for name, values in found.items()}
    return {name: (float(low), float(high)) for name, (low, high) in cuts.items()}


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums of R weighings of a tally: (R, C), (R,), (R, 3, BINS)."""

    hits: Floats
    named: Floats
    real: Floats
    exact: Floats
    bins: Floats


def _sums(tally: Tally, weights: Floats) -> _Sums:
    return _Sums(
        weights @ tally.hits,
        weights @ tally.named,
        weights @ tally.real,
        weights @ tally.exact,
        (weights @ tally.bins.reshape(len(tally.exact), 3 * BINS)).reshape(-1, 3, BINS),
    )


def _figures(sums: _Sums, rows: int) -> dict[str, Floats]:
    """Each metric (R,) from sums; F1 = 2 hits / (named + real), 0 where nobody named and nobody has the class."""
    f1 = 2 * sums.hits / np.maximum(sums.named + sums.real, 1.0)
    occurs = sums.real > 0
    everything = sums.named.sum(1) + sums.real.sum(1)
    return {
        "accuracy": sums.exact / max(rows, 1),
        "macro_f1": (f1 * occurs).sum(1) / np.maximum(occurs.sum(1), 1),
        "micro_f1": 2 * sums.hits.sum(1) / np.maximum(everything, 1.0),
        "weighted_f1": (f1 * sums.real).sum(1) / np.maximum(sums.real.sum(1), 1.0),
        "ece": calibration_error(sums.bins),
    }


def _per_class(tally: Tally) -> dict[str, ClassScore]:
    """Scores of the classes that occur or were said, in their order."""
    hits, named, real = tally.hits.sum(0), tally.named.sum(0), tally.real.sum(0)
    scores = {}
    for i, name in enumerate(tally.names):
        if not named[i] and not real[i]:
            continue
        precision = float(hits[i] / named[i]) if named[i] else 0.0
        recall = float(hits[i] / real[i]) if real[i] else 0.0
        scores[name] = ClassScore(precision, recall, float(2 * hits[i] / (named[i] + real[i])), int(real[i]))
    return scores
