"""One classifier for several threads: each has its turn. The worker and the API share a model, and its memory, so."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from models.inference.classifier import Classifier, Document, Prediction, of_now


class InTurn:
    """A Classifier that threads may share; one call waits for the other."""

    def __init__(self, classifier: Classifier, lock: threading.Lock | None = None) -> None:
        self._classifier = classifier
        self._lock = lock or threading.Lock()

    def current(self) -> Classifier:
        """The model of this moment, still in turn with all others."""
        return InTurn(of_now(self._classifier), self._lock)

    @property
    def version(self) -> str:
        """That of the classifier."""
        return self._classifier.version

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        """As the classifier's."""
        with self._lock:
            return self._classifier.classify(documents)
