"""What does a run learn from? The labelled sets, rows that came since, and how much of the one is repeated beside the other."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from models.training.data import Example, Row, draw_epoch, examples, read_split

DEV_TENTH = 10


@dataclass(frozen=True, slots=True)
class Lessons:
    """sets: the labelled sets by name; extra: rows that came since, by source; dev: what is looked at, by either."""

    sets: Mapping[str, list[Example]]
    extra: Mapping[str, list[Example]]
    dev: Mapping[str, list[Example]]

    @classmethod
    def read(cls, data: Path | None, extra: Iterable[Row]) -> Self:
        """From a folder of labelled sets (None: none) and extra rows, of whose texts a tenth is kept for dev. Raises ModelError."""
        sets = read_split(data, "train") if data is not None else {}
        dev = read_split(data, "dev") if data is not None else {}
        learned: dict[str, list[Row]] = {}
        looked: dict[str, list[Row]] = {}
        for row in extra:
            kept = int(hashlib.sha1(str(row["text"]).encode(), usedforsecurity=False).hexdigest()[:8], 16) % DEV_TENTH == 0
            (looked if kept else learned).setdefault(str(row.get("source", "extra")), []).append(row)
        more = {source: examples(rows) for source, rows in looked.items()}
        return cls(sets, {source: examples(rows) for source, rows in learned.items()}, {**dev, **{s: e for s, e in more.items() if e}})

    def count(self) -> int:
        """Training examples in all."""
        return sum(map(len, [*self.sets.values(), *self.extra.values()]))

    def draw(self, rehearse: float, dice: random.Random) -> list[Example]:
        """One epoch: the labelled sets; with extra rows all of these, and of the sets so many that they are `rehearse` of it."""
        new: Sequence[Example] = [example for found in self.extra.values() for example in found]
        old = draw_epoch(self.sets, dice)
        if not new:
            return old
        wanted = round(len(new) * rehearse / max(1e-9, 1.0 - rehearse))
        return [*new, *(old if len(old) <= wanted else dice.sample(old, wanted))]
