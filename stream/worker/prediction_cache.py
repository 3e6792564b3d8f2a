"""Caches predictions by what the model reads, so that all copies of a text get one prediction, whoever publishes them.

documents in canonical form ─▶ cached? ─▶ the others, each once ─▶ model ─▶ predictions in order

The sentiment towards a company is cached beside the prediction: a copy that names one more company asks the model about that company
only, and its sentiment, topics and materiality are those of the first copy.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import msgspec

from core import metrics
from models.inference.classifier import Classifier, Document, Prediction, SentimentProbabilities, classify_checked

CAPACITY = 20_000  # predictions, about 1 kB each


class _Entry(NamedTuple):
    """A prediction without companies, and the sentiments towards companies."""

    prediction: Prediction
    companies: dict[str, SentimentProbabilities]


class PredictionCache:
    """An LRU cache of predictions by model version and document. Not thread-safe."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._cached: OrderedDict[bytes, _Entry] = OrderedDict()

    def classify(self, model: Classifier, documents: Sequence[Document]) -> list[Prediction]:
        """The predictions of `model`, in order; it classifies only what is not cached, each once. Raises as `classify_checked`."""
        keys = [cache_key(model.version, document) for document in documents]
        entries = {key: self._cached[key] for key in keys if key in self._cached}
        misses: dict[bytes, Document] = {}
        for key, document in zip(keys, documents, strict=True):
            known = entries[key].companies if key in entries else {}
            before = misses.get(key, replace(document, companies=()))
            wanted = (*before.companies, *(name for name in document.companies if name not in known))
            if key not in entries or wanted:
                misses[key] = replace(before, companies=tuple(dict.fromkeys(wanted)))
        predictions = classify_checked(model, list(misses.values())) if misses else []
        metrics.PREDICTION_CACHE.labels("miss").inc(len(misses))
        metrics.PREDICTION_CACHE.labels("hit").inc(len(documents) - len(misses))
        for (key, document), prediction in zip(misses.items(), predictions, strict=True):
            entry = entries.setdefault(key, _Entry(replace(prediction, companies=()), {}))
            entry.companies.update(zip(document.companies, prediction.companies, strict=True))
        found = []
        for key, document in zip(keys, documents, strict=True):
            entry = self._cached[key] = entries[key]
            self._cached.move_to_end(key)
            found.append(replace(entry.prediction, companies=tuple(entry.companies[name] for name in document.companies)))
        while len(self._cached) > self._capacity:
            self._cached.popitem(last=False)
        return found


def cache_key(version: str, document: Document) -> bytes:
    """16 bytes that identify what a version of a model reads of a document, apart from its companies."""
    key = (version, document.title, document.text, document.language, document.genre)
    return hashlib.blake2b(msgspec.msgpack.encode(key), digest_size=16).digest()
