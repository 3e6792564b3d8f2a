"""What a classifier is: the one port between the pipeline and any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable


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
        key of spine.taxonomy to probability
    companies: sentiment towards each of Document.companies, in the same order
    risks: the risk events that apply, key of spine.taxonomy to probability; often none
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
    """A classifier whose model may be another one at the next call (models.champion)."""

    def current(self) -> Classifier:
        """The model of this moment, which does not change any more."""
        ...


def of_now(classifier: Classifier) -> Classifier:
    """What to score one batch with, so that one version scores all of it."""
    return classifier.current() if isinstance(classifier, Changing) else classifier
