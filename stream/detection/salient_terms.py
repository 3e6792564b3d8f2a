"""Which words tell some stories from what is usual? Pure.

    title and text ─▶ words (Latin letters: by blanks; Chinese: as the caller cuts it) ─▶ those in far more of these stories than of others

Counted in stories: a word that one story says ten times counts once. Numbers, punctuation and words without a meaning of their own are
left out. The order is by a word's share of the stories times the logarithm of how much more often it is said than usual, so that what most
of them say comes before what few say and others never do.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from core.records import WordCount

Cut = Callable[[Sequence[str]], list[list[str]]]
"""Runs of Chinese letters to the words of each: models.inference.segments.segments."""

CHARS = 600
"""Of a story's title and text so much is read: news says first what is new."""
MOST = 8
LEAST_SHARE = 0.15
LEAST_LIFT = 3.0
"""A word is in so large a share of the stories, in two at least, and so many times as often as usual."""
UNSEEN = 0.5, 10.0
"""A word that was not said in n usual stories is taken to be in 0.5 of n + 10: with few or none to compare with, all words are rare."""

_LATIN = re.compile(r"[a-z\u00c0-\u024f]+(?:['&-][a-z\u00c0-\u024f]+)*")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")
_MARKUP = re.compile(r"<[^<>]{0,200}>|https?://\S+|\S+@\S+")
_SHORTEST, _LONGEST = 3, 24


def common_words() -> frozenset[str]:
    """Words that say nothing of what a story is about."""
    lines = Path(__file__).with_name("common_words.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


COMMON = common_words()


def said(texts: Iterable[str], cut: Cut) -> list[frozenset[str]]:
    """The words of each text, folded: half width and lower case."""
    plain = [_folded(text) for text in texts]
    found = [_english(text) for text in plain]
    runs = [(number, run) for number, text in enumerate(plain) for run in _HAN.findall(text) if len(run) > 1]
    for (number, _), words in zip(runs, cut([run for _, run in runs]) if runs else [], strict=True):
        found[number].update(word for word in words if len(word) <= _LONGEST)
    return [frozenset(words - COMMON) for words in found]


def telling(told: Sequence[frozenset[str]], usual: Iterable[str], known: Iterable[str] = ()) -> list[WordCount]:
    """The words that tell the stories `told` from texts that are `usual`, at most MOST; [] for fewer than two stories.

    told: as `said` has them; known: what is said elsewhere, such as the names of the companies: their words are left out
    """
    if len(told) < 2:
        return []
    texts = [(text, _english(text)) for text in map(_folded, usual)]
    one = _singulars(word for words in (*told, *(words for _, words in texts)) for word in words)
    counts = Counter(word for words in told for word in {one.get(each, each) for each in words})
    before = Counter(word for _, words in texts for word in {one.get(each, each) for each in words})
    names = [_folded(name) for name in known]
    least = max(2, math.ceil(LEAST_SHARE * len(told)))
    weights: dict[str, float] = {}
    for word, stories in counts.items():
        if stories < least or any(_names(name, word) for name in names):
            continue
        usually = sum(word in text for text, _ in texts) if _HAN.match(word) else before[word]
        lift = stories / len(told) * (len(texts) + UNSEEN[1]) / (usually + UNSEEN[0])
        if lift >= LEAST_LIFT:
            weights[word] = stories / len(told) * math.log(lift)
    best = sorted(weights, key=lambda word: (-weights[word], word))[:MOST]
    return [WordCount(word=word, stories=counts[word]) for word in best]


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", _MARKUP.sub(" ", text[:CHARS])).lower().replace("’", "'")


def _english(folded: str) -> set[str]:
    words = (word.removesuffix("'s") for word in _LATIN.findall(folded))
    return {word for word in words if _SHORTEST <= len(word) <= _LONGEST}


def _singulars(words: Iterable[str]) -> dict[str, str]:
    """English words that are another one of these and an s, to that other one: losses to loss, bonds to bond."""
    every = {word for word in words if len(word) >= _SHORTEST}
    found = {word + end: word for end in ("es", "s") for word in every if word + end in every}
    return {word: found.get(one, one) for word, one in found.items()}


def _names(name: str, word: str) -> bool:
    """Whether `word` is one of a name's: of its letters where it is Chinese, else of its words."""
    return word in name if _HAN.match(word) else word in _LATIN.findall(name)
