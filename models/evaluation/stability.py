"""Stability of predictions when only the form of a text changes.

texts ─▶ disguise (models/training/disguise.py) ─▶ classifier ─▶ share of predictions that differ
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from models.inference.classifier import Classifier, Document
from models.training.disguise import DISGUISES


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
