"""Benchmark of explanations by deletion: how fast a class loses its probability when words are deleted by weight.

    explanation ─▶ words by descending weight ─▶ the text without the first 1, 2, ... half of them ─▶ probabilities ─▶ mean drop
    the same with words in random order, for comparison

The mean drop is the area over the perturbation curve of Samek et al. (2017), Evaluating the visualization of what a deep neural
network has learned, with words instead of pixels.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import fmean

import msgspec
import numpy as np

from models.heads import SENTIMENTS
from models.inference.explain import PredictionExplanation, Word, explain
from models.inference.transformer import TransformerClassifier
from models.templates import FilledTemplate

RANDOM_ORDERS = 3


class DeletionResult(msgspec.Struct, frozen=True):
    """Mean drop of the probability of the predicted class, over n texts of a language.

    by_weight, random_order: mean drop with words deleted by descending weight, and in random order
    better_share: share of the texts with by_weight > random_order
    """

    language: str
    n: int
    by_weight: float
    random_order: float
    better_share: float


def measure_deletion(classifier: TransformerClassifier, texts: Sequence[FilledTemplate], rng: random.Random) -> list[DeletionResult]:
    """Measure deletion for the most probable sentiment of each text, by language. Raises ModelError."""
    drops: dict[str, list[tuple[float, float]]] = {}
    for filled in texts:
        found = explain(classifier, filled.text, "", filled.language)
        heaviest = sorted(found.words, key=lambda word: -word.weight)
        orders = [heaviest, *(rng.sample(found.words, len(found.words)) for _ in range(RANDOM_ORDERS))]
        by_weight, *others = mean_drops(classifier, found, filled.language, orders)
        drops.setdefault(filled.language, []).append((by_weight, fmean(others)))
    return [
        DeletionResult(
            language,
            len(pairs),
            fmean(by_weight for by_weight, _ in pairs),
            fmean(random_order for _, random_order in pairs),
            fmean(by_weight > random_order for by_weight, random_order in pairs),
        )
        for language, pairs in sorted(drops.items())
    ]


def mean_drops(
    classifier: TransformerClassifier, found: PredictionExplanation, language: str, orders: Sequence[Sequence[Word]]
) -> list[float]:
    """Mean loss of probability for each order of the words, over deletions of the first 1, 2, ... half of them.

    Only for sentiment without a company, because a deletion could remove the company's name.
    """
    half = max(1, len(found.words) // 2)
    texts = [without_words(found.text, order[: k + 1]) for order in orders for k in range(half)]
    logits = classifier.logits([(text, "") for text in texts])[found.head].astype(np.float64) / classifier.temperature(found.head, language)
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    left = probabilities[:, SENTIMENTS.index(found.label)].reshape(len(orders), half)
    return [float(value) for value in found.probability - left.mean(1)]


def without_words(text: str, words: Sequence[Word]) -> str:
    """The text without these words."""
    parts, at = [], 0
    for word in sorted(words):
        parts.append(text[at : word.start])
        at = word.end
    return "".join([*parts, text[at:]])
