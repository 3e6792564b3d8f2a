"""Labelled files for tests of training and evaluation."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

WORDS = {"north": ("snow", "frost", "ice"), "south": ("sand", "sun", "heat")}


def write(path: Path, rows: Sequence[Any], *, packed: bool = False) -> Path:
    """Write rows as JSONL, plain or gzip; a row that is a string is written as it is."""
    content = "".join((row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


def sentences(count: int, seed: int, *, multi: bool = False) -> list[dict[str, Any]]:
    """Short texts whose words determine their label or labels, "north" and "south"."""
    rng = random.Random(seed)
    rows = []
    for i in range(count):
        labels = rng.choice((["north"], ["south"], ["north", "south"])) if multi else [rng.choice(("north", "south"))]
        text = " ".join(rng.choice(WORDS[label]) for label in labels for _ in range(2)) + f" {seed} {i}"
        rows.append({"text": text, "labels": labels} if multi else {"text": text, "label": labels[0], "lang": "en"})
    return rows
