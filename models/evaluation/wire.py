"""Evaluation on wire files: news items annotated under our labelling guide. Each task reads its part of a row.

    wire row    ─▶ sentiment, company (one row each), topic, risk or materiality ─▶ Labelled
    predictions ─▶ metrics beside those of models.evaluation.metrics, by language and in all

TASK          FURTHER METRICS
sentiment     accuracy where the annotator was certain; precision and recall of the stories that alerts count as negative
topic         share of rows whose most probable topic is annotated; micro precision and recall
risk          micro precision and recall
materiality   area under the ROC curve, and accuracy, of level 2 or more
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core.errors import SettingsError
from models.evaluation.labelled_files import NEWS, Labelled, Rows, read_objects
from models.heads import SENTIMENTS
from models.training.calibrate import auc
from models.training.wire import is_wire, lead_of

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Details = dict[str, dict[str, float]]

NEGATIVE_FROM = 0.5
"""Alerts count a story as negative if its probability of that exceeds this."""


def read_wire(path: Path, task: str) -> Rows[Labelled] | None:
    """Read a wire file for a task.

    Returns:
        Its rows; None if it is not a wire file.

    Raises:
        SettingsError: the file cannot be read, or has no row for the task.
    """
    found: list[Labelled] = []
    bad: list[str] = []
    for line, row in read_objects(path):
        if not is_wire(row):
            return None
        try:
            found += _labelled(line, row, task)
        except (KeyError, TypeError, ValueError) as error:
            bad.append(f"line {line}: {type(error).__name__} {error}")
    if not found:
        message = f"{path}: no row has labels for {task}"
        raise SettingsError(message)
    return Rows(found, bad)


def _labelled(line: int, row: Mapping[str, Any], task: str) -> list[Labelled]:
    """The rows of a task in a wire row: one per company for `company`, else one."""
    title, lead = lead_of(row)
    sure = bool(row.get("sure", 1))

    def one(labels: tuple[str, ...], *, single: bool, target: str = "") -> Labelled:
        genre, source = str(row.get("genre") or NEWS), str(row.get("source") or "")
        return Labelled(line, lead, labels, single, str(row.get("lang", "en")), True, genre, source, target, title, sure)

    if task == "company":
        return [one((str(each["label"]),), single=True, target=str(each["name"])) for each in row["companies"]]
    if task == "topic":
        return [one(tuple(row["topics"]), single=False)]
    if task == "risk":
        return [one(tuple(row["risks"]), single=False)]
    if task == "materiality":
        return [one((str(int(row["materiality"])),), single=True)]
    return [one((str(row["label"]),), single=True)]


def by_language(rows: Sequence[Labelled], metrics: Callable[[Indices], dict[str, float]]) -> Details:
    """The metrics of all rows and of those in each language. metrics: computes them for indices into `rows`."""
    languages = np.array([row.language for row in rows])
    groups = {"all": np.arange(len(rows))} | {name: np.flatnonzero(languages == name) for name in sorted(set(languages.tolist()))}
    return {name: {key: round(value, 4) for key, value in metrics(places).items()} for name, places in groups.items()}


def sentiment_details(rows: Sequence[Labelled], probabilities: Floats) -> Details:
    """Further metrics of sentiment. probabilities: (N, 3) of negative, neutral, positive."""
    truth = np.array([SENTIMENTS.index(row.labels[0].lower()) for row in rows])
    right = probabilities.argmax(1) == truth
    sure = np.array([row.sure for row in rows])
    negative, predicted = truth == 0, probabilities[:, 0] > NEGATIVE_FROM

    def metrics(places: Indices) -> dict[str, float]:
        true_positives = float((predicted & negative)[places].sum())
        certain = places[sure[places]]
        return {
            "accuracy_sure": float(right[certain].mean()) if len(certain) else 0.0,
            "negative_precision": true_positives / max(1, int(predicted[places].sum())),
            "negative_recall": true_positives / max(1, int(negative[places].sum())),
        }

    return by_language(rows, metrics)


def multi_label_details(
    rows: Sequence[Labelled], predicted: Sequence[Mapping[str, float]], most_probable: Sequence[str] | None = None
) -> Details:
    """Further metrics of topics and risk events.

    Args:
        rows: N rows.
        predicted: label -> probability of each row.
        most_probable: the most probable label of each row, if every row has a label.
    """
    true_positives = np.array([len(set(row.labels) & set(each)) for row, each in zip(rows, predicted, strict=True)])
    predictions, labels = np.array([len(each) for each in predicted]), np.array([len(row.labels) for row in rows])
    hits = None if most_probable is None else np.array([name in row.labels for name, row in zip(most_probable, rows, strict=True)])

    def metrics(places: Indices) -> dict[str, float]:
        micro = {
            "micro_precision": float(true_positives[places].sum() / max(1, predictions[places].sum())),
            "micro_recall": float(true_positives[places].sum() / max(1, labels[places].sum())),
        }
        return micro if hits is None else {"first_among_annotated": float(hits[places].mean()) if len(places) else 0.0, **micro}

    return by_language(rows, metrics)


def materiality_details(rows: Sequence[Labelled], probabilities: Floats) -> Details:
    """Further metrics of materiality. probabilities: (N, 3) of at least level 1, 2, 3."""
    relevant = np.array([int(row.labels[0]) >= 2 for row in rows])
    predicted = probabilities[:, 1] >= 0.5

    def metrics(places: Indices) -> dict[str, float]:
        return {
            "auc_relevant": auc(probabilities[places, 1], relevant[places]),
            "accuracy_relevant": float((predicted == relevant)[places].mean()) if len(places) else 0.0,
        }

    return by_language(rows, metrics)
