"""Training examples from labelled sets.

    DATA/{sentiment,topic,negative_entity,ner}/SET.SPLIT.jsonl.gz ─▶ read_rows ─▶ examples ─▶ [Example]

Items that are annotated by our labelling guide become examples in `models.training.wire`. A set supervises only
what it labels; see `models.training.label_mapping` for topics and `sentiment_targets` for sentiment. `DatasetMix` is the data of one
run: labelled sets, additional rows, and the proportion of both in an epoch.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from core.errors import ModelError
from core.taxonomy import RISK_KEYS, TOPIC_KEYS
from models.heads import GUIDED_HEADS, SENTIMENTS, LabelSet, sentiment_head, sentiment_set
from models.inference.canonical import canonical, model_text
from models.inference.entities import spans_of_bio
from models.templates import Template, fill_templates
from models.training.disguise import disguised
from models.training.examples import EVERY, NO_RISKS, NO_TOPICS, NOTHING, Example, Flags, Row, flags_of, read_rows
from models.training.label_files import SOURCE as LABEL_FILES
from models.training.label_files import label_rows
from models.training.label_mapping import risk_targets, topic_targets
from models.training.leaks import HeldOutTexts, without_held_out
from models.training.wire import is_wire, wire_examples

MIN_LABEL_ROWS = 40  # an original label with fewer training rows gets no output
MIN_SENTIMENT_ROWS = 200  # a published set with fewer training rows gets no sentiment outputs of its own
CONTRAST = "contrast"
MAPPED_WEIGHT = 0.3
"""Weight of a topic label that is mapped from a published set; an item annotated by our guide has more than 1."""
DISGUISED_SHARE = 0.25
"""Share of the guided texts that an epoch shows in a disguise."""
TITLE_SHARE = 0.2
"""Share of the guided texts that an epoch shows without their lead."""
PAIR_SHARES = {"zh": 0.4}
"""Share of the guided pairs of text and company in an epoch by language, else all: a pair costs as much as its document. Chinese
items name more companies than English ones."""


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """How much of a set one epoch uses: `cap` rows, drawn anew each epoch, at most twice the set's size; None uses each row once."""

    source: str
    folder: str
    cap: int | None = None


SAMPLING_PLANS = (
    SamplingPlan("wire", "wire"),
    SamplingPlan(LABEL_FILES, "labels"),
    SamplingPlan(CONTRAST, "contrast", 5000),
    SamplingPlan("fpb", "sentiment", 1300),
    SamplingPlan("twitter_fin", "sentiment", 1500),
    SamplingPlan("sentfin", "sentiment", 1500),
    SamplingPlan("semeval2017", "sentiment", 150),
    SamplingPlan("cfsc", "sentiment", 1800),
    SamplingPlan("wwwxmu", "sentiment", 400),
    SamplingPlan("finfe", "sentiment", 1800),
    SamplingPlan("gold_commodity", "sentiment", 400),
    SamplingPlan("finnsp", "negative_entity", 60),
    SamplingPlan("twitter_topic", "topic", 2400),
    SamplingPlan("finnl", "topic", 1400),
    SamplingPlan("finese", "topic", 900),
    SamplingPlan("reuters21578", "topic", 80),
    SamplingPlan("cls_subjects", "topic", 80),
    SamplingPlan("thucnews", "topic", 1600),
    SamplingPlan("ag_news", "topic", 200),
    SamplingPlan("finer_ord", "ner", 900),
    SamplingPlan("cluener", "ner", 700),
    SamplingPlan("resume_ner", "ner", 250),
    SamplingPlan("msra", "ner", 100),
    SamplingPlan("boson", "ner", 100),
    SamplingPlan("sec_filings", "ner", 60),
    SamplingPlan("peoples_daily", "ner", 0),  # dev and test only
)

PUBLISHED = frozenset(plan.source for plan in SAMPLING_PLANS if plan.folder in ("sentiment", "negative_entity"))
"""Sets whose sentiments follow conventions of their own."""
GUIDED = ("wire", LABEL_FILES, CONTRAST)
"""Sets that follow our labelling guide, whose texts are also shown in other forms."""


def sentiment_targets(row: Row) -> tuple[Flags, Flags]:
    """(right, possible) for the label of a row; all False without one.

    wwwxmu has no neutral class, so only the two others are possible. "not_negative" of finnsp makes two classes right.
    """
    label = row.get("label")
    if label == "not_negative":
        return (False, True, True), EVERY
    if label in SENTIMENTS:
        return flags_of(label), (True, False, True) if row.get("source") == "wwwxmu" else EVERY
    return NOTHING, NOTHING


def examples(rows: Iterable[Row]) -> list[Example]:
    """The examples of one set's rows, in order, without rows that have no labels.

    A row about a company or an aspect becomes a pair of text and target. If all rows of a text agree, the text alone is added.
    """
    found: list[Example] = []
    by_text: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if is_wire(row):
            found += wire_examples(row)
            continue
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
    text = model_text("", row["text"])
    labels = tuple(str(label) for label in row.get("labels", ())) if not target else ()
    mapped = topic_targets(source, labels, row["text"])
    topics, topic_weights = mapped if mapped is not None and not target else (NO_TOPICS, NO_TOPICS)
    topic_weights = tuple(MAPPED_WEIGHT * weight for weight in topic_weights)
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
    head = sentiment_set(source, target) if source in PUBLISHED else sentiment_head(target, "news", GUIDED_HEADS)
    return Example(
        source,
        language,
        text,
        canonical(target) if target else "",
        right,
        possible,
        topics,
        topic_weights,
        head,
        risks,
        risk_weights,
        labels,
    )


def own_labels(sets: Mapping[str, Sequence[Example]]) -> dict[str, LabelSet]:
    """Set -> its original labels with at least MIN_LABEL_ROWS rows, most frequent first."""
    found = {}
    for source, examples_ in sets.items():
        own = LabelSet.of([example.labels for example in examples_ if example.labels], MIN_LABEL_ROWS)
        if len(own.names) > 1:
            found[source] = own
    return found


def own_sentiments(sets: Mapping[str, Sequence[Example]]) -> tuple[str, ...]:
    """Published sets with sentiment outputs of their own ("SET", "SET.company"): those with MIN_SENTIMENT_ROWS rows, in order."""
    counts: dict[str, int] = {}
    for examples_ in sets.values():
        for example in examples_:
            if example.source in PUBLISHED and any(example.possible):
                counts[example.head] = counts.get(example.head, 0) + 1
    return tuple(name for name, count in counts.items() if count >= MIN_SENTIMENT_ROWS)


def contrast_examples(rows: Iterable[Row]) -> list[Example]:
    """Examples of contrast sentences.

    Args:
        rows: rows with "lang", "label" and "text", perhaps with "company" and "company_label"; see `models.training.contrast`.
    """
    found = []
    for row in rows:
        language, text = str(row["lang"]), model_text("", row["text"])
        if row.get("label") in SENTIMENTS:
            found.append(Example(CONTRAST, language, text, "", flags_of(row["label"]), EVERY))
        if row.get("company") and row.get("company_label") in SENTIMENTS:
            found.append(
                Example(CONTRAST, language, text, canonical(row["company"]), flags_of(row["company_label"]), EVERY, head="company")
            )
    return found


def template_examples(templates: Sequence[Template], per_template: int, rng: random.Random) -> list[Example]:
    """Examples from filled templates, each as a document and as a pair with its company."""
    found = []
    for filled in fill_templates(tuple(templates), per_template, rng):
        right = flags_of(filled.sentiment)
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
    if split == "train":
        sets |= _repository_examples(data)
    if not sets:
        message = f"{data}: has none of the labelled sets ({split} split); see models/training/data.py for their names"
        raise ModelError(message)
    return sets


def _repository_examples(data: Path) -> dict[str, list[Example]]:
    """Examples of the repository's label files, without texts near those of dev and test."""
    found = {}
    if rows := label_rows(data):
        found[LABEL_FILES] = examples(without_held_out(rows, HeldOutTexts.read(data)))
    return found


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
    return [
        in_other_form(example, rng) if example.source in GUIDED else example
        for example in drawn
        if example.source not in GUIDED or not example.target or rng.random() < PAIR_SHARES.get(example.language, 1.0)
    ]


def in_other_form(example: Example, rng: random.Random) -> Example:
    """The example itself, or at random its title alone or a disguise of it, with the same labels."""
    chance = rng.random()
    if chance < TITLE_SHARE and example.title and not example.target:
        return replace(example, text=example.title)
    if chance > 1.0 - DISGUISED_SHARE:
        return replace(example, text=disguised(example.text, example.language, rng))
    return example


def stream_examples(data: Path) -> list[Example]:
    """Texts of the unlabelled streams, for distillation from teachers."""
    found = []
    for path in sorted((data / "stream").glob("*.jsonl.gz")):
        for row in read_rows(path):
            text = model_text(str(row.get("title") or ""), row["text"])
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


DEV_TENTH = 10


@dataclass(frozen=True, slots=True)
class DatasetMix:
    """Data of a run. sets: labelled sets by name; extra: additional rows by source; dev: held-out examples of both."""

    sets: Mapping[str, list[Example]]
    extra: Mapping[str, list[Example]]
    dev: Mapping[str, list[Example]]

    @classmethod
    def read(cls, data: Path | None, extra: Iterable[Row], contrast: Iterable[Row] = ()) -> Self:
        """Read the data of a run.

        Args:
            data: folder of labelled sets, or None.
            extra: additional rows, of which a tenth is held out for dev.
            contrast: rows of contrast sentences.

        Raises:
            ModelError: the files cannot be read.
        """
        sets = read_split(data, "train") if data is not None else {}
        if sentences := contrast_examples(contrast):
            sets = {**sets, CONTRAST: sentences}
        dev = read_split(data, "dev") if data is not None else {}
        training: dict[str, list[Row]] = {}
        held_out: dict[str, list[Row]] = {}
        for row in extra:
            kept = int(hashlib.sha1(str(row["text"]).encode(), usedforsecurity=False).hexdigest()[:8], 16) % DEV_TENTH == 0
            (held_out if kept else training).setdefault(str(row.get("source", "extra")), []).append(row)
        held_out_examples = {source: examples(rows) for source, rows in held_out.items()}
        return cls(
            sets,
            {source: examples(rows) for source, rows in training.items()},
            {**dev, **{s: e for s, e in held_out_examples.items() if e}},
        )

    def count(self) -> int:
        """Total number of training examples."""
        return sum(map(len, [*self.sets.values(), *self.extra.values()]))

    def draw(self, rehearse: float, rng: random.Random) -> list[Example]:
        """Draw one epoch: the labelled sets; or all extra rows, with a share `rehearse` of the epoch from the labelled sets."""
        new: Sequence[Example] = [example for found in self.extra.values() for example in found]
        old = draw_epoch(self.sets, rng)
        if not new:
            return old
        wanted = round(len(new) * rehearse / max(1e-9, 1.0 - rehearse))
        return [*new, *(old if len(old) <= wanted else rng.sample(old, wanted))]
