"""Salient terms: words that are far more frequent in some stories than in reference texts. Pure.

    title and text ─▶ words (Latin letters: split at blanks; Chinese: segmented) ─▶ words in far more of these stories than elsewhere

Words are counted once per story. Numbers, punctuation and stop words are left out. Terms are ordered by the share of the stories that
contain them times the logarithm of the lift over the reference, so that a word of most stories comes before a rare one.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from core.records import WordCount
from core.untrusted_text import normalize

Segmenter = Callable[[Sequence[str]], list[list[str]]]
"""Cuts runs of Chinese characters into words: models.inference.segmentation.segment."""

MAX_CHARS = 600
"""Characters of title and text that are read: news puts what is new first."""
MAX_TERMS = 8
MIN_SHARE = 0.15
"""A term is in at least this share of the stories, and in two of them."""
MIN_LIFT = 3.0
"""A term is at least this many times as frequent as in the reference."""
SMOOTHING = 0.5, 10.0
"""A word that is in none of n reference texts counts as in 0.5 of n + 10: with few texts to compare with, all words are rare."""

_LATIN = re.compile(r"[a-z\u00c0-\u024f]+(?:['&-][a-z\u00c0-\u024f]+)*")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")
_MARKUP = re.compile(r"<[^<>]{0,200}>|https?://\S+|\S+@\S+")
_MIN_LENGTH, _MAX_LENGTH = 3, 24


def stop_words() -> frozenset[str]:
    """Words without a meaning of their own, from common_words.txt."""
    lines = Path(__file__).with_name("common_words.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


STOP_WORDS = stop_words()


def extract_terms(texts: Iterable[str], segment: Segmenter) -> list[frozenset[str]]:
    """The words of each text, normalised to half width and lower case, without stop words."""
    plain = [_folded(text) for text in texts]
    found = [_english(text) for text in plain]
    runs = [(number, run) for number, text in enumerate(plain) for run in _HAN.findall(text) if len(run) > 1]
    for (number, _), words in zip(runs, segment([run for _, run in runs]) if runs else [], strict=True):
        found[number].update(word for word in words if len(word) <= _MAX_LENGTH)
    return [frozenset(words - STOP_WORDS) for words in found]


def salient_terms(stories: Sequence[frozenset[str]], reference: Iterable[str], names: Iterable[str] = ()) -> list[WordCount]:
    """The terms of `stories` that set them apart from the reference, the most salient first; [] for fewer than two stories.

    Args:
        stories: Words of each story, as `extract_terms` returns them.
        reference: Texts to compare with.
        names: Names whose words are left out, such as those of companies.
    """
    if len(stories) < 2:
        return []
    texts = [(text, _english(text)) for text in map(_folded, reference)]
    singular = _singulars(word for words in (*stories, *(words for _, words in texts)) for word in words)
    counts = Counter(word for words in stories for word in {singular.get(each, each) for each in words})
    before = Counter(word for _, words in texts for word in {singular.get(each, each) for each in words})
    folded = [_folded(name) for name in names]
    least = max(2, math.ceil(MIN_SHARE * len(stories)))
    weights: dict[str, float] = {}
    for word, count in counts.items():
        if count < least or any(_is_part(name, word) for name in folded):
            continue
        frequency = sum(word in text for text, _ in texts) if _HAN.match(word) else before[word]
        lift = count / len(stories) * (len(texts) + SMOOTHING[1]) / (frequency + SMOOTHING[0])
        if lift >= MIN_LIFT:
            weights[word] = count / len(stories) * math.log(lift)
    best = sorted(weights, key=lambda word: (-weights[word], word))[:MAX_TERMS]
    return [WordCount(word=word, stories=counts[word]) for word in best]


def _folded(text: str) -> str:
    return normalize("NFKC", _MARKUP.sub(" ", text[:MAX_CHARS])).lower().replace("’", "'")


def _english(folded: str) -> set[str]:
    words = (word.removesuffix("'s") for word in _LATIN.findall(folded))
    return {word for word in words if _MIN_LENGTH <= len(word) <= _MAX_LENGTH}


def _singulars(words: Iterable[str]) -> dict[str, str]:
    """Plurals to singulars, for English words that occur in both forms: losses to loss, bonds to bond."""
    every = {word for word in words if len(word) >= _MIN_LENGTH}
    found = {word + end: word for end in ("es", "s") for word in every if word + end in every}
    return {word: found.get(one, one) for word, one in found.items()}


def _is_part(name: str, word: str) -> bool:
    """Whether `word` is part of a name: a substring where it is Chinese, else one of its words."""
    return word in name if _HAN.match(word) else word in _LATIN.findall(name)
