"""Evaluation of a classifier on a labelled file.

FILE ─▶ rows (models.evaluation.labelled_files) ─▶ classifier ─▶ RowCounts (models.evaluation.metrics) ─▶ Evaluation

TASK        WHAT IS SCORED
sentiment   the outputs of the rows' published set (`set_sentiments`), if the model has them; else the head `company` for rows with a
            company or an aspect, and the head of the row's genre for others; only classes that occur in the file can be predicted
company     the same, for rows with a company or an aspect only
topic       the taxonomy, if the labels are its keys; else the original labels of a training set that the model has outputs for, with
            the taxonomy beside them; else the labels mapped into the taxonomy by the rows' `source`
risk        the risk events of the taxonomy
materiality levels 0 to 3
entities    spans of PER, ORG, LOC under strict matching, at token boundaries of the file
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from core.errors import ModelError, SettingsError
from core.taxonomy import RISK_KEYS, TOPIC_KEYS
from models.evaluation.labelled_files import NEWS, Labelled, Rows, Tagged, read_labelled, read_tagged
from models.evaluation.metrics import (
    RESAMPLES,
    MetricsReport,
    RowCounts,
    metrics_report,
    multi_label_counts,
    single_label_counts,
    span_counts,
)
from models.evaluation.wire import materiality_details, multi_label_details, read_wire, sentiment_details
from models.heads import ENTITY_TYPES, LABELS, SENTIMENTS, SET_SENTIMENTS, LabelSet, label_columns, sentiment_head, sentiment_set
from models.inference.classifier import Classifier, Document, sigmoid, softmax
from models.inference.entities import tag_spans
from models.inference.transformer import TransformerClassifier
from models.training.label_mapping import FINESE_RISKS, MAPPINGS, known_topics, topics_of

Floats = npt.NDArray[np.float64]

TASKS = ("sentiment", "company", "topic", "risk", "materiality", "entities")
LEVELS = ("0", "1", "2", "3")
NO_RISK = "其他"
MAX_BAD_SHOWN = 10
MIN_OWN_SHARE = 0.8  # share of a file's labels that the outputs of its training set must cover; rare labels have no output
MIN_OWN_SHARE_UNNAMED = 0.95  # the same where the set is recognised by its labels alone
TAXONOMY = "taxonomy"


class Evaluation(MetricsReport, frozen=True, kw_only=True):
    """Result of `tocsin evaluate` for one file.

    label_space: "sentiment", "taxonomy", "mapped:SET", "own:SET", "risks", "entities" or "trained:FILE"
    bad_rows: number of invalid rows; bad: messages for the first of them
    mapped: metrics in the taxonomy, beside those of the original labels
    training: description of the fine-tuning run of `--train`
    details: "all" or a language -> further metrics (models/evaluation/wire.py)
    """

    task: str
    model: str
    data: str
    label_space: str
    seconds: float
    bad_rows: int = 0
    bad: tuple[str, ...] = ()
    mapped: MetricsReport | None = None
    training: dict[str, float | int | str] | None = None
    details: dict[str, dict[str, float]] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """Predicted rows, counted against their labels.

    languages: of each row, "" where the file does not state it
    sentiments: probabilities (N, 3), and heads: the head of each row; for sentiment only
    """

    row_counts: RowCounts
    languages: list[str]
    label_space: str
    mapped: ScoredRows | None = None
    sentiments: Floats | None = None
    heads: tuple[str, ...] = ()
    details: dict[str, dict[str, float]] = field(default_factory=dict)


def evaluate_file(
    classifier: Classifier, path: Path, task: str, *, genre: str = NEWS, resamples: int = RESAMPLES, seed: int = 13
) -> Evaluation:
    """Evaluate a classifier on a file.

    Args:
        classifier: the classifier.
        path: labelled file.
        task: one of TASKS.
        genre: genre of rows that name none.
        resamples: bootstrap resamples.
        seed: random seed of the bootstrap.

    Raises:
        SettingsError: the file has no usable row, or its labels cannot be mapped to the model's.
        ModelError: the model lacks the head for this task.
    """
    rows = read_rows_of(path, task, genre=genre)
    started = monotonic()
    scored = score_rows(classifier, rows.rows, task, where=str(path))
    return evaluation_of(scored, rows.bad, task, classifier.version, path, monotonic() - started, resamples=resamples, seed=seed)


def evaluation_of(
    scored: ScoredRows, bad: Sequence[str], task: str, model: str, path: Path, seconds: float, *, resamples: int = RESAMPLES, seed: int = 13
) -> Evaluation:
    """The metrics of scored rows. bad: messages for invalid rows; seconds: duration of the prediction."""
    report = metrics_report(scored.row_counts, scored.languages, resamples=resamples, seed=seed)
    mapped = (
        None if scored.mapped is None else metrics_report(scored.mapped.row_counts, scored.mapped.languages, resamples=resamples, seed=seed)
    )
    return Evaluation(
        **msgspec.structs.asdict(report),
        task=task,
        model=model,
        data=path.name,
        label_space=scored.label_space,
        seconds=round(seconds, 3),
        bad_rows=len(bad),
        bad=tuple(bad[:MAX_BAD_SHOWN]),
        mapped=mapped,
        details=scored.details,
    )


def read_rows_of(path: Path, task: str, *, genre: str = NEWS) -> Rows[Any]:
    """Read the rows of a file for a task: Tagged for entities, else Labelled. Raises SettingsError."""
    if task == "entities":
        return read_tagged(path)
    if task not in TASKS:
        message = f"unknown task {task!r}: use one of {', '.join(TASKS)}"
        raise SettingsError(message)
    annotated = read_wire(path, task)
    if annotated is not None:
        return annotated
    found = read_labelled(path, genre=genre, may_be_empty=task == "risk")
    if task not in ("sentiment", "company", "materiality"):
        return found
    if task == "company":
        found = Rows([row for row in found.rows if row.target], found.bad)
    wanted = LEVELS if task == "materiality" else SENTIMENTS
    usable, bad = [], list(found.bad)
    for row in found.rows:
        if len(row.labels) == 1 and row.labels[0].lower() in wanted:
            usable.append(row)
        else:
            bad.append(f"line {row.line}: {'/'.join(row.labels)!r} is not a {'level' if task == 'materiality' else 'sentiment'}")
    if not usable:
        why = f"; {bad[0]}" if bad else ""
        message = f"{path}: no row{' with a company' if task == 'company' else ''} has a label of {', '.join(wanted)}{why}"
        raise SettingsError(message)
    return Rows(usable, bad)


def score_rows(classifier: Classifier, rows: Sequence[Any], task: str, *, where: str = "the file") -> ScoredRows:
    """Predict rows and count the results against their labels. where: name of the file, for messages. Raises SettingsError, ModelError."""
    languages = [row.language if row.named else "" for row in rows]
    if task in ("sentiment", "company"):
        return _score_sentiment(classifier, rows, languages)
    if task == "topic":
        return _score_topics(classifier, rows, languages, where)
    if task == "risk":
        return _score_risks(classifier, rows, languages, where)
    if task == "materiality":
        return _score_materiality(classifier, rows, languages)
    return ScoredRows(entity_counts(classifier, rows), languages, "entities")


def document_of(row: Labelled) -> Document:
    """The row as a document for a classifier."""
    return Document(row.title, row.text, row.language, (row.target,) if row.target else (), row.genre)


def _score_sentiment(classifier: Classifier, rows: Sequence[Labelled], languages: list[str]) -> ScoredRows:
    documents = [document_of(row) for row in rows]
    labels = [row.labels[0].lower() for row in rows]
    sources = {row.source for row in rows}
    source = sources.pop() if len(sources) == 1 else ""
    own = classifier.set_sentiments(documents, source) if isinstance(classifier, TransformerClassifier) else None
    if own is not None:
        probabilities = np.array(own, dtype=np.float64)
        heads = tuple(f"{SET_SENTIMENTS}.{sentiment_set(source, row.target)}" for row in rows)
        return ScoredRows(sentiment_counts(labels, probabilities), languages, f"own:{source}", sentiments=probabilities, heads=heads)
    predicted = classifier.classify(documents)
    probabilities = np.array([p.companies[0] if p.companies else p.sentiment for p in predicted], dtype=np.float64)
    present = _heads(classifier)
    heads = tuple(sentiment_head(row.target, row.genre, present) for row in rows)
    details = sentiment_details(rows, probabilities)
    return ScoredRows(
        sentiment_counts(labels, probabilities), languages, "sentiment", sentiments=probabilities, heads=heads, details=details
    )


def _score_materiality(classifier: Classifier, rows: Sequence[Labelled], languages: list[str]) -> ScoredRows:
    predicted = [found.materiality for found in classifier.classify([document_of(row) for row in rows])]
    if any(each is None for each in predicted):
        message = f"the model {classifier.version} has no head for materiality; choose or train a version that has it"
        raise ModelError(message)
    at_least = np.array(predicted, dtype=np.float64)  # (N, 3): levels 1, 2, 3
    bounded = np.concatenate([np.ones((len(at_least), 1)), at_least, np.zeros((len(at_least), 1))], axis=1)
    row_counts = single_label_counts([row.labels[0] for row in rows], bounded[:, :-1] - bounded[:, 1:], LEVELS)
    return ScoredRows(row_counts, languages, "materiality", details=materiality_details(rows, at_least))


def sentiment_counts(labels: Sequence[str], probabilities: Floats) -> RowCounts:
    """Counts for sentiment labels (N,) and probabilities (N, 3). Only classes that occur in `labels` can be predicted."""
    classes = [i for i, name in enumerate(SENTIMENTS) if name in set(labels)]
    limited = probabilities[:, classes]
    return single_label_counts(labels, limited / np.maximum(limited.sum(1, keepdims=True), 1e-12), [SENTIMENTS[i] for i in classes])


class _TopicOutputs(NamedTuple):
    """Topics of N rows: those that apply, all probabilities (N, 21), and logits of the original labels (N, all) or None."""

    predicted: list[dict[str, float]]
    probabilities: Floats
    own: Floats | None


def _score_topics(classifier: Classifier, rows: Sequence[Labelled], languages: list[str], where: str) -> ScoredRows:
    counts = Counter(label for row in rows for label in row.labels)
    taxonomy = set(counts) <= set(TOPIC_KEYS)
    sources = {row.source for row in rows}
    source = sources.pop() if len(sources) == 1 else ""
    sets = _label_sets(classifier)
    own = "" if taxonomy else own_set(counts, source, sets)
    decided = [] if taxonomy else _mappable(rows, source)
    if not taxonomy and not own and not decided:
        unknown_labels = ", ".join(label for label, _ in counts.most_common() if label not in TOPIC_KEYS)[:80]
        message = (
            f"{where}: {classifier.version} has no outputs for its labels ({unknown_labels}), and there is no mapping to the taxonomy for "
            f"the source {source!r}; give a training file with --train FILE, or use the keys of core/taxonomy.py as labels"
        )
        raise SettingsError(message)
    read = _predict_topics(classifier, rows)
    if taxonomy:
        details = (
            {}
            if all(row.single for row in rows)
            else multi_label_details(rows, read.predicted, [TOPIC_KEYS[i] for i in read.probabilities.argmax(1)])
        )
        return ScoredRows(_taxonomy_counts(rows, read), languages, TAXONOMY, details=details)
    mapped = None
    if decided:
        truth = [_mapped(rows[i], source) for i in decided]
        row_counts = multi_label_counts(truth, [read.predicted[i] for i in decided], known_topics(source))
        mapped = ScoredRows(row_counts, [languages[i] for i in decided], f"mapped:{source}")
    if own and read.own is not None and isinstance(classifier, TransformerClassifier):
        labels = sets[own]
        logits = read.own[:, label_columns(sets)[own]] / classifier.temperature(LABELS, own)
        row_counts = own_label_counts([frozenset(row.labels) for row in rows], logits, labels.names, exclusive=labels.exclusive)
        return ScoredRows(row_counts, languages, f"own:{own}", mapped)
    if mapped is None:  # unreachable: one of the three was found above
        raise AssertionError(own)
    return mapped


def _mapped(row: Labelled, source: str) -> frozenset[str]:
    return topics_of(source, row.labels)


def _mappable(rows: Sequence[Labelled], source: str) -> list[int]:
    """Indices of the rows whose labels map to topics of the taxonomy."""
    return [i for i, row in enumerate(rows) if _mapped(row, source)] if source in MAPPINGS else []


def _predict_topics(classifier: Classifier, rows: Sequence[Labelled]) -> _TopicOutputs:
    """One forward pass for topics and original labels; other classifiers have probability 0 for topics that do not apply."""
    if not isinstance(classifier, TransformerClassifier):
        predicted = [dict(found.topics) for found in classifier.classify([document_of(row) for row in rows])]
        return _TopicOutputs(predicted, np.array([[row.get(key, 0.0) for key in TOPIC_KEYS] for row in predicted]), None)
    logits = classifier.logits([(classifier.text_of(row.title, row.text), "") for row in rows])
    divisors = np.array([classifier.temperature("topics", row.language) for row in rows])
    probabilities = sigmoid(logits["topics"].astype(np.float64) / divisors[:, None])
    own = logits[LABELS].astype(np.float64) if LABELS in logits else None
    predicted = []
    for row, values in zip(rows, probabilities, strict=True):
        over = np.flatnonzero(values >= np.array(classifier.thresholds("topics", row.language))).tolist()
        predicted.append({TOPIC_KEYS[i]: float(values[i]) for i in over or [classifier.fallback(values, row.language)]})
    return _TopicOutputs(predicted, probabilities, own)


def own_set(counts: Mapping[str, int], source: str, sets: Mapping[str, LabelSet]) -> str:
    """The training set that uses these labels, or "".

    Args:
        counts: label -> number of rows. Rare labels have no output, so not all need to be known.
        source: the set named by the rows, or "".
        sets: label sets of the model.
    """
    total = max(1, sum(counts.values()))
    shares = {name: sum(counts.get(label, 0) for label in each.names) / total for name, each in sets.items()}
    if shares.get(source, 0.0) >= MIN_OWN_SHARE:
        return source
    best = max(shares, key=lambda name: shares[name], default="")
    return best if best and shares[best] >= MIN_OWN_SHARE_UNNAMED else ""


def own_label_counts(
    truth: Sequence[frozenset[str]], logits: npt.NDArray[np.floating], names: Sequence[str], *, exclusive: bool
) -> RowCounts:
    """Counts for logits (N, C) over `names`. If a row has several labels, the set is scored as multi-label, however it was trained."""
    if exclusive and all(len(labels) == 1 for labels in truth):
        return single_label_counts([next(iter(labels)) for labels in truth], softmax(logits), names)
    probabilities = sigmoid(logits)
    predicted = [select_labels(row, names) for row in probabilities]
    unknown = sorted({label for labels in truth for label in labels} - set(names))
    return multi_label_counts(truth, predicted, [*names, *unknown])


def select_labels(probabilities: Floats, names: Sequence[str], cut: float | Floats = 0.5) -> dict[str, float]:
    """The labels with probabilities (C,) at or over `cut`, or the most probable one: every row of such a file has a label."""
    over = np.flatnonzero(probabilities >= cut).tolist()
    return {names[i]: float(probabilities[i]) for i in over or [int(probabilities.argmax())]}


def _taxonomy_counts(rows: Sequence[Labelled], read: _TopicOutputs) -> RowCounts:
    """Counts in the taxonomy: single-label among the topics that occur if every row has the field `label`, else multi-label."""
    if not all(row.single for row in rows):
        return multi_label_counts([frozenset(row.labels) for row in rows], read.predicted, TOPIC_KEYS)
    occurring = [key for key in TOPIC_KEYS if any(key in row.labels for row in rows)]
    probabilities = read.probabilities[:, [TOPIC_KEYS.index(key) for key in occurring]]
    return single_label_counts([row.labels[0] for row in rows], probabilities, occurring)


def _score_risks(classifier: Classifier, rows: Sequence[Labelled], languages: list[str], where: str) -> ScoredRows:
    known = {**{key: key for key in RISK_KEYS}, **FINESE_RISKS, NO_RISK: ""}
    unknown_labels = sorted({label for row in rows for label in row.labels} - set(known))
    if unknown_labels:
        names = ", ".join(unknown_labels)[:80]
        message = f"{where}: {names!r} are not risk events of core/taxonomy.py; give a training file with --train"
        raise SettingsError(message)
    if "risks" not in _heads(classifier):
        message = f"the model {classifier.version} has no head for risk events; choose or train a version that has it"
        raise ModelError(message)
    predicted = [dict(found.risks) for found in classifier.classify([document_of(row) for row in rows])]
    row_counts = multi_label_counts([frozenset(known[label] for label in row.labels) - {""} for row in rows], predicted, RISK_KEYS)
    in_taxonomy = all(label in RISK_KEYS for row in rows for label in row.labels)
    return ScoredRows(row_counts, languages, "risks", details=multi_label_details(rows, predicted) if in_taxonomy else {})


def entity_counts(classifier: Classifier, rows: Sequence[Tagged]) -> RowCounts:
    """Counts for the spans that the classifier finds. Raises ModelError when it has no head for entities."""
    found = tag_spans(_transformer(classifier), [row.text for row in rows])
    truth = [[(span.start, span.end, span.kind) for span in row.spans] for row in rows]
    predicted = []
    for row, spans in zip(rows, found, strict=True):
        placed = {(*to_tokens(span.start, span.end, row.tokens), span.kind): span.probability for span in spans}
        predicted.append(list(placed.items()))
    return span_counts(truth, predicted, ENTITY_TYPES)


def to_tokens(start: int, end: int, tokens: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Extend a span to whole tokens of the file, whose tokenisation is part of the task."""
    touched = [(first, last) for first, last in tokens if first < end and start < last]
    return (touched[0][0], touched[-1][1]) if touched else (start, end)


def _transformer(classifier: Classifier) -> TransformerClassifier:
    if not isinstance(classifier, TransformerClassifier):
        message = f"the model {classifier.version} is not a Tocsin model: it has no heads for entities or original labels"
        raise ModelError(message)
    return classifier


def _heads(classifier: Classifier) -> tuple[str, ...]:
    return tuple(classifier.network.shape.outputs) if isinstance(classifier, TransformerClassifier) else ("sentiment",)


def _label_sets(classifier: Classifier) -> Mapping[str, LabelSet]:
    if not isinstance(classifier, TransformerClassifier) or LABELS not in classifier.network.shape.outputs:
        return {}
    return classifier.manifest.labels
