"""Caches predictions, so that a text that several agencies publish is classified once.

documents ─▶ cached? ─▶ the others, each once ─▶ model ─▶ predictions in order
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from core import metrics
from models.inference.classifier import Classifier, Document, Prediction, classify_checked

CAPACITY = 20_000  # predictions, about 1 kB each


class PredictionCache:
    """An LRU cache of predictions by model version and document. Not thread-safe."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._cached: OrderedDict[bytes, Prediction] = OrderedDict()

    def classify(self, model: Classifier, documents: Sequence[Document]) -> list[Prediction]:
        """The predictions of `model`, in order; it classifies only uncached documents, each once. Raises as `classify_checked`."""
        keys = [cache_key(model.version, document) for document in documents]
        misses = {key: document for key, document in zip(keys, documents, strict=True) if key not in self._cached}
        predictions = classify_checked(model, list(misses.values())) if misses else []
        metrics.PREDICTION_CACHE.labels("miss").inc(len(misses))
        metrics.PREDICTION_CACHE.labels("hit").inc(len(documents) - len(misses))
        new = dict(zip(misses, predictions, strict=True))
        found = [new[key] if key in new else self._cached[key] for key in keys]
        for key, prediction in zip(keys, found, strict=True):
            self._cached[key] = prediction
            self._cached.move_to_end(key)
        while len(self._cached) > self._capacity:
            self._cached.popitem(last=False)
        return found


def cache_key(version: str, document: Document) -> bytes:
    """16 bytes that identify a document for a version of a model."""
    return hashlib.blake2b(msgspec.msgpack.encode((version, document)), digest_size=16).digest()
