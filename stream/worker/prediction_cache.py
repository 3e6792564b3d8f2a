"""A text that agencies send under ten names is read by the model once.

documents ─▶ known by their digest? ─▶ the rest, each once ─▶ model ─▶ predictions in order
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from core import metrics
from models.inference.classifier import Classifier, Document, Prediction, classify_checked

CAPACITY = 20_000  # predictions, about a kilobyte each


class Memo:
    """Predictions of the texts that were scored last, by model version. Not thread safe."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._known: OrderedDict[bytes, Prediction] = OrderedDict()

    def classify(self, model: Classifier, documents: Sequence[Document]) -> list[Prediction]:
        """What `model` says of each document, in order; only unknown ones are put to it, each once. Raises what `checked` raises."""
        keys = [digest(model.version, document) for document in documents]
        new = {key: document for key, document in zip(keys, documents, strict=True) if key not in self._known}
        predictions = classify_checked(model, list(new.values())) if new else []
        metrics.MEMO.labels("miss").inc(len(new))
        metrics.MEMO.labels("hit").inc(len(documents) - len(new))
        fresh = dict(zip(new, predictions, strict=True))
        found = [fresh[key] if key in fresh else self._known[key] for key in keys]
        for key, prediction in zip(keys, found, strict=True):
            self._known[key] = prediction
            self._known.move_to_end(key)
        while len(self._known) > self._capacity:
            self._known.popitem(last=False)
        return found


def digest(version: str, document: Document) -> bytes:
    """What names a document to a version of a model, in 16 bytes."""
    return hashlib.blake2b(msgspec.msgpack.encode((version, document)), digest_size=16).digest()
