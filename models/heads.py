"""The sizes of a network and the names of what it says: what its files are read with, without torch.

Which heads does a model have, and what does each output stand for?

sentiment   a news text as a whole            negative, neutral, positive
social      a post as a whole                 the same classes: posts and wire copy are labelled by other habits
company     one company of a text             the same classes
topics      a text                            core.taxonomy.TOPIC_KEYS, each yes or no
risks       a text                            core.taxonomy.RISK_KEYS, each yes or no
labels      a text                            the own labels of each set that trained the model (`LabelSet`)
tags        every token                       TAG_NAMES
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
"""The one head that speaks of every token."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of an encoder; outputs: the size of each of its heads, by name."""

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
    """The own labels of a training set, in the order of their outputs.

    exclusive: each row has exactly one
    """

    names: tuple[str, ...]
    exclusive: bool

    @classmethod
    def of(cls, rows: Sequence[Sequence[str]], fewest: int = 1) -> Self:
        """Of the labels of each row: those that `fewest` rows have at least, the commonest first."""
        counts = Counter(label for labels in rows for label in labels)
        names = tuple(label for label, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count >= fewest)
        return cls(names, exclusive=all(len(labels) == 1 for labels in rows))


def head_sizes(label_sets: Mapping[str, LabelSet]) -> dict[str, int]:
    """Outputs by head. The label sets lie one after the other in one head."""
    sizes = {name: len(SENTIMENTS) for name in SENTIMENT_HEADS}
    sizes |= {"topics": len(TOPIC_KEYS), "risks": len(RISK_KEYS), TAGS: len(TAG_NAMES)}
    if label_sets:
        sizes[LABELS] = sum(len(each.names) for each in label_sets.values())
    return sizes


def label_columns(label_sets: Mapping[str, LabelSet]) -> dict[str, slice]:
    """Where each set's labels lie among the outputs of the head `labels`."""
    places, start = {}, 0
    for source, each in label_sets.items():
        places[source] = slice(start, start + len(each.names))
        start += len(each.names)
    return places


def sentiment_head(target: str, genre: str, present: Collection[str] = SENTIMENT_HEADS) -> str:
    """The head that reads such a text: of a company, of a post, else of news; `sentiment` where a model has no other."""
    name = "company" if target else "social" if genre == "social" else "sentiment"
    return name if name in present else "sentiment"
