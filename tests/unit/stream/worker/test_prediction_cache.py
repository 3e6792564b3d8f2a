"""The prediction cache classifies identical documents once, and distinguishes all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from core.errors import ModelError
from models.inference.classifier import Document, Prediction, SentimentProbabilities
from models.inference.keyword import KeywordClassifier
from stream.worker.prediction_cache import PredictionCache, cache_key


class CountingClassifier(KeywordClassifier):
    """classified: all documents it was given"""

    def __init__(self, version: str = "counting-1") -> None:
        super().__init__()
        self.name = version
        self.classified: list[Document] = []

    @property
    def version(self) -> str:
        return self.name

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        self.classified += documents
        return super().classify(documents)


BAD, GOOD = Document("", "公司债券违约", "zh"), Document("", "Profit jumps to a record", "en")


def test_each_document_is_classified_once_and_predictions_are_in_order():
    cache, model = PredictionCache(), CountingClassifier()
    first = cache.classify(model, [BAD, GOOD, BAD])
    second = cache.classify(model, [GOOD, BAD])
    assert model.classified == [BAD, GOOD]
    assert first == [*second[::-1], second[1]]
    assert first == KeywordClassifier().classify([BAD, GOOD, BAD])


def test_version_language_and_genre_are_part_of_the_key_and_companies_are_not():
    documents = [BAD, Document("", BAD.text, "en"), Document("", BAD.text, "zh", (), "social"), Document(BAD.text, "", "zh")]
    assert len({cache_key(version, document) for version in ("a", "b") for document in documents}) == 8
    assert cache_key("a", Document("", BAD.text, "zh", ("公司",))) == cache_key("a", BAD)
    cache, old, new = PredictionCache(), CountingClassifier("old"), CountingClassifier("new")
    cache.classify(old, [BAD])
    cache.classify(new, [BAD])
    assert new.classified == [BAD]


def test_a_copy_that_names_another_company_has_the_same_sentiment_and_asks_about_that_company_only():
    class Unsteady(CountingClassifier):
        """Answers a little differently each time, as a network does whose batches differ."""

        def classify(self, documents: Sequence[Document]) -> list[Prediction]:
            n = len(self.classified)
            return [
                replace(found, sentiment=SentimentProbabilities(0.5 - n / 100, 0.5 + n / 100, 0.0)) for found in super().classify(documents)
            ]

    cache, model = PredictionCache(), Unsteady()
    text = "Acme and Beta agree to merge"
    one, both, none = (Document("", text, "en", companies) for companies in (("Acme",), ("Beta", "Acme"), ()))
    first = cache.classify(model, [one])[0]
    second, third = cache.classify(model, [both, none])
    assert [document.companies for document in model.classified] == [("Acme",), ("Beta",)]
    assert first.sentiment == second.sentiment == third.sentiment
    assert (len(first.companies), len(second.companies), len(third.companies)) == (1, 2, 0)
    assert second.companies[1] == first.companies[0]


def test_the_least_recently_used_entry_is_evicted():
    cache, model = PredictionCache(capacity=2), CountingClassifier()
    third = Document("", "third")
    for document in (BAD, GOOD, BAD, third, BAD, GOOD):
        cache.classify(model, [document])
    assert model.classified == [BAD, GOOD, third, GOOD]


def test_a_batch_larger_than_the_capacity_is_classified_completely():
    documents = [Document("", f"text {n}") for n in range(50)]
    assert len(PredictionCache(capacity=3).classify(CountingClassifier(), documents)) == 50


def test_an_incomplete_prediction_is_an_error_and_is_not_cached():
    class Incomplete(CountingClassifier):
        def classify(self, documents: Sequence[Document]) -> list[Prediction]:
            return super().classify(documents)[1:]

    cache = PredictionCache()
    with pytest.raises(ModelError, match="0 predictions for 1"):
        cache.classify(Incomplete(), [BAD])
    assert cache.classify(CountingClassifier("counting-1"), [BAD])[0].sentiment != SentimentProbabilities(0, 0, 0)
