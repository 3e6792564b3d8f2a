"""The shipped model classifies the newswire as intended, which the demo's alert depends on."""

from collections import defaultdict
from datetime import UTC, datetime

import pytest

from core.series import is_negative
from models.inference.classifier import Document
from models.inference.loader import load_classifier
from models.registry.manifest import MANIFEST, shipped
from tocsin.newswire.script import Plan, PublishedArticle, crisis, history

START = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def read_as_negative():
    """Articles with whether the model classifies them as negative, by kind and language."""
    if not (shipped() / MANIFEST).is_file():
        pytest.skip(f"no shipped model in {shipped()}: train one first")
    quiet = list(history(7, START, Plan()))[::3]
    articles = [*quiet, *(article for seed in (7, 8) for article in crisis(seed, START, Plan()))]
    predictions = load_classifier().classify([Document(article.title, article.text, article.language) for article in articles])
    found: dict[tuple[str, str], list[tuple[bool, PublishedArticle]]] = defaultdict(list)
    for article, prediction in zip(articles, predictions, strict=True):
        found[article.kind, article.language].append((is_negative(*prediction.sentiment), article))
    return found


@pytest.mark.parametrize("language", ["en", "zh"])
def test_crisis_stories_are_classified_as_negative(read_as_negative, language):
    read = read_as_negative["crisis", language]
    wrong = [article.title for negative, article in read if not negative]
    assert len(wrong) <= 0.10 * len(read), wrong


@pytest.mark.parametrize("language", ["en", "zh"])
def test_ordinary_stories_are_mostly_not_negative(read_as_negative, language):
    """15 % are negative by design."""
    read = read_as_negative["quiet", language]
    wrong = [article.title for negative, article in read if negative and article.tone != "negative"]
    assert sum(negative for negative, _ in read) <= 0.25 * len(read), wrong
