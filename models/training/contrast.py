"""Contrast sentences: minimal pairs in which a small change of words changes the sentiment, and others in which it does not.

    contrast/{en,zh}.txt ─▶ Template ─▶ filled from contrast/lexicon.toml ─▶ ContrastSentence

A template is one line of its language's file, "label|companies|text", under a heading "@kind". In its text "[a|b]" is a choice, "{co}"
a word of the lexicon ("{co2}" another one of the same list), "{n:2-9}" a number with the decimals of its bounds, "{lo:..}" and "{hi:..}"
the smaller and the larger of two numbers, and "{money_lo}" and "{money_hi}" those of two sums in one currency. A template whose label
has a "!" is held out: no training sentence is generated from it. Labels follow our labelling guide, see models/labels/README.md.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import Literal

Language = Literal["en", "zh"]
Label = Literal["negative", "neutral", "positive"]
Lexicon = Mapping[str, list[str]]

LANGUAGES: tuple[Language, ...] = ("en", "zh")
LABELS: Mapping[str, Label] = {"n": "negative", "o": "neutral", "p": "positive"}
_FOLDER = Path(__file__).parent / "contrast"
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(?P<key>[a-z]+(?:_lo|_hi)?)(?P<index>\d?)(?::(?P<low>[\d.]+)-(?P<high>[\d.]+))?\}")
_MAX_RATIO = 1.7  # of the larger to the smaller of two figures; a larger one is implausible for a result and its forecast
_TRIES = 40  # draws per requested sentence


@dataclass(frozen=True, slots=True)
class Template:
    """One template.

    id: language, kind and a hash of the text, so that it does not depend on other templates
    companies: (slot, sentiment towards it) of each company that can be the target
    held_out: not used for training
    """

    id: str
    language: Language
    kind: str
    label: Label
    companies: tuple[tuple[str, Label], ...]
    text: str
    held_out: bool


@dataclass(frozen=True, slots=True)
class ContrastSentence:
    """A sentence with its sentiment and the sentiment towards one of its companies; `company` is "" without a target."""

    language: Language
    kind: str
    label: Label
    text: str
    company: str = ""
    company_label: Label | Literal[""] = ""


def parse_templates(language: Language, lines: str) -> list[Template]:
    """Parse a file of templates.

    Args:
        language: language of the templates.
        lines: the content of the file; empty lines and lines that begin with "#" are ignored.

    Returns:
        The templates in the order of the file.

    Raises:
        ValueError: a line has no heading above it, not three fields, or an unknown label.
    """
    found: list[Template] = []
    kind = ""
    for number, line in enumerate(lines.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("@"):
            kind = line[1:].strip()
            continue
        fields = line.split("|", 2)
        mark = fields[0].rstrip("!")
        if not kind or len(fields) != 3 or mark not in LABELS:
            message = f"{language}.txt, line {number}: expected 'n, o or p|companies|text' under a heading @kind, got {line!r}"
            raise ValueError(message)
        companies = tuple((slot, LABELS[label]) for slot, label in (item.split("=") for item in fields[1].split(",") if item))
        name = f"{language}-{kind}-{sha1(fields[2].encode(), usedforsecurity=False).hexdigest()[:8]}"
        found.append(Template(name, language, kind, LABELS[mark], companies, fields[2], fields[0].endswith("!")))
    return found


@cache
def templates() -> tuple[Template, ...]:
    """All templates, held out or not, English first, in the order of their files."""
    return tuple(t for language in LANGUAGES for t in parse_templates(language, (_FOLDER / f"{language}.txt").read_text("utf-8")))


@cache
def lexicon(language: Language) -> Lexicon:
    """Slot -> words, or texts that have slots themselves, for a language."""
    found: dict[str, dict[str, list[str]]] = tomllib.loads((_FOLDER / "lexicon.toml").read_text("utf-8"))
    return found[language]


class _Filling:
    """Fills one template. Keeps the value of each slot, so that a name is the same in the whole sentence."""

    def __init__(self, words: Lexicon, rng: random.Random) -> None:
        self.words = words
        self.rng = rng
        self.values: dict[str, str] = {}

    def fill(self, text: str) -> str:
        """The text with all choices made and all slots filled."""
        while match := _CHOICE.search(text):
            text = text[: match.start()] + self.rng.choice(match[1].split("|")) + text[match.end() :]
        return _SLOT.sub(self._slot, text)

    def _slot(self, match: re.Match[str]) -> str:
        name = match[0][1:-1]
        if name not in self.values:
            self.values[name] = self._draw(match["key"], match["index"], match["low"], match["high"])
        return self.values[name]

    def _draw(self, key: str, index: str, low: str | None, high: str | None) -> str:
        if low is not None and high is not None:
            if key == "n":
                return self._number(low, high)
            pair = self._pair(index, low, high)
            return pair[0] if key == "lo" else pair[1]
        if key.endswith(("_lo", "_hi")):
            stem, side = key[:-3], key[-2:]
            form = self.values.setdefault(f"{stem}{index} form", self.rng.choice(self.words[f"{stem}_pair"]))
            return self.fill(form.replace("{x:", "{" + side + "9:"))
        taken = {value for name, value in self.values.items() if re.fullmatch(rf"{key}\d?", name)}
        if all("{" in word for word in self.words[key]):
            # texts with slots: numbers are drawn again for each, and no text occurs twice
            value = next(iter(taken), "")
            while value in taken or not value:
                value = _Filling(self.words, self.rng).fill(self.rng.choice(self.words[key]))
            return value
        return self.rng.choice([word for word in self.words[key] if word not in taken])

    def _number(self, low: str, high: str) -> str:
        decimals = len(low.partition(".")[2])
        step: int = 10**decimals
        return f"{self.rng.randint(round(float(low) * step), round(float(high) * step)) / step:.{decimals}f}"

    def _pair(self, index: str, low: str, high: str) -> tuple[str, str]:
        name = f"pair{index}:{low}-{high}"
        if name not in self.values:
            smaller = larger = "0"
            while not float(smaller) < float(larger) <= _MAX_RATIO * float(smaller):
                smaller, larger = sorted((self._number(low, high), self._number(low, high)), key=float)
            self.values[name] = f"{smaller} {larger}"
        smaller, larger = self.values[name].split(" ")
        return smaller, larger


def _correct(text: str, language: Language) -> str:
    """Correct capitals, possessives and articles ("an 8%") of an English sentence; Chinese is unchanged."""
    if language == "zh":
        return text
    text = re.sub(r"s's\b", "s'", text)
    text = re.sub(r"\b([Aa]) (?=8\d*\b|8\d*\.|11\b|18\b|11%|18%|[aeio](?!ne\b|nce\b|uro\b))", r"\1n ", text)
    return re.sub(r"(?:^|(?<=[.?!] ))[“\"]?[a-z]", lambda match: match[0].upper(), text)


def _sentence(template: Template, rng: random.Random) -> ContrastSentence:
    filling = _Filling(lexicon(template.language), rng)
    text = _correct(filling.fill(template.text), template.language)
    if not template.companies:
        return ContrastSentence(template.language, template.kind, template.label, text)
    slot, label = rng.choice(template.companies)
    return ContrastSentence(template.language, template.kind, template.label, text, filling.values[slot], label)


def generate(seed: int, per_template: int, *, held_out: bool) -> list[ContrastSentence]:
    """Generate distinct sentences.

    Each template has its own random generator, so that a new template does not change the sentences of the others. Sentences that
    differ only in figures are used if a template has no others left.

    Args:
        seed: random seed.
        per_template: maximum number of sentences per template; templates with few choices give fewer.
        held_out: True for the held-out templates, False for the others.

    Returns:
        The sentences in the order of their templates, each text once.
    """
    seen: set[str] = set()
    found: list[ContrastSentence] = []
    for template in templates():
        if template.held_out is held_out:
            rng = random.Random(f"{seed} {template.id}")  # noqa: S311 - nothing secret
            drawn = [sentence for sentence in _draw_distinct(template, per_template, rng) if sentence.text not in seen]
            seen.update(sentence.text for sentence in drawn)
            found += drawn
    return found


def _draw_distinct(template: Template, count: int, rng: random.Random) -> list[ContrastSentence]:
    """Up to `count` sentences of a template, first those that differ in more than figures."""
    fresh: dict[str, ContrastSentence] = {}
    figures_only: dict[str, ContrastSentence] = {}
    for _ in range(count * _TRIES):
        if len(fresh) == count:
            break
        sentence = _sentence(template, rng)
        shape = re.sub(r"[\d.]+", "0", sentence.text)
        if shape not in fresh:
            fresh[shape] = sentence
        elif sentence.text != fresh[shape].text:
            figures_only.setdefault(sentence.text, sentence)
    return [*fresh.values(), *figures_only.values()][:count]
