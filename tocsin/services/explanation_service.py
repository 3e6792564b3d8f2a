"""The words behind a score, for the dashboard in the worker's process: asked of the model that scores at the moment."""

from __future__ import annotations

import threading

from core.errors import ModelError
from dashboard.services import Explanation, ExplanationRequest, WordWeight
from models.inference.classifier import Classifier, current_model

TIMEOUT_S = 20.0


class ScoreExplainer:
    """Explains scores, one at a time: an integral takes as much as scoring some dozen texts, and the worker comes first.

    It shares the worker's network, whose forward pass keeps nothing (a test holds both to the same answers at the same time).
    """

    def __init__(self) -> None:
        self._classifier: Classifier | None = None
        self._turn = threading.Lock()

    def use(self, classifier: Classifier) -> None:
        """From now on explain with this one, or with the one that it is at the time."""
        self._classifier = classifier

    def __call__(self, asked: ExplanationRequest) -> Explanation:
        """Raises ModelError while there is no model, for one that is no network of ours, and for a text without words."""
        if self._classifier is None:
            raise ModelError("the model is still being loaded; ask again in some seconds")
        from models.inference.explain import explain
        from models.inference.transformer import TransformerClassifier

        classifier = current_model(self._classifier)
        if not isinstance(classifier, TransformerClassifier):
            raise ModelError(f"the model {classifier.version} is no network of ours; only those can be explained")
        if not self._turn.acquire(timeout=TIMEOUT_S):
            raise ModelError("other texts are being explained; ask again in some seconds")
        try:
            found = explain(classifier, asked.title, asked.text, asked.language, asked.company, genre=asked.genre)
        finally:
            self._turn.release()
        words = tuple(WordWeight(word.start, word.end, word.weight) for word in found.words)
        return Explanation(found.text, words, found.label, found.probability, classifier.version)
