"""How good is a classifier on a labelled file? Pure metrics, and one function that runs a classifier over the rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.classifier import Classifier, Document, Prediction
from models.data import Row, read_rows
from models.labels import MAPPINGS, known_topics
from models.network import SENTIMENTS
from spine.errors import ModelError
from spine.taxonomy import BY_KEY, TOPIC_KEYS

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class: precision, recall and F1 in [0, 1], and how many rows have it."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Report:
    """What `evaluate` says of one file. accuracy of a multi-label task: rows whose whole set of labels is right."""

    n: int
    accuracy: float
    macro_f1: float
    micro_f1: float
    weighted_f1: float
    ece: float
    per_class: dict[str, ClassScore]
    by_language: dict[str, Report] = field(default_factory=dict)


def class_scores(truth: Bools, said: Bools, names: Sequence[str]) -> dict[str, ClassScore]:
    """Per class, from indicator matrices (N, C). A class nobody named and nobody has scores 0."""
    hits, named, real = (truth & said).sum(0), said.sum(0), truth.sum(0)
    scores = {}
    for i, name in enumerate(names):
        precision = float(hits[i] / named[i]) if named[i] else 0.0
        recall = float(hits[i] / real[i]) if real[i] else 0.0
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        scores[name] = ClassScore(precision, recall, f1, int(real[i]))
    return scores


def expected_calibration_error(confidence: npt.NDArray[np.float64], right: Bools, bins: int = 15) -> float:
    """Mean |confidence - share right| over equal-width bins, weighted by their size; 0 for no rows.

    Source: Guo et al. (2017), On Calibration of Modern Neural Networks.
    """
    if len(confidence) == 0:
        return 0.0
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = 0.0
    for b in range(bins):
        inside = place == b
        if inside.any():
            gap += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    return float(gap)


def report(truth: Bools, said: Bools, confidence: npt.NDArray[np.float64], right: Bools, names: Sequence[str]) -> Report:
    """All metrics from indicator matrices (N, C) and the confidences behind `ece`. Macro F1 is over classes that occur."""
    scores = class_scores(truth, said, names)
    real = [score for score in scores.values() if score.support]
    hits, total = int((truth & said).sum()), int(truth.sum() + said.sum())
    support = sum(score.support for score in real)
    return Report(
        n=len(truth),
        accuracy=float((truth == said).all(1).mean()) if len(truth) else 0.0,
        macro_f1=sum(score.f1 for score in real) / len(real) if real else 0.0,
        micro_f1=2 * hits / total if total else 0.0,
        weighted_f1=sum(score.f1 * score.support for score in real) / support if support else 0.0,
        ece=expected_calibration_error(confidence, right),
        per_class=scores,
    )


def sentiment_report(labels: Sequence[str], probabilities: npt.NDArray[np.float64]) -> Report:
    """Sentiment metrics: labels (N,), probabilities (N, 3). Only classes that occur in `labels` can be said."""
    classes = [i for i, name in enumerate(SENTIMENTS) if name in set(labels)]
    limited = probabilities[:, classes]
    limited = limited / limited.sum(1, keepdims=True)
    names = [SENTIMENTS[i] for i in classes]
    truth = np.array([[label == name for name in names] for label in labels], dtype=np.bool_).reshape(-1, len(names))
    best = limited.argmax(1)
    said = np.eye(len(names), dtype=np.bool_)[best]
    right = truth[np.arange(len(best)), best]
    return report(truth, said, limited.max(1), right, names)


def topic_report(truth: Sequence[frozenset[str]], predicted: Sequence[dict[str, float]], known: Sequence[str]) -> Report:
    """Topic metrics on the topics that the labels decide; predicted: topics said to apply, with probabilities."""
    real = np.array([[key in row for key in known] for row in truth], dtype=np.bool_).reshape(-1, len(known))
    said = np.array([[key in row for key in known] for row in predicted], dtype=np.bool_).reshape(-1, len(known))
    confidence = np.array([p for row in predicted for key, p in row.items() if key in known], dtype=np.float64)
    right = np.array([key in t for t, row in zip(truth, predicted, strict=True) for key in row if key in known], dtype=np.bool_)
    return report(real, said, confidence, right, known)


def evaluate_file(classifier: Classifier, path: Path, task: str) -> Report:
    """`task` is "sentiment" (text, label, perhaps entity or aspect) or "topic" (text, labels of ours or of a mapped source).

    Raises ModelError for another task, a malformed file, or one without a usable row.
    """
    rows = list(read_rows(path))
    if task == "sentiment":
        rows = [row for row in rows if row.get("label") in SENTIMENTS]
    elif task == "topic":
        rows = [row for row in rows if row.get("labels") and _topics(row)]
    else:
        message = f"unknown task {task!r}: sentiment or topic is wanted"
        raise ModelError(message)
    if not rows:
        message = f"{path}: no row can be used for {task}"
        raise ModelError(message)
    predictions = classifier.classify([_document(row) for row in rows])
    whole = _score(rows, predictions, task)
    languages = sorted({str(row["lang"]) for row in rows if row.get("lang")})
    parts = {}
    for language in languages:
        inside = [i for i, row in enumerate(rows) if row.get("lang") == language]
        parts[language] = _score([rows[i] for i in inside], [predictions[i] for i in inside], task)
    return Report(**{**{name: getattr(whole, name) for name in Report.__slots__}, "by_language": parts})


def _document(row: Row) -> Document:
    target = row.get("entity") or row.get("aspect")
    return Document("", row["text"], str(row.get("lang", "en")), (str(target),) if target else ())


def _topics(row: Row) -> frozenset[str]:
    mapping = MAPPINGS.get(str(row.get("source")))
    labels = [str(label) for label in row["labels"]]
    if mapping is None:
        return frozenset(label for label in labels if label in BY_KEY)
    return frozenset(key for label in labels for key in mapping.labels.get(label, ()))


def _score(rows: Sequence[Row], predictions: Iterable[Prediction], task: str) -> Report:
    said = list(predictions)
    if task == "sentiment":
        probabilities = np.array([p.companies[0] if p.companies else p.sentiment for p in said], dtype=np.float64)
        return sentiment_report([str(row["label"]) for row in rows], probabilities)
    sources = {str(row.get("source")) for row in rows}
    known = known_topics(sources.pop()) if len(sources) == 1 and sources <= set(MAPPINGS) else TOPIC_KEYS
    return topic_report([_topics(row) for row in rows], [dict(p.topics) for p in said], known)
