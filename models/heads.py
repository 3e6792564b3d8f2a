"""Heads of a model and sizes of its network. Needs no torch.

HEAD             INPUT                             OUTPUTS
sentiment        a text                            negative, neutral, positive, by our labelling guide
company          a text and one of its companies   the same classes, by the same guide
social           a social media post               the same classes; only in versions older than the guide
set_sentiments   a text, perhaps with a company    the same classes by the conventions of each published training set, one set after the
                                                   other; scores on published test files use them
materiality      a text                            whether its relevance to prices is at least level 1, 2 and 3 (cumulative logits): alerts
                                                   need "at least 2", so each level has a probability of its own
topics           a text                            core.taxonomy.TOPIC_KEYS, multi-label
risks            a text                            core.taxonomy.RISK_KEYS, multi-label
labels           a text                            the original labels of each training set (`LabelSet`)
tags             every token                       TAG_NAMES (BIO)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import msgspec

from core.taxonomy import RISK_KEYS, TOPIC_KEYS

SENTIMENTS = ("negative", "neutral", "positive")
TAGS = "tags"
"""The one head with an output for every token."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of an encoder. outputs: head -> number of outputs."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    ffn: int
    positions: int
    eps: float
    outputs: dict[str, int]


SENTIMENT_HEADS = ("sentiment", "social", "company")
GUIDED_HEADS = ("sentiment", "company")
"""The sentiment heads of newly trained versions."""
ENTITY_TYPES = ("PER", "ORG", "LOC")
TAG_NAMES = ("O", *(f"{mark}-{kind}" for kind in ENTITY_TYPES for mark in "BI"))
LABELS = "labels"
SET_SENTIMENTS = "set_sentiments"
MATERIALITY = "materiality"
MATERIALITY_LEVELS = (1, 2, 3)
"""Output of the head `materiality` -> the level that it stands for, each "at least"."""


class LabelSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The original labels of a training set, in the order of their outputs.

    exclusive: each row has exactly one label (softmax); else any number of them (sigmoid)
    """

    names: tuple[str, ...]
    exclusive: bool

    @classmethod
    def of(cls, rows: Sequence[Sequence[str]], fewest: int = 1) -> Self:
        """The label set of rows, given as the labels of each row: labels of at least `fewest` rows, most frequent first."""
        counts = Counter(label for labels in rows for label in labels)
        names = tuple(label for label, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count >= fewest)
        return cls(names, exclusive=all(len(labels) == 1 for labels in rows))


def head_sizes(label_sets: Mapping[str, LabelSet], sentiment_sets: Sequence[str] = ()) -> dict[str, int]:
    """Head -> number of outputs. All label sets share one head, one after the other, and so do all `sentiment_sets`."""
    sizes = {name: len(SENTIMENTS) for name in GUIDED_HEADS}
    sizes |= {"topics": len(TOPIC_KEYS), "risks": len(RISK_KEYS), MATERIALITY: len(MATERIALITY_LEVELS), TAGS: len(TAG_NAMES)}
    if sentiment_sets:
        sizes[SET_SENTIMENTS] = len(SENTIMENTS) * len(sentiment_sets)
    if label_sets:
        sizes[LABELS] = sum(len(each.names) for each in label_sets.values())
    return sizes


def label_columns(label_sets: Mapping[str, LabelSet]) -> dict[str, slice]:
    """Training set -> its columns among the outputs of the head `labels`."""
    places, start = {}, 0
    for source, each in label_sets.items():
        places[source] = slice(start, start + len(each.names))
        start += len(each.names)
    return places


def sentiment_columns(sentiment_sets: Sequence[str]) -> dict[str, slice]:
    """Published set -> its columns among the outputs of the head `set_sentiments`."""
    width = len(SENTIMENTS)
    return {name: slice(i * width, (i + 1) * width) for i, name in enumerate(sentiment_sets)}


def sentiment_set(source: str, target: str) -> str:
    """The name in `sentiment_columns` of a published set: a separate one for sentiments towards a company or an aspect."""
    return f"{source}.company" if target else source


def sentiment_head(target: str, genre: str, present: Collection[str] = SENTIMENT_HEADS) -> str:
    """The sentiment head for a text: `company` with a target, `social` for posts, else `sentiment`.

    Args:
        target: company that the sentiment is towards, or "".
        genre: genre of the text.
        present: heads of the model; without the specific one, `sentiment` is used.
    """
    name = "company" if target else "social" if genre == "social" else "sentiment"
    return name if name in present else "sentiment"
