"""Heads of a model and sizes of its network. Needs no torch.

HEAD        INPUT                             OUTPUTS
sentiment   a news text                       negative, neutral, positive
social      a social media post               the same classes; a head of its own, as annotators label posts and news differently
company     a text and one of its companies   the same classes
topics      a text                            core.taxonomy.TOPIC_KEYS, multi-label
risks       a text                            core.taxonomy.RISK_KEYS, multi-label
labels      a text                            the original labels of each training set (`LabelSet`)
tags        every token                       TAG_NAMES (BIO)
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
ENTITY_TYPES = ("PER", "ORG", "LOC")
TAG_NAMES = ("O", *(f"{mark}-{kind}" for kind in ENTITY_TYPES for mark in "BI"))
LABELS = "labels"


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


def head_sizes(label_sets: Mapping[str, LabelSet]) -> dict[str, int]:
    """Head -> number of outputs. All label sets share one head, one after the other."""
    sizes = {name: len(SENTIMENTS) for name in SENTIMENT_HEADS}
    sizes |= {"topics": len(TOPIC_KEYS), "risks": len(RISK_KEYS), TAGS: len(TAG_NAMES)}
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


def sentiment_head(target: str, genre: str, present: Collection[str] = SENTIMENT_HEADS) -> str:
    """The sentiment head for a text: `company` with a target, `social` for posts, else `sentiment`.

    Args:
        target: company that the sentiment is towards, or "".
        genre: genre of the text.
        present: heads of the model; without the specific one, `sentiment` is used.
    """
    name = "company" if target else "social" if genre == "social" else "sentiment"
    return name if name in present else "sentiment"
