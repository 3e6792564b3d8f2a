"""Which words drove a score: what is asked of a model, and the answer on the text. The model itself is tocsin/explaining's.

The dashboard knows no model. It is handed something that explains where a model runs in the same process, and says so where none does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Asked(NamedTuple):
    """The text whose sentiment is to be explained; company: words that name the one it is towards, "" for the whole text."""

    title: str
    text: str
    language: str
    genre: str
    company: str = ""


class Weight(NamedTuple):
    """text[start:end], and how much it adds to the log odds of the class (negative: takes away)."""

    start: int
    end: int
    weight: float


class Reasons(NamedTuple):
    """Why `label` has `probability`, by `model`; places are places in `text`, in order."""

    text: str
    words: tuple[Weight, ...]
    label: str
    probability: float
    model: str


Explain = Callable[[Asked], Reasons]
"""Raises ModelError where the model cannot."""
