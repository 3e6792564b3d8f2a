"""Removal of training texts that are, or are near duplicates of, texts in dev and test files.

    dev and test files ─▶ letters and digits ─▶ 4-grams of the beginning ─▶ MinHash bands ─▶ candidates ─▶ Jaccard >= 0.5

Source: Broder (1997), On the resemblance and containment of documents; bands: Leskovec et al. (2014), Mining of Massive Datasets, 3.4.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from core.untrusted_text import normalize
from models.training.examples import Row, read_rows

FOLDERS = ("wire", "sentiment", "topic", "negative_entity")
MIN_JACCARD = 0.5
GRAM = 4
PREFIX_LETTERS = 80
"""Number of letters that are compared: the title, or the first sentence."""
BANDS, ROWS = 12, 2
"""Two texts with a Jaccard index of .5 share a band with probability .97, with one of .7 with probability .9997."""
_PRIME = (1 << 61) - 1
_OTHER = re.compile(r"[\W_]+")

Sketch = npt.NDArray[np.uint64]


def letters(text: str) -> str:
    """The letters and digits of a text, case-folded and in NFKC form."""
    return _OTHER.sub("", normalize("NFKC", text).casefold())


def grams(text: str) -> frozenset[int]:
    """Hashes of the 4-grams of a text's beginning; of all of it if it is shorter."""
    found = letters(text)[:PREFIX_LETTERS]
    parts = [found[i : i + GRAM] for i in range(len(found) - GRAM + 1)] or [found]
    return frozenset(zlib.crc32(part.encode()) for part in parts)


class HeldOutTexts:
    """Index of held-out texts that finds near duplicates of a text."""

    def __init__(self, texts: Iterable[str]) -> None:
        rng = np.random.default_rng(13)
        self._factors = rng.integers(1, 1 << 31, BANDS * ROWS, dtype=np.uint64)
        self._offsets = rng.integers(0, 1 << 31, BANDS * ROWS, dtype=np.uint64)
        self._grams: list[frozenset[int]] = []
        self._bands: defaultdict[tuple[int, int, int], list[int]] = defaultdict(list)
        for text in texts:
            found = grams(text)
            for key in self._keys(found):
                self._bands[key].append(len(self._grams))
            self._grams.append(found)

    @classmethod
    def read(cls, data: Path) -> HeldOutTexts:
        """Read all dev and test files of the labelled sets: the title of each row, or its text if it has none."""
        return cls(
            str(row.get("title") or row["text"])
            for folder in FOLDERS
            for path in sorted((data / folder).glob("*.jsonl.gz"))
            if path.name.split(".")[1] in ("dev", "test")
            for row in read_rows(path)
        )

    def __len__(self) -> int:
        return len(self._grams)

    def near(self, text: str) -> bool:
        """Whether a held-out text is a near duplicate of this one."""
        own = grams(text)
        seen: set[int] = set()
        for key in self._keys(own):
            for place in self._bands.get(key, ()):
                if place not in seen:
                    seen.add(place)
                    other = self._grams[place]
                    if len(own & other) >= MIN_JACCARD * len(own | other):
                        return True
        return False

    def _keys(self, found: frozenset[int]) -> list[tuple[int, int, int]]:
        sketch = self._sketch(found)
        return [(band, int(sketch[band * ROWS]), int(sketch[band * ROWS + 1])) for band in range(BANDS)]

    def _sketch(self, found: frozenset[int]) -> Sketch:
        values = np.fromiter(found, np.uint64, len(found))
        hashed = (values[:, None] * self._factors + self._offsets) % np.uint64(_PRIME)
        return np.asarray(hashed.min(0), dtype=np.uint64)


def without_held_out(rows: Sequence[Row], held_out: HeldOutTexts) -> list[Row]:
    """The rows whose title, or text if there is none, is not a near duplicate of a held-out text."""
    return [row for row in rows if not held_out.near(str(row.get("title") or row["text"]))]
