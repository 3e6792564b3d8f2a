"""The sizes of a network and the names of what it says: what its files are read with, without torch."""

from __future__ import annotations

from dataclasses import dataclass

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
