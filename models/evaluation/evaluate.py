"""How good is a classifier on a labelled file?

FILE ─▶ rows (models.evaluation.labelled_files) ─▶ classifier ─▶ Tally (models.evaluation.metrics) ─▶ Evaluation

sentiment   rows with a company or an aspect by the head of companies, others by that of their genre; only classes that
            the file has can be said
topic       in the taxonomy, where the labels are its keys; else in the own labels of a training set that the model has a
            head for, the taxonomy beside it; else mapped into the taxonomy by the rows' `source`
risk        in the risk events of the taxonomy
entities    spans of PER, ORG, LOC: the type and both boundaries, at the boundaries of the file's tokens
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from core.errors import ModelError, SettingsError
from core.taxonomy import RISK_KEYS, TOPIC_KEYS
from models.evaluation.labelled_files import NEWS, Labelled, Rows, Tagged, read_labelled, read_tagged
from models.evaluation.metrics import RESAMPLES, Report, Tally, multi_tally, report_of, single_tally, span_tally
from models.heads import ENTITY_TYPES, LABELS, SENTIMENTS, LabelSet, label_columns, sentiment_head
from models.inference.classifier import Classifier, Document
from models.inference.entities import tag_spans
from models.inference.probabilities import sigmoid, softmax
from models.inference.transformer import TransformerClassifier
from models.training.label_mapping import FINESE_RISKS, MAPPINGS, known_topics, topics_of

Floats = npt.NDArray[np.float64]

TASKS = ("sentiment", "topic", "risk", "entities")
NO_RISK = "其他"
BAD_SHOWN = 10
OWN_SHARE = 0.8  # of the labels of a file that its own training set's head must know; rare ones have no output
OWN_SHARE_UNNAMED = 0.95  # where only the labels themselves tell which set it is
TAXONOMY = "taxonomy"


class Evaluation(Report, frozen=True, kw_only=True):
    """What `tocsin evaluate` says of one file.

    label_space: "sentiment", "taxonomy", "mapped:SET", "own:SET", "risks", "entities" or "trained:FILE"
    bad_rows: how many could not be used; bad: the first of them, by line
    mapped: the taxonomy's figures beside those of own labels
    training: of the head that `--train` made
    """

    task: str
    model: str
    data: str
    label_space: str
    seconds: float
    bad_rows: int = 0
    bad: tuple[str, ...] = ()
    mapped: Report | None = None
    training: dict[str, float | int | str] | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """Rows that were answered.

    languages: of each row, "" where the file does not say
    sentiments: (N, 3) probabilities and heads: the head that gave each, for sentiment only
    """

    tally: Tally
    languages: list[str]
    label_space: str
    mapped: Judged | None = None
    sentiments: Floats | None = None
    heads: tuple[str, ...] = ()


def evaluate_file(
    classifier: Classifier, path: Path, task: str, *, genre: str = NEWS, resamples: int = RESAMPLES, seed: int = 13
) -> Evaluation:
    """The figures of a classifier on a file. genre: of rows that name none.

    Raises SettingsError for a file without a usable row and for labels that nothing here can say, ModelError for a missing head.
    """
    rows = read_rows_of(path, task, genre=genre)
    started = monotonic()
    judged = judge(classifier, rows.rows, task, where=str(path))
    return evaluation_of(judged, rows.bad, task, classifier.version, path, monotonic() - started, resamples=resamples, seed=seed)


def evaluation_of(
    judged: Judged, bad: Sequence[str], task: str, model: str, path: Path, seconds: float, *, resamples: int = RESAMPLES, seed: int = 13
) -> Evaluation:
    """The figures of judged rows."""
    report = report_of(judged.tally, judged.languages, resamples=resamples, seed=seed)
    mapped = None if judged.mapped is None else report_of(judged.mapped.tally, judged.mapped.languages, resamples=resamples, seed=seed)
    return Evaluation(
        **msgspec.structs.asdict(report),
        task=task,
        model=model,
        data=path.name,
        label_space=judged.label_space,
        seconds=round(seconds, 3),
        bad_rows=len(bad),
        bad=tuple(bad[:BAD_SHOWN]),
        mapped=mapped,
    )


def read_rows_of(path: Path, task: str, *, genre: str = NEWS) -> Rows[Any]:
    """The rows of a file that `task` can use: Tagged for entities, else Labelled. Raises SettingsError."""
    if task == "entities":
        return read_tagged(path)
    if task not in TASKS:
        message = f"unknown task {task!r}: one of {', '.join(TASKS)} is wanted"
        raise SettingsError(message)
    found = read_labelled(path, genre=genre, may_be_empty=task == "risk")
    if task != "sentiment":
        return found
    usable, bad = [], list(found.bad)
    for row in found.rows:
        if len(row.labels) == 1 and row.labels[0].lower() in SENTIMENTS:
            usable.append(row)
        else:
            bad.append(f"line {row.line}: {'/'.join(row.labels)!r} is no sentiment")
    if not usable:
        message = f"{path}: no row has a label of {', '.join(SENTIMENTS)}; {bad[0]}"
        raise SettingsError(message)
    return Rows(usable, bad)


def judge(classifier: Classifier, rows: Sequence[Any], task: str, *, where: str = "the file") -> Judged:
    """What the classifier says of rows, against their labels. Raises SettingsError, ModelError."""
    languages = [row.language if row.named else "" for row in rows]
    if task == "sentiment":
        return _judge_sentiment(classifier, rows, languages)
    if task == "topic":
        return _judge_topics(classifier, rows, languages, where)
    if task == "risk":
        return Judged(_risk_tally(classifier, rows, where), languages, "risks")
    return Judged(entity_tally(classifier, rows), languages, "entities")


def document_of(row: Labelled) -> Document:
    """The row as a classifier reads it."""
    return Document("", row.text, row.language, (row.target,) if row.target else (), row.genre)


def _judge_sentiment(classifier: Classifier, rows: Sequence[Labelled], languages: list[str]) -> Judged:
    said = classifier.classify([document_of(row) for row in rows])
    chances = np.array([p.companies[0] if p.companies else p.sentiment for p in said], dtype=np.float64)
    labels = [row.labels[0].lower() for row in rows]
    present = _heads(classifier)
    heads = tuple(sentiment_head(row.target, row.genre, present) for row in rows)
    return Judged(sentiment_tally(labels, chances), languages, "sentiment", sentiments=chances, heads=heads)


def sentiment_tally(labels: Sequence[str], chances: Floats) -> Tally:
    """Tally of sentiments (N,) and probabilities (N, 3). Only classes that occur in `labels` can be said."""
    classes = [i for i, name in enumerate(SENTIMENTS) if name in set(labels)]
    limited = chances[:, classes]
    return single_tally(labels, limited / np.maximum(limited.sum(1, keepdims=True), 1e-12), [SENTIMENTS[i] for i in classes])


class _Read(NamedTuple):
    """What a model says of rows' topics: those that apply, all probabilities (N, 21), and its logits of own labels (N, all) or None."""

    said: list[dict[str, float]]
    chances: Floats
    own: Floats | None


def _judge_topics(classifier: Classifier, rows: Sequence[Labelled], languages: list[str], where: str) -> Judged:
    counts = Counter(label for row in rows for label in row.labels)
    taxonomy = set(counts) <= set(TOPIC_KEYS)
    sources = {row.source for row in rows}
    source = sources.pop() if len(sources) == 1 else ""
    sets = _label_sets(classifier)
    own = "" if taxonomy else own_set(counts, source, sets)
    decided = [] if taxonomy else _decided(rows, source)
    if not taxonomy and not own and not decided:
        odd = ", ".join(label for label, _ in counts.most_common() if label not in TOPIC_KEYS)[:80]
        message = (
            f"{where}: {classifier.version} has no head for its labels ({odd}), and no mapping into our topics is known for "
            f"source {source!r}; give its training part with --train FILE, or use the keys of core/taxonomy.py as labels"
        )
        raise SettingsError(message)
    read = _read_topics(classifier, rows)
    if taxonomy:
        return Judged(_taxonomy_tally(rows, read), languages, TAXONOMY)
    mapped = None
    if decided:
        truth = [_mapped(rows[i], source) for i in decided]
        tally = multi_tally(truth, [read.said[i] for i in decided], known_topics(source))
        mapped = Judged(tally, [languages[i] for i in decided], f"mapped:{source}")
    if own and read.own is not None and isinstance(classifier, TransformerClassifier):
        labels = sets[own]
        logits = read.own[:, label_columns(sets)[own]] / classifier.temperature(LABELS, own)
        tally = own_tally([frozenset(row.labels) for row in rows], logits, labels.names, exclusive=labels.exclusive)
        return Judged(tally, languages, f"own:{own}", mapped)
    if mapped is None:  # never: one of the three was found above
        raise AssertionError(own)
    return mapped


def _mapped(row: Labelled, source: str) -> frozenset[str]:
    return topics_of(source, row.labels)


def _decided(rows: Sequence[Labelled], source: str) -> list[int]:
    """Rows whose labels say something about our topics."""
    return [i for i, row in enumerate(rows) if _mapped(row, source)] if source in MAPPINGS else []


def _read_topics(classifier: Classifier, rows: Sequence[Labelled]) -> _Read:
    """One forward pass for topics and own labels alike; a classifier that is not ours says what applies, and 0 of the rest."""
    if not isinstance(classifier, TransformerClassifier):
        said = [dict(found.topics) for found in classifier.classify([document_of(row) for row in rows])]
        return _Read(said, np.array([[row.get(key, 0.0) for key in TOPIC_KEYS] for row in said]), None)
    logits = classifier.logits([(row.text, "") for row in rows])
    cuts = classifier.manifest.thresholds

    divisors = np.array([classifier.temperature("topics", row.language) for row in rows])
    chances = sigmoid(logits["topics"].astype(np.float64) / divisors[:, None])
    over = np.array([cuts.get(key, 0.5) for key in TOPIC_KEYS])
    own = logits[LABELS].astype(np.float64) if LABELS in logits else None
    return _Read([chosen(row, TOPIC_KEYS, over) for row in chances], chances, own)


def own_set(counts: Mapping[str, int], source: str, sets: Mapping[str, LabelSet]) -> str:
    """The training set whose own labels these are, "" when it is none.

    counts: label -> rows that have it. Rare labels have no output, so not all need be known.
    """
    total = max(1, sum(counts.values()))
    shares = {name: sum(counts.get(label, 0) for label in each.names) / total for name, each in sets.items()}
    if shares.get(source, 0.0) >= OWN_SHARE:
        return source
    best = max(shares, key=lambda name: shares[name], default="")
    return best if best and shares[best] >= OWN_SHARE_UNNAMED else ""


def own_tally(truth: Sequence[frozenset[str]], logits: npt.NDArray[np.floating], names: Sequence[str], *, exclusive: bool) -> Tally:
    """Tally of logits (N, C) over `names`; where a row has several labels, the set is not exclusive whatever it was in training."""
    if exclusive and all(len(labels) == 1 for labels in truth):
        return single_tally([next(iter(labels)) for labels in truth], softmax(logits), names)
    chances = sigmoid(logits)
    said = [chosen(row, names) for row in chances]
    unknown = sorted({label for labels in truth for label in labels} - set(names))
    return multi_tally(truth, said, [*names, *unknown])


def chosen(chances: Floats, names: Sequence[str], cut: float | Floats = 0.5) -> dict[str, float]:
    """The labels of (C,) probabilities at or over `cut`, the likeliest alone when none is: every row of such a file has one."""
    over = np.flatnonzero(chances >= cut).tolist()
    return {names[i]: float(chances[i]) for i in over or [int(chances.argmax())]}


def _taxonomy_tally(rows: Sequence[Labelled], read: _Read) -> Tally:
    """Where every row has one `label`, the likeliest topic of those that occur is said; else all that apply."""
    if not all(row.single for row in rows):
        return multi_tally([frozenset(row.labels) for row in rows], read.said, TOPIC_KEYS)
    occurring = [key for key in TOPIC_KEYS if any(key in row.labels for row in rows)]
    chances = read.chances[:, [TOPIC_KEYS.index(key) for key in occurring]]
    return single_tally([row.labels[0] for row in rows], chances, occurring)


def _risk_tally(classifier: Classifier, rows: Sequence[Labelled], where: str) -> Tally:
    known = {**{key: key for key in RISK_KEYS}, **FINESE_RISKS, NO_RISK: ""}
    odd = sorted({label for row in rows for label in row.labels} - set(known))
    if odd:
        message = f"{where}: {', '.join(odd)[:80]!r} are no risk events of ours (core/taxonomy.py); give its training part with --train"
        raise SettingsError(message)
    if "risks" not in _heads(classifier):
        message = f"the model {classifier.version} has no head for risk events; choose or train one that has it"
        raise ModelError(message)
    said = [dict(found.risks) for found in classifier.classify([document_of(row) for row in rows])]
    return multi_tally([frozenset(known[label] for label in row.labels) - {""} for row in rows], said, RISK_KEYS)


def entity_tally(classifier: Classifier, rows: Sequence[Tagged]) -> Tally:
    """Tally of the spans that the classifier finds. Raises ModelError when it has no head for them."""
    found = tag_spans(_transformer(classifier), [row.text for row in rows])
    truth = [[(span.start, span.end, span.kind) for span in row.spans] for row in rows]
    said = []
    for row, spans in zip(rows, found, strict=True):
        placed = {(*to_tokens(span.start, span.end, row.tokens), span.kind): span.probability for span in spans}
        said.append(list(placed.items()))
    return span_tally(truth, said, ENTITY_TYPES)


def to_tokens(start: int, end: int, tokens: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """A span widened to whole tokens: those that it touches. The file's tokens are part of the question."""
    touched = [(first, last) for first, last in tokens if first < end and start < last]
    return (touched[0][0], touched[-1][1]) if touched else (start, end)


def _transformer(classifier: Classifier) -> TransformerClassifier:
    if not isinstance(classifier, TransformerClassifier):
        message = f"the model {classifier.version} is no model of ours: it has no heads for entities or own labels"
        raise ModelError(message)
    return classifier


def _heads(classifier: Classifier) -> tuple[str, ...]:
    return tuple(classifier.network.shape.outputs) if isinstance(classifier, TransformerClassifier) else ("sentiment",)


def _label_sets(classifier: Classifier) -> Mapping[str, LabelSet]:
    if not isinstance(classifier, TransformerClassifier) or LABELS not in classifier.network.shape.outputs:
        return {}
    return classifier.manifest.labels
