"""Explains scores with the worker's current model, for the dashboard in the same process."""

from __future__ import annotations

import threading

from core.errors import ModelError
from dashboard.services import Explanation, ExplanationRequest, WordWeight
from models.inference.classifier import Classifier, current_model

TIMEOUT_S = 20.0


class ScoreExplainer:
    """Implements dashboard.services.ExplanationService, one request at a time: one costs as much as classifying some dozen texts.

    It shares the worker's network, whose forward pass keeps no state (a test runs both at the same time).
    """

    def __init__(self) -> None:
        self._classifier: Classifier | None = None
        self._turn = threading.Lock()

    def use(self, classifier: Classifier) -> None:
        """Set the classifier; if it follows the champion, the current one explains."""
        self._classifier = classifier

    def __call__(self, request: ExplanationRequest) -> Explanation:
        """Raises ModelError without a model, for a model that is not one of our networks, and for a text without words."""
        if self._classifier is None:
            raise ModelError("the model is still loading; try again in a few seconds")
        from models.inference.explain import explain
        from models.inference.transformer import TransformerClassifier

        classifier = current_model(self._classifier)
        if not isinstance(classifier, TransformerClassifier):
            raise ModelError(f"the model {classifier.version} does not support explanations, because it is not a network trained by Tocsin")
        if not self._turn.acquire(timeout=TIMEOUT_S):
            raise ModelError("another explanation is being computed; try again in a few seconds")
        try:
            found = explain(classifier, request.title, request.text, request.language, request.company, genre=request.genre)
        finally:
            self._turn.release()
        words = tuple(WordWeight(word.start, word.end, word.weight) for word in found.words)
        return Explanation(found.text, words, found.label, found.probability, classifier.version)
