"""Training examples from labelled sets.

    DATA/{sentiment,topic,negative_entity,ner}/SET.SPLIT.jsonl.gz ─▶ read_rows ─▶ examples ─▶ [Example]

A set supervises only what it labels; see `models.training.label_mapping` for topics and `sentiment_targets` for sentiment.
"""

from __future__ import annotations

import gzip
import json
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import ModelError
from core.taxonomy import RISK_KEYS, TOPIC_KEYS
from models.heads import SENTIMENTS, LabelSet, sentiment_head
from models.inference.encoding import compose
from models.inference.entities import Span, spans_of_bio
from models.templates import Template, fill_templates
from models.training.label_mapping import NEGATIVE_EVENTS, risk_targets, topic_targets

Row = dict[str, Any]
Flags = tuple[bool, bool, bool]

NOTHING: Flags = (False, False, False)
EVERY: Flags = (True, True, True)
NO_TOPICS = (0.0,) * len(TOPIC_KEYS)
NO_RISKS = (0.0,) * len(RISK_KEYS)
MIN_LABEL_ROWS = 40  # an original label with fewer training rows gets no output


@dataclass(frozen=True, slots=True)
class Example:
    """One training text and its labels.

    target: company that the sentiment is towards, or ""
    right, possible: sentiment classes that are right, and those that the set can have; all False if unknown
    head: the sentiment head for it
    topics, topic_weights: over TOPIC_KEYS; risks, risk_weights: over RISK_KEYS; weight 0 where the set has no label
    labels: the original labels of the set
    spans: its entities by character offsets; None if unknown
    """

    source: str
    language: str
    text: str
    target: str = ""
    right: Flags = NOTHING
    possible: Flags = NOTHING
    topics: tuple[float, ...] = NO_TOPICS
    topic_weights: tuple[float, ...] = NO_TOPICS
    head: str = "sentiment"
    risks: tuple[float, ...] = NO_RISKS
    risk_weights: tuple[float, ...] = NO_RISKS
    labels: tuple[str, ...] = ()
    spans: tuple[Span, ...] | None = None


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """How much of a set one epoch uses: `cap` rows, drawn anew each epoch, at most twice the set's size; None uses each row once."""

    source: str
    folder: str
    cap: int | None = None


SAMPLING_PLANS = (
    SamplingPlan("fpb", "sentiment", 7000),
    SamplingPlan("twitter_fin", "sentiment", 14_000),
    SamplingPlan("sentfin", "sentiment", 16_000),
    SamplingPlan("semeval2017", "sentiment"),
    SamplingPlan("cfsc", "sentiment", 12_000),
    SamplingPlan("wwwxmu", "sentiment"),
    SamplingPlan("finfe", "sentiment", 15_000),
    SamplingPlan("gold_commodity", "sentiment", 4000),
    SamplingPlan("finnsp", "negative_entity", 1000),
    SamplingPlan("twitter_topic", "topic"),
    SamplingPlan("finnl", "topic"),
    SamplingPlan("finese", "topic", 8000),
    SamplingPlan("reuters21578", "topic", 2500),
    SamplingPlan("cls_subjects", "topic", 6000),
    SamplingPlan("thucnews", "topic"),
    SamplingPlan("ag_news", "topic", 1500),
    SamplingPlan("finer_ord", "ner", 5000),
    SamplingPlan("cluener", "ner"),
    SamplingPlan("resume_ner", "ner", 1500),
    SamplingPlan("msra", "ner", 2000),
    SamplingPlan("boson", "ner", 1500),
    SamplingPlan("sec_filings", "ner", 500),
    SamplingPlan("peoples_daily", "ner", 0),  # dev and test only
)


def read_rows(path: Path) -> Iterator[Row]:
    """Read the rows of a .jsonl or .jsonl.gz file. Raises ModelError with the line number of an invalid row."""
    with gzip.open(path, "rt", encoding="utf8") if path.suffix == ".gz" else path.open(encoding="utf8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                message = f"{path}, line {number}: not JSON ({error})"
                raise ModelError(message) from error
            if not isinstance(row, dict) or not isinstance(row.get("text"), str):
                message = f"{path}, line {number}: expected an object with a text"
                raise ModelError(message)
            yield row


def sentiment_targets(row: Row) -> tuple[Flags, Flags]:
    """(right, possible) for the label of a row; all False without one.

    wwwxmu has no neutral class, so only the two others are possible. "not_negative" of finnsp makes two classes right. Risk events of
    finese are negative news by definition.
    """
    label = row.get("label")
    if label == "not_negative":
        return (False, True, True), EVERY
    if label in SENTIMENTS:
        right = (label == "negative", label == "neutral", label == "positive")
        return right, (True, False, True) if row.get("source") == "wwwxmu" else EVERY
    if row.get("source") == "finese" and set(row.get("labels", ())) & NEGATIVE_EVENTS:
        return (True, False, False), EVERY
    return NOTHING, NOTHING


def examples(rows: Iterable[Row]) -> list[Example]:
    """The examples of one set's rows, in order, without rows that have no labels.

    A row about a company or an aspect becomes a pair of text and target. If all rows of a text agree, the text alone is added.
    """
    found: list[Example] = []
    by_text: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        target = str(row.get("entity") or row.get("aspect") or "")
        if target:
            by_text[row["text"]].append(row)
        example = _example(row, target)
        if example is not None:
            found.append(example)
    for group in by_text.values():
        if len({row["label"] for row in group}) == 1:
            example = _example(group[0], "")
            if example is not None:
                found.append(example)
    return found


def _example(row: Row, target: str) -> Example | None:
    right, possible = sentiment_targets(row)
    source, language = str(row.get("source", "")), str(row.get("lang", "en"))
    if "tags" in row:
        text, spans = spans_of_bio([str(token) for token in row["tokens"]], [str(tag) for tag in row["tags"]], language)
        return Example(source, language, text, spans=tuple(spans))
    labels = tuple(str(label) for label in row.get("labels", ())) if not target else ()
    mapped = topic_targets(source, labels, row["text"])
    topics, topic_weights = mapped if mapped is not None and not target else (NO_TOPICS, NO_TOPICS)
    mapped_risks = risk_targets(source, labels, row["text"])
    risks, risk_weights = mapped_risks if mapped_risks is not None and not target else (NO_RISKS, NO_RISKS)
    if row.get("task") in ("topic", "risk"):  # analysts' labels and rehearsal rows use our taxonomy and cover all of it
        ours, labels = frozenset(labels), ()
        if row["task"] == "topic":
            topics, topic_weights = tuple(float(key in ours) for key in TOPIC_KEYS), (1.0,) * len(TOPIC_KEYS)
        else:
            risks, risk_weights = tuple(float(key in ours) for key in RISK_KEYS), (1.0,) * len(RISK_KEYS)
    if not any(possible) and not any(topic_weights) and not any(risk_weights) and not labels:
        return None
    head = sentiment_head(target, str(row.get("genre", "news")))
    return Example(source, language, row["text"], target, right, possible, topics, topic_weights, head, risks, risk_weights, labels)


def own_labels(sets: Mapping[str, Sequence[Example]]) -> dict[str, LabelSet]:
    """Set -> its original labels with at least MIN_LABEL_ROWS rows, most frequent first."""
    found = {}
    for source, examples_ in sets.items():
        own = LabelSet.of([example.labels for example in examples_ if example.labels], MIN_LABEL_ROWS)
        if len(own.names) > 1:
            found[source] = own
    return found


def template_examples(templates: Sequence[Template], per_template: int, rng: random.Random) -> list[Example]:
    """Examples from filled templates, each as a document and as a pair with its company."""
    found = []
    for filled in fill_templates(tuple(templates), per_template, rng):
        right = (filled.sentiment == "negative", filled.sentiment == "neutral", filled.sentiment == "positive")
        topics = tuple(float(key in filled.topics) for key in TOPIC_KEYS)
        weights = tuple(
            1.0 if key in filled.topics or key not in ("technology", "business", "markets", "macro") else 0.3 for key in TOPIC_KEYS
        )
        found.append(Example("seeds", filled.language, filled.text, "", right, EVERY, topics, weights))
        if filled.company in filled.text:
            found.append(Example("seeds", filled.language, filled.text, filled.company, right, EVERY, head="company"))
    return found


def read_split(data: Path, split: str, *, plans: Sequence[SamplingPlan] = SAMPLING_PLANS) -> dict[str, list[Example]]:
    """Set -> examples of a split, for every planned set that has it. Raises ModelError if `data` has none of them."""
    sets = {}
    for plan in plans:
        path = data / plan.folder / f"{plan.source}.{split}.jsonl.gz"
        if path.is_file():
            sets[plan.source] = examples(read_rows(path))
    if not sets:
        message = f"{data}: has none of the labelled sets ({split} split); see models/training/data.py for their names"
        raise ModelError(message)
    return sets


def draw_epoch(
    sets: Mapping[str, Sequence[Example]], rng: random.Random, *, plans: Sequence[SamplingPlan] = SAMPLING_PLANS
) -> list[Example]:
    """The examples of one epoch: each set once, or `cap` rows of it drawn at random."""
    caps = {plan.source: plan.cap for plan in plans}
    drawn: list[Example] = []
    for source, found in sets.items():
        cap = caps.get(source)
        wanted = len(found) if cap is None else min(cap, 2 * len(found))
        if wanted < len(found):
            drawn += rng.sample(found, wanted)
        else:
            drawn += [*found, *rng.sample(found, wanted - len(found))]
    return drawn


def stream_examples(data: Path) -> list[Example]:
    """Texts of the unlabelled streams, for distillation from teachers."""
    found = []
    for path in sorted((data / "stream").glob("*.jsonl.gz")):
        for row in read_rows(path):
            text = compose(str(row.get("title") or ""), row["text"])
            if text:
                found.append(Example("stream", str(row.get("lang", "en")), text))
    return found


def vocabulary_texts(data: Path, *, per_file: int = 20_000) -> Iterator[str]:
    """Texts that determine which pieces of the vocabulary are kept: training texts and unlabelled streams, not dev or test."""
    paths = [path for plan in SAMPLING_PLANS if (path := data / plan.folder / f"{plan.source}.train.jsonl.gz").is_file()]
    paths += sorted((data / "stream").glob("*.jsonl.gz"))
    for path in paths:
        for number, row in enumerate(read_rows(path)):
            if number == per_file:
                break
            yield f"{row.get('title') or ''} {row['text']}"
