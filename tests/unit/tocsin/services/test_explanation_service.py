"""Explanations of scores on the dashboard, by the worker's own model."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from core.errors import ModelError
from dashboard.services import ExplanationRequest
from models.inference.classifier import Document
from models.inference.explain import explain
from models.inference.keyword import KeywordClassifier
from models.inference.transformer import TransformerClassifier
from tests.helpers.tiny_model import tiny_classifier, tiny_network
from tocsin.services.explanation_service import ScoreExplainer

REQUEST = ExplanationRequest("远舟控股公司债券违约", "Shares halted.", "zh", "news", "远舟控股")


@pytest.fixture(scope="module")
def tiny() -> TransformerClassifier:
    network = tiny_network(seed=2)
    with torch.no_grad():
        network.head("sentiment").weight.mul_(5)
    return tiny_classifier(network)


class Follows:
    """As models.inference.champion does it: another model from one moment to the next."""

    def __init__(self, first: TransformerClassifier) -> None:
        self.model = first

    def current(self) -> TransformerClassifier:
        return self.model

    @property
    def version(self) -> str:
        return self.model.version

    def classify(self, documents: list[Document]) -> object:
        return self.model.classify(documents)


def test_it_gives_the_result_of_tocsin_explain(tiny: TransformerClassifier):
    explainer = ScoreExplainer()
    explainer.use(tiny)
    found = explainer(REQUEST)
    expected = explain(tiny, REQUEST.title, REQUEST.text, "zh", "远舟控股")
    assert (found.text, found.label, found.probability, found.model) == (expected.text, expected.label, expected.probability, "tiny")
    assert [(word.start, word.end) for word in found.words] == [(word.start, word.end) for word in expected.words]
    assert [word.weight for word in found.words] == pytest.approx([word.weight for word in expected.words], abs=1e-4)


def test_it_fails_without_a_model_or_with_an_unsupported_one(tiny: TransformerClassifier):
    explainer = ScoreExplainer()
    with pytest.raises(ModelError, match="still loading"):
        explainer(REQUEST)
    explainer.use(KeywordClassifier())
    with pytest.raises(ModelError, match="not a network trained by Tocsin"):
        explainer(REQUEST)
    explainer.use(tiny)
    with pytest.raises(ModelError, match="nothing to explain"):
        explainer(ExplanationRequest("", "", "en", "news"))
    assert explainer(REQUEST).words


def test_the_current_champion_explains(tiny: TransformerClassifier):
    explainer, follows = ScoreExplainer(), Follows(tiny)
    explainer.use(follows)  # type: ignore[arg-type]
    assert explainer(REQUEST).model == "tiny"
    follows.model = tiny_classifier(tiny_network(seed=5), version="next")
    assert explainer(REQUEST).model == "next"


def test_concurrent_scoring_and_explaining_do_not_interfere(tiny: TransformerClassifier):
    """The worker scores in one thread and a viewer asks in another: both results are the same as alone."""
    explainer = ScoreExplainer()
    explainer.use(tiny)
    documents = [Document(f"Acme misses payment {n}", "Shares halted after default. " * (n % 7), "en") for n in range(24)]
    alone, why = [item.sentiment for item in tiny.classify(documents)], explainer(REQUEST)
    with ThreadPoolExecutor(2) as pool:
        scored = pool.submit(lambda: [[item.sentiment for item in tiny.classify(documents)] for _ in range(8)])
        explained = pool.submit(lambda: [explainer(REQUEST) for _ in range(8)])
        for sentiments in scored.result(120):
            assert [tuple(item) for item in sentiments] == [pytest.approx(tuple(item), abs=1e-4) for item in alone]
        for found in explained.result(120):
            assert [word.weight for word in found.words] == pytest.approx([word.weight for word in why.words], abs=1e-4)
