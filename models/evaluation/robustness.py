"""How much do figures fall when the text is not clean? Seeded noise of the kinds that news and posts bring.

    typos         one letter in twelve swapped with the next, dropped or doubled
    full_width    ａｌｌ　ｌｅｔｔｅｒｓ of ASCII in full width
    half_width    full-width letters and marks, as Chinese text has, in ASCII
    traditional   simplified Chinese in traditional characters (OpenCC; extra "train")
    truncated     the first six tenths of the text
    upper         upper case
    stray         tags, a link and an emoji in between

The same text and seed always give the same noise, whatever else is measured.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import msgspec

from models.evaluation.evaluate import judge
from models.evaluation.labelled_files import Labelled
from models.evaluation.metrics import report_of
from models.inference.classifier import Classifier

SAMPLE = 300
TYPO_EVERY = 12
KEPT = 0.6
STRAY = ("<b>", "</b>", "&nbsp;", "<br/>", " https://t.co/a1B2c3 ", " 🚀", "😱 ", " #")

_HALF = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_FULL = {half: full for full, half in _HALF.items()}
_BOTH = ("en", "zh")


class Fall(msgspec.Struct, frozen=True):
    """Accuracy of the same n rows as they are and with noise, and how many of them the noise changed at all."""

    kind: str
    language: str
    n: int
    changed: int
    clean: float
    noisy: float


def typos(text: str, dice: random.Random) -> str:
    """About one letter in TYPO_EVERY, one at least, is swapped with the next, dropped or doubled."""
    letters = [i for i, character in enumerate(text) if character.isalpha()]
    out = list(text)
    for i in dice.sample(letters, min(len(letters), max(1, len(letters) // TYPO_EVERY))):
        kind = dice.randrange(3)
        if kind == 0 and i + 1 < len(text) and text[i + 1].isalpha():
            out[i], out[i + 1] = out[i + 1], out[i]
        elif kind == 1:
            out[i] = ""
        else:
            out[i] *= 2
    return "".join(out)


def full_width(text: str, _dice: random.Random) -> str:
    """ASCII in full width, spaces left."""
    return text.translate({half: full for half, full in _FULL.items() if half != 0x20})


def half_width(text: str, _dice: random.Random) -> str:
    """Full-width letters and marks in ASCII."""
    return text.translate(_HALF)


def traditional(text: str, _dice: random.Random) -> str:
    """Simplified Chinese in traditional characters."""
    return str(_converter().convert(text))


@cache
def _converter():  # type: ignore[no-untyped-def]  # noqa: ANN202
    from opencc import OpenCC

    return OpenCC("s2t")


def truncated(text: str, _dice: random.Random) -> str:
    """The first KEPT of the characters, at least one."""
    return text[: max(1, round(len(text) * KEPT))]


def upper(text: str, _dice: random.Random) -> str:
    """Upper case."""
    return text.upper()


def stray(text: str, dice: random.Random) -> str:
    """Three pieces of STRAY between words, or between characters where there are no spaces."""
    parts = re.split(r"(?<=\s)", text) if " " in text else list(text)
    for piece in dice.sample(STRAY, 3):
        parts.insert(dice.randrange(len(parts) + 1), piece)
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
"""kind -> (what it does, the languages that it is of)"""


def noisy(text: str, kind: str, seed: int = 13) -> str:
    """The text with noise of one kind; never empty. Raises KeyError for an unknown kind."""
    digest = hashlib.sha256(f"{seed}\n{kind}\n{text}".encode("utf-8", "surrogatepass")).digest()
    found = KINDS[kind][0](text, random.Random(digest))  # noqa: S311
    return found if found.strip() else text


def sample_of(rows: Sequence[Labelled], count: int = SAMPLE) -> list[Labelled]:
    """About `count` rows, evenly spaced: files are often sorted by class."""
    step = max(1, -(-len(rows) // count))
    return list(rows[::step])


@dataclass(frozen=True, slots=True)
class _Set:
    language: str
    rows: list[Labelled]


def falls(classifier: Classifier, rows: Sequence[Labelled], task: str, *, seed: int = 13, count: int = SAMPLE) -> list[Fall]:
    """What each kind of noise does to the accuracy on a sample of rows. Raises what `models.evaluation.evaluate.judge` does."""
    sample = sample_of(rows, count)
    found = []
    for part in (_Set(language, [row for row in sample if row.language == language]) for language in _BOTH):
        if not part.rows:
            continue
        clean = report_of(judge(classifier, part.rows, task).tally).accuracy
        for kind, (_, languages) in KINDS.items():
            if part.language not in languages:
                continue
            changed = [replace(row, text=noisy(row.text, kind, seed)) for row in part.rows]
            after = report_of(judge(classifier, changed, task).tally).accuracy
            moved = sum(one.text != other.text for one, other in zip(part.rows, changed, strict=True))
            found.append(Fall(kind, part.language, len(part.rows), moved, clean, after))
    return found
