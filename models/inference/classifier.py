"""What a classifier is: the one port between the pipeline and any model.

Does a classifier still say what any classifier may say? Asked of every answer, and of a model before anything is blamed on its input.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

from core.errors import ModelError


@dataclass(frozen=True, slots=True)
class Document:
    """What a classifier reads.

    companies: surface names as they stand in the text, each to be scored by itself
    genre: "news", "social" or "filing"
    """

    title: str
    text: str
    language: str = "en"
    companies: tuple[str, ...] = ()
    genre: str = "news"


class Sentiment(NamedTuple):
    """Calibrated probabilities; they sum to 1."""

    negative: float
    neutral: float
    positive: float

    @property
    def tone(self) -> float:
        """In [-1, 1]: how much more likely positive is than negative."""
        return self.positive - self.negative


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a classifier says of one document.

    topics: the topics that apply (probability at or over the head's threshold, the best one at least),
        key of core.taxonomy to probability
    companies: sentiment towards each of Document.companies, in the same order
    risks: the risk events that apply, key of core.taxonomy to probability; often none
    """

    sentiment: Sentiment
    topics: Mapping[str, float]
    companies: tuple[Sentiment, ...] = field(default=())
    risks: Mapping[str, float] = field(default_factory=dict)


class Classifier(Protocol):
    """Labels documents. Not thread safe: one thread at a time."""

    @property
    def version(self) -> str:
        """Names the model in every score, such as "tocsin-small-1"."""
        ...

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        """One prediction per document, in order. The result of a document does not depend on its batch.

        An empty document is neutral. Raises ModelError.
        """
        ...


@runtime_checkable
class Changing(Protocol):
    """A classifier whose model may be another one at the next call (models.inference.champion)."""

    def current(self) -> Classifier:
        """The model of this moment, which does not change any more."""
        ...


def of_now(classifier: Classifier) -> Classifier:
    """What to score one batch with, so that one version scores all of it."""
    return classifier.current() if isinstance(classifier, Changing) else classifier


TRIAL = (Document("Lender defaults on its bonds", "", "en", ("Lender",)), Document("某公司债券违约，股票停牌", "", "zh"), Document("", ""))
"""Real sentences: an empty text is answered without the network."""


def flaw(prediction: Prediction, companies: int) -> str:
    """What is wrong with a prediction for a document with so many companies; "" when nothing is."""
    if len(prediction.companies) != companies:
        return f"{len(prediction.companies)} company sentiments for {companies} companies"
    for sentiment in (prediction.sentiment, *prediction.companies):
        if not (all(-1e-3 <= p <= 1.001 for p in sentiment) and abs(sum(sentiment) - 1.0) <= 1e-2):  # false for NaN too
            return f"probabilities {tuple(sentiment)} do not sum to 1"
    for head, said in (("topic", prediction.topics), ("risk event", prediction.risks)):
        wrong = [key for key, p in said.items() if not -1e-3 <= p <= 1.001]
        if wrong:
            return f"probability of {head} {wrong[0]}: {said[wrong[0]]}"
    return ""


def checked(model: Classifier, documents: Sequence[Document]) -> list[Prediction]:
    """What `model` says of each document. Raises ModelError when it is not what any model may say, and what the model raises."""
    predictions = model.classify(documents)
    if len(predictions) != len(documents):
        raise ModelError(f"model {model.version} gave {len(predictions)} predictions for {len(documents)} documents")
    for document, prediction in zip(documents, predictions, strict=True):
        wrong = flaw(prediction, len(document.companies))
        if wrong:
            raise ModelError(f"model {model.version}: {wrong}")
    return predictions


def prove(model: Classifier) -> None:
    """Nothing when `model` reads a few clear sentences as any model must. Raises ModelError."""
    try:
        checked(model, TRIAL)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"model {model.version} cannot read {TRIAL[0].title!r} ({type(error).__name__}: {error})") from error


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
