"""Robustness: accuracy on texts with seeded noise as it occurs in news and posts.

    typos         one letter in twelve swapped with the next, dropped or doubled
    full_width    ASCII characters in ｆｕｌｌ　ｗｉｄｔｈ
    half_width    full-width letters and punctuation, as in Chinese text, in ASCII
    traditional   simplified Chinese in traditional characters (OpenCC; extra "train")
    truncated     the first 60 % of the text
    upper         upper case
    stray         inserted tags, a link and an emoji

The noise depends on the text and the seed only.

`disguise_changes` and `dateline_changes` measure stability: the share of predictions that differ when only the form of a text changes.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import msgspec
import numpy as np

from models.evaluation.evaluate import score_rows
from models.evaluation.labelled_files import Labelled
from models.evaluation.metrics import metrics_report
from models.inference.classifier import Classifier, Document
from models.training.disguise import DISGUISES

SAMPLE = 300
TYPO_EVERY = 12
KEPT = 0.6
STRAY = ("<b>", "</b>", "&nbsp;", "<br/>", " https://t.co/a1B2c3 ", " 🚀", "😱 ", " #")

_HALF = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_FULL = {half: full for full, half in _HALF.items()}
_BOTH = ("en", "zh")


class NoiseResult(msgspec.Struct, frozen=True):
    """Effect of one kind of noise. clean, noisy: accuracy on the same n rows; changed: rows that the noise altered."""

    kind: str
    language: str
    n: int
    changed: int
    clean: float
    noisy: float


def typos(text: str, rng: random.Random) -> str:
    """Swap, drop or double about one letter in TYPO_EVERY, at least one."""
    letters = [i for i, character in enumerate(text) if character.isalpha()]
    out = list(text)
    for i in rng.sample(letters, min(len(letters), max(1, len(letters) // TYPO_EVERY))):
        kind = rng.randrange(3)
        if kind == 0 and i + 1 < len(text) and text[i + 1].isalpha():
            out[i], out[i + 1] = out[i + 1], out[i]
        elif kind == 1:
            out[i] = ""
        else:
            out[i] *= 2
    return "".join(out)


def full_width(text: str, _rng: random.Random) -> str:
    """Convert ASCII to full width, except spaces."""
    return text.translate({half: full for half, full in _FULL.items() if half != 0x20})


def half_width(text: str, _rng: random.Random) -> str:
    """Convert full-width letters and punctuation to ASCII."""
    return text.translate(_HALF)


def traditional(text: str, _rng: random.Random) -> str:
    """Convert simplified to traditional Chinese."""
    return str(_converter().convert(text))


@cache
def _converter():  # type: ignore[no-untyped-def]  # noqa: ANN202
    from opencc import OpenCC

    return OpenCC("s2t")


def truncated(text: str, _rng: random.Random) -> str:
    """Keep the first KEPT of the characters, at least one."""
    return text[: max(1, round(len(text) * KEPT))]


def upper(text: str, _rng: random.Random) -> str:
    """Convert to upper case."""
    return text.upper()


def stray(text: str, rng: random.Random) -> str:
    """Insert three items of STRAY between words, or between characters if there are no spaces."""
    parts = re.split(r"(?<=\s)", text) if " " in text else list(text)
    for piece in rng.sample(STRAY, 3):
        parts.insert(rng.randrange(len(parts) + 1), piece)
    return "".join(parts)


KINDS: Mapping[str, tuple[Callable[[str, random.Random], str], tuple[str, ...]]] = {
    "typos": (typos, _BOTH),
    "full_width": (full_width, _BOTH),
    "half_width": (half_width, ("zh",)),
    "traditional": (traditional, ("zh",)),
    "truncated": (truncated, _BOTH),
    "upper": (upper, ("en",)),
    "stray": (stray, _BOTH),
}
"""Kind of noise -> (function, languages it applies to)."""


def noisy(text: str, kind: str, seed: int = 13) -> str:
    """Add one kind of noise to a text; the result is never blank. Raises KeyError for an unknown kind."""
    digest = hashlib.sha256(f"{seed}\n{kind}\n{text}".encode("utf-8", "surrogatepass")).digest()
    found = KINDS[kind][0](text, random.Random(digest))  # noqa: S311
    return found if found.strip() else text


def sample_of(rows: Sequence[Labelled], count: int = SAMPLE) -> list[Labelled]:
    """About `count` rows, evenly spaced, because files are often sorted by class."""
    step = max(1, -(-len(rows) // count))
    return list(rows[::step])


@dataclass(frozen=True, slots=True)
class _Set:
    language: str
    rows: list[Labelled]


def measure_noise(classifier: Classifier, rows: Sequence[Labelled], task: str, *, seed: int = 13, count: int = SAMPLE) -> list[NoiseResult]:
    """What each kind of noise does to the accuracy on a sample of rows. Raises what `models.evaluation.evaluate.judge` does."""
    sample = sample_of(rows, count)
    found = []
    for part in (_Set(language, [row for row in sample if row.language == language]) for language in _BOTH):
        if not part.rows:
            continue
        clean = metrics_report(score_rows(classifier, part.rows, task).row_counts).accuracy
        for kind, (_, languages) in KINDS.items():
            if part.language not in languages:
                continue
            changed = [replace(row, text=noisy(row.text, kind, seed)) for row in part.rows]
            after = metrics_report(score_rows(classifier, changed, task).row_counts).accuracy
            moved = sum(one.text != other.text for one, other in zip(part.rows, changed, strict=True))
            found.append(NoiseResult(kind, part.language, len(part.rows), moved, clean, after))
    return found


def sentiments(classifier: Classifier, documents: Sequence[Document]) -> list[int]:
    """The index of the most probable sentiment of each document."""
    return [int(np.argmax(found.sentiment)) for found in classifier.classify(list(documents))]


def changed_share(before: Sequence[int], after: Sequence[int]) -> float:
    """The share of predictions that differ; 0 if there are none."""
    return float(np.mean([a != b for a, b in zip(before, after, strict=True)])) if before else 0.0


def disguise_changes(classifier: Classifier, texts: Sequence[tuple[str, str]], *, seed: int = 13) -> dict[str, float]:
    """Disguise -> share of texts (language, text) whose sentiment it changes, among those that it alters; "all": of all disguises."""
    rng = random.Random(seed)  # noqa: S311
    before = sentiments(classifier, [Document("", text, language) for language, text in texts])
    found: dict[str, float] = {}
    total = differing = 0
    for name, disguise in DISGUISES.items():
        other = [disguise(text, language, rng) for language, text in texts]
        places = [i for i, (_, text) in enumerate(texts) if other[i] != text]
        after = sentiments(classifier, [Document("", other[i], texts[i][0]) for i in places])
        found[name] = changed_share([before[i] for i in places], after)
        total += len(places)
        differing += round(found[name] * len(places))
    return {**found, "all": differing / max(1, total)}


def dateline_changes(classifier: Classifier, items: Sequence[tuple[str, str, str]], *, seed: int = 13) -> dict[str, float]:
    """Share of items (language, title, text) whose sentiment changes when a flash tag, a dateline or a credit is added, for each."""
    rng = random.Random(seed)  # noqa: S311
    before = sentiments(classifier, [Document(title, text, language) for language, title, text in items])
    found = {}
    for name in ("alert", "dateline", "tail"):
        disguise = DISGUISES[name]
        after = []
        for language, title, text in items:
            if name == "alert" and title:
                after.append(Document(disguise(title, language, rng), text, language))
            else:
                after.append(Document(title, disguise(text, language, rng) if text else text, language))
        found[name] = changed_share(before, sentiments(classifier, after))
    return found
