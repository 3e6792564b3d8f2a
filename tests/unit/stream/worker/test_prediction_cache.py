"""Identical texts are scored once, and nothing else is taken for identical."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from core.errors import ModelError
from models.inference.classifier import Document, Prediction, SentimentProbabilities
from models.inference.keyword import KeywordClassifier
from stream.worker.prediction_cache import PredictionCache, cache_key


class Counting(KeywordClassifier):
    """Counts what it reads."""

    def __init__(self, version: str = "counting-1") -> None:
        super().__init__()
        self.name = version
        self.read: list[Document] = []

    @property
    def version(self) -> str:
        return self.name

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        self.read += documents
        return super().classify(documents)


BAD, GOOD = Document("", "公司债券违约", "zh"), Document("", "Profit jumps to a record", "en")


def test_each_text_is_read_once_and_all_are_answered_in_order():
    memo, model = PredictionCache(), Counting()
    first = memo.classify(model, [BAD, GOOD, BAD])
    second = memo.classify(model, [GOOD, BAD])
    assert model.read == [BAD, GOOD]
    assert first == [*second[::-1], second[1]]
    assert first == KeywordClassifier().classify([BAD, GOOD, BAD])


def test_another_version_another_company_and_another_genre_are_other_questions():
    documents = [BAD, Document("", BAD.text, "zh", ("公司",)), Document("", BAD.text, "zh", (), "social"), Document(BAD.text, "", "zh")]
    assert len({cache_key(version, document) for version in ("a", "b") for document in documents}) == 8
    memo, old, new = PredictionCache(), Counting("old"), Counting("new")
    memo.classify(old, [BAD])
    memo.classify(new, [BAD])
    assert new.read == [BAD]


def test_the_oldest_is_forgotten_first():
    memo, model = PredictionCache(capacity=2), Counting()
    third = Document("", "third")
    for document in (BAD, GOOD, BAD, third, BAD, GOOD):
        memo.classify(model, [document])
    assert model.read == [BAD, GOOD, third, GOOD]


def test_a_batch_beyond_the_capacity_is_answered_whole():
    documents = [Document("", f"text {n}") for n in range(50)]
    assert len(PredictionCache(capacity=3).classify(Counting(), documents)) == 50


def test_a_model_that_answers_too_little_is_an_error_and_nothing_is_remembered():
    class Short(Counting):
        def classify(self, documents: Sequence[Document]) -> list[Prediction]:
            return super().classify(documents)[1:]

    memo = PredictionCache()
    with pytest.raises(ModelError, match="0 predictions for 1"):
        memo.classify(Short(), [BAD])
    assert memo.classify(Counting("counting-1"), [BAD])[0].sentiment != SentimentProbabilities(0, 0, 0)
