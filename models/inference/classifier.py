"""The classifier port: documents in, predictions out; validation of predictions, and a lock for shared use.

Softmax and sigmoid of logits, in fp64, stand here too.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from core.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Document:
    """Input of a classifier.

    companies: company names as written in the text; each gets a sentiment of its own
    genre: "news", "social" or "filing"
    """

    title: str
    text: str
    language: str = "en"
    companies: tuple[str, ...] = ()
    genre: str = "news"


class SentimentProbabilities(NamedTuple):
    """Calibrated probabilities of the three classes; they sum to 1."""

    negative: float
    neutral: float
    positive: float

    @property
    def tone(self) -> float:
        """p(positive) - p(negative), in [-1, 1]."""
        return self.positive - self.negative


class Materiality(NamedTuple):
    """Relevance of a text to prices: calibrated probabilities that its level is at least 1, 2 and 3, in descending order.

    Levels: 0 no company or market is concerned; 1 background; 2 matters to a company, a sector or a market; 3 likely to move
    prices at once.
    """

    background: float
    relevant: float
    urgent: float

    @property
    def level(self) -> int:
        """The highest level with a probability of 0.5 or more."""
        return sum(probability >= 0.5 for probability in self)


@dataclass(frozen=True, slots=True)
class Prediction:
    """Output of a classifier for one document.

    topics: topic key -> probability, for the topics at or over their threshold, and at least the most probable one
    companies: sentiment towards each of Document.companies, in the same order
    risks: risk event key -> probability, for the events at or over their threshold; often empty
    materiality: None if the model has no such head
    """

    sentiment: SentimentProbabilities
    topics: Mapping[str, float]
    companies: tuple[SentimentProbabilities, ...] = field(default=())
    risks: Mapping[str, float] = field(default_factory=dict)
    materiality: Materiality | None = None


class Classifier(Protocol):
    """Classifies documents. Not thread safe."""

    @property
    def version(self) -> str:
        """The model's name, stored with every score, such as "tocsin-small-1"."""
        ...

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        """Classify documents.

        Returns:
            One prediction per document, in order. A document's prediction does not depend on the others. Empty documents are neutral.

        Raises:
            ModelError: the model fails.
        """
        ...


@runtime_checkable
class SwitchableClassifier(Protocol):
    """A classifier whose model may change between two calls (models.inference.champion)."""

    def current(self) -> Classifier:
        """The model in use now; the object returned does not change."""
        ...


def current_model(classifier: Classifier) -> Classifier:
    """The classifier for one batch, so that a single model version scores all of it."""
    return classifier.current() if isinstance(classifier, SwitchableClassifier) else classifier


SMOKE_TEST = (
    Document("Lender defaults on its bonds", "", "en", ("Lender",)),
    Document("某公司债券违约，股票停牌", "", "zh"),
    Document("", ""),
)
"""Includes real sentences, because an empty text is answered without the network."""


def invalid_reason(prediction: Prediction, companies: int) -> str:
    """Why a prediction is invalid for a document with this number of companies; "" when it is valid."""
    if len(prediction.companies) != companies:
        return f"{len(prediction.companies)} company sentiments for {companies} companies"
    for sentiment in (prediction.sentiment, *prediction.companies):
        if not (all(-1e-3 <= p <= 1.001 for p in sentiment) and abs(sum(sentiment) - 1.0) <= 1e-2):  # false for NaN too
            return f"probabilities {tuple(sentiment)} do not sum to 1"
    if prediction.materiality is not None:
        levels = tuple(prediction.materiality)
        if not all(-1e-3 <= p <= 1.001 for p in levels) or any(low < high - 1e-3 for low, high in itertools.pairwise(levels)):
            return f"probabilities of materiality {levels}: expected three in [0, 1], in descending order"
    for head, labels in (("topic", prediction.topics), ("risk event", prediction.risks)):
        wrong = [key for key, p in labels.items() if not -1e-3 <= p <= 1.001]
        if wrong:
            return f"probability of {head} {wrong[0]}: {labels[wrong[0]]}"
    return ""


def classify_checked(model: Classifier, documents: Sequence[Document]) -> list[Prediction]:
    """Classify documents and validate the predictions. Raises ModelError for invalid ones, and whatever the model raises."""
    predictions = model.classify(documents)
    if len(predictions) != len(documents):
        raise ModelError(f"model {model.version} returned {len(predictions)} predictions for {len(documents)} documents")
    for document, prediction in zip(documents, predictions, strict=True):
        wrong = invalid_reason(prediction, len(document.companies))
        if wrong:
            raise ModelError(f"model {model.version}: {wrong}")
    return predictions


def run_smoke_test(model: Classifier) -> None:
    """Check that a model classifies SMOKE_TEST with valid predictions. Raises ModelError."""
    try:
        classify_checked(model, SMOKE_TEST)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"model {model.version} cannot classify {SMOKE_TEST[0].title!r} ({type(error).__name__}: {error})") from error


class LockedClassifier:
    """A classifier that several threads may share: calls run one at a time. The worker and the API share a model and its memory."""

    def __init__(self, classifier: Classifier, lock: threading.Lock | None = None) -> None:
        self._classifier = classifier
        self._lock = lock or threading.Lock()

    def current(self) -> Classifier:
        """The model in use now, behind the same lock."""
        return LockedClassifier(current_model(self._classifier), self._lock)

    @property
    def version(self) -> str:
        """The version of the wrapped classifier."""
        return self._classifier.version

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        """As Classifier.classify."""
        with self._lock:
            return self._classifier.classify(documents)


def softmax(logits: npt.NDArray[Any]) -> Floats:
    """Probabilities (..., C) of mutually exclusive classes from logits (..., C)."""
    import numpy as np

    exact = logits.astype(np.float64)
    weights = np.exp(exact - exact.max(-1, keepdims=True))
    return np.asarray(weights / weights.sum(-1, keepdims=True))


def sigmoid(logits: npt.NDArray[Any]) -> Floats:
    """Probabilities of independent labels from their logits, of any shape."""
    import numpy as np

    return np.asarray(1.0 / (1.0 + np.exp(-logits.astype(np.float64))))
