"""The data of a training run: labelled sets, additional rows, and the proportion of both in an epoch."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from models.training.data import CONTRAST, contrast_examples, draw_epoch, examples, read_split
from models.training.examples import Example
from models.training.rows import Row

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
