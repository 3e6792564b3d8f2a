"""Rows of labelled files, and training examples: one text and its labels."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import ModelError
from core.taxonomy import RISK_KEYS, TOPIC_KEYS
from models.heads import SENTIMENTS
from models.inference.entities import Span

Flags = tuple[bool, bool, bool]

NOTHING: Flags = (False, False, False)
EVERY: Flags = (True, True, True)
NO_TOPICS = (0.0,) * len(TOPIC_KEYS)
NO_RISKS = (0.0,) * len(RISK_KEYS)


def flags_of(label: str) -> Flags:
    """Flags with the class `label` set; all False for another word."""
    negative, neutral, positive = (label == name for name in SENTIMENTS)
    return negative, neutral, positive


@dataclass(frozen=True, slots=True)
class Example:
    """One training text and its labels.

    target: company that the sentiment is towards, or ""
    right, possible: sentiment classes that are right, and those that the set can have; all False if unknown
    head: the sentiment head for it, or the published set whose own sentiment outputs are trained
    topics, topic_weights: over TOPIC_KEYS; risks, risk_weights: over RISK_KEYS; weight 0 where the set has no label
    labels: the original labels of the set
    spans: its entities by character offsets; None if unknown
    weight: weight of its sentiment in the loss
    materiality: 0 to 3, or -1 if unknown
    title: its title alone, or "" if it has no title or no lead
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
    weight: float = 1.0
    materiality: int = -1
    title: str = ""


Row = dict[str, Any]


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
