"""How do labelled sets become training examples?

    DATA/{sentiment,topic,negative_entity,ner}/SET.SPLIT.jsonl.gz ─▶ read_rows ─▶ examples ─▶ [Example]

A set supervises what it labels and nothing else; see `models.training.label_mapping` for topics and `sentiment_targets` for sentiment.
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
from models.templates import Template, grow
from models.training.label_mapping import NEGATIVE_EVENTS, risk_targets, topic_targets

Row = dict[str, Any]
Flags = tuple[bool, bool, bool]

NOTHING: Flags = (False, False, False)
EVERY: Flags = (True, True, True)
NO_TOPICS = (0.0,) * len(TOPIC_KEYS)
NO_RISKS = (0.0,) * len(RISK_KEYS)
OWN_LABEL_ROWS = 40  # an own label with fewer training rows gets no output


@dataclass(frozen=True, slots=True)
class Example:
    """One text (with a company, when the sentiment is towards it) and all that is known of it.

    right, possible: sentiment classes that are right, among those that the set could have said; all False when unknown
    head: the sentiment head that reads it
    topics, topic_weights: over TOPIC_KEYS; risks, risk_weights: over RISK_KEYS; weight 0 where the set knows nothing
    labels: the set's own labels
    spans: (start, end, kind) of its entities in characters; None when they are unknown
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
class Plan:
    """How much of a set one epoch takes: `cap` rows, drawn anew each epoch, as many twice as it has fewer; None takes each once."""

    source: str
    folder: str
    cap: int | None = None


PLANS = (
    Plan("fpb", "sentiment", 7000),
    Plan("twitter_fin", "sentiment", 14_000),
    Plan("sentfin", "sentiment", 16_000),
    Plan("semeval2017", "sentiment"),
    Plan("cfsc", "sentiment", 12_000),
    Plan("wwwxmu", "sentiment"),
    Plan("finfe", "sentiment", 15_000),
    Plan("gold_commodity", "sentiment", 4000),
    Plan("finnsp", "negative_entity", 1000),
    Plan("twitter_topic", "topic"),
    Plan("finnl", "topic"),
    Plan("finese", "topic", 8000),
    Plan("reuters21578", "topic", 2500),
    Plan("cls_subjects", "topic", 6000),
    Plan("thucnews", "topic"),
    Plan("ag_news", "topic", 1500),
    Plan("finer_ord", "ner", 5000),
    Plan("cluener", "ner"),
    Plan("resume_ner", "ner", 1500),
    Plan("msra", "ner", 2000),
    Plan("boson", "ner", 1500),
    Plan("sec_filings", "ner", 500),
    Plan("peoples_daily", "ner", 0),  # dev and test only
)


def read_rows(path: Path) -> Iterator[Row]:
    """Rows of a .jsonl or .jsonl.gz file, in order. Raises ModelError naming the line that is not JSON."""
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
                message = f"{path}, line {number}: an object with a text is wanted"
                raise ModelError(message)
            yield row


def sentiment_targets(row: Row) -> tuple[Flags, Flags]:
    """(right, possible) of a row's label; nothing known when it has none.

    wwwxmu has no neutral class, so it says only which of the two others; finnsp's "not_negative" may be either of two;
    finese's risk events are bad news by their nature.
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
    """Examples of one set's rows, in order; rows without any supervision are left out.

    A row about a company or an aspect becomes a pair; and where all rows of a text agree, also the document by itself.
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
    said = topic_targets(source, labels, row["text"])
    topics, topic_weights = said if said is not None and not target else (NO_TOPICS, NO_TOPICS)
    risky = risk_targets(source, labels, row["text"])
    risks, risk_weights = risky if risky is not None and not target else (NO_RISKS, NO_RISKS)
    if row.get("task") in ("topic", "risk"):  # people and rehearsals speak our own taxonomy, and know all of it
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
    """Each set's own labels with at least OWN_LABEL_ROWS rows, the commonest first."""
    found = {}
    for source, examples_ in sets.items():
        own = LabelSet.of([example.labels for example in examples_ if example.labels], OWN_LABEL_ROWS)
        if len(own.names) > 1:
            found[source] = own
    return found


def seed_examples(templates: Sequence[Template], per_template: int, dice: random.Random) -> list[Example]:
    """Examples grown from our own templates: each as a document and as a pair with its company."""
    found = []
    for seed in grow(tuple(templates), per_template, dice):
        right = (seed.sentiment == "negative", seed.sentiment == "neutral", seed.sentiment == "positive")
        topics = tuple(float(key in seed.topics) for key in TOPIC_KEYS)
        weights = tuple(
            1.0 if key in seed.topics or key not in ("technology", "business", "markets", "macro") else 0.3 for key in TOPIC_KEYS
        )
        found.append(Example("seeds", seed.language, seed.text, "", right, EVERY, topics, weights))
        if seed.company in seed.text:
            found.append(Example("seeds", seed.language, seed.text, seed.company, right, EVERY, head="company"))
    return found


def read_split(data: Path, split: str, *, plans: Sequence[Plan] = PLANS) -> dict[str, list[Example]]:
    """Examples by set of every planned set that has this split. Raises ModelError when `data` holds none of them."""
    sets = {}
    for plan in plans:
        path = data / plan.folder / f"{plan.source}.{split}.jsonl.gz"
        if path.is_file():
            sets[plan.source] = examples(read_rows(path))
    if not sets:
        message = f"{data}: none of the labelled sets is here ({split} split); see models/training/data.py for their names"
        raise ModelError(message)
    return sets


def draw_epoch(sets: Mapping[str, Sequence[Example]], dice: random.Random, *, plans: Sequence[Plan] = PLANS) -> list[Example]:
    """One epoch's examples: each set once, or `cap` of it drawn at random."""
    caps = {plan.source: plan.cap for plan in plans}
    drawn: list[Example] = []
    for source, found in sets.items():
        cap = caps.get(source)
        wanted = len(found) if cap is None else min(cap, 2 * len(found))
        if wanted < len(found):
            drawn += dice.sample(found, wanted)
        else:
            drawn += [*found, *dice.sample(found, wanted - len(found))]
    return drawn


def stream_examples(data: Path) -> list[Example]:
    """Texts of the unlabelled streams, about which nothing is known: for teachers to label."""
    found = []
    for path in sorted((data / "stream").glob("*.jsonl.gz")):
        for row in read_rows(path):
            text = compose(str(row.get("title") or ""), row["text"])
            if text:
                found.append(Example("stream", str(row.get("lang", "en")), text))
    return found


def vocabulary_texts(data: Path, *, per_file: int = 20_000) -> Iterator[str]:
    """Texts that decide which pieces of the vocabulary are kept: training texts and the unlabelled streams, never dev or test."""
    paths = [path for plan in PLANS if (path := data / plan.folder / f"{plan.source}.train.jsonl.gz").is_file()]
    paths += sorted((data / "stream").glob("*.jsonl.gz"))
    for path in paths:
        for number, row in enumerate(read_rows(path)):
            if number == per_file:
                break
            yield f"{row.get('title') or ''} {row['text']}"
