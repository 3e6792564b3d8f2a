"""Queries of model monitoring, over both ClickHouse clients."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.records import sha
from storage.store import DailyPredictions, Label, ModelUse, Store
from tests.helpers.stores import NOON, save, scored_article

DAY = NOON.replace(hour=0)
NEWS = (
    scored_article("bad", "a", p=(0.8, 0.1, 0.1)),
    scored_article("worst of three", "b", p=(0.4, 0.3, 0.3)),
    scored_article("good", "c", p=(0.1, 0.2, 0.7), language="zh"),
    scored_article("flat", "d", p=(0.2, 0.6, 0.2), language="zh"),
    scored_article("before", "e", minutes=-24 * 60, p=(0.1, 0.8, 0.1)),
)


@pytest.fixture(scope="module")
def filled(store: Store) -> Store:
    for table in ("articles", "article_keys", "mentions", "labels"):
        store.client.command(f"TRUNCATE TABLE {table}")
    save(store, *NEWS)
    save(store, *NEWS)  # twice is once
    return store


def test_days_count_each_article_once_by_its_likeliest_sentiment(filled: Store):
    found = filled.quality.days(DAY - timedelta(days=1), DAY + timedelta(days=1))
    assert [each._replace(confidence=round(each.confidence, 4)) for each in found] == [
        DailyPredictions(DAY - timedelta(days=1), "en", 1, 0, 0, 0.8),
        DailyPredictions(DAY, "en", 2, 2, 0, 1.2),
        DailyPredictions(DAY, "zh", 2, 0, 1, 1.3),
    ]
    assert [each.neutral for each in found] == [1, 0, 1]
    assert filled.quality.days(DAY + timedelta(days=1), DAY + timedelta(days=9)) == []


def test_a_newer_model_replaces_the_predictions_and_both_are_in_use(filled: Store):
    save(filled, scored_article("bad", "a", p=(0.1, 0.1, 0.8), model="m2"))
    today = filled.quality.days(DAY, DAY + timedelta(days=1))[0]
    assert (today.articles, today.negative, today.positive) == (2, 1, 1)
    assert filled.quality.model_uses(DAY) == [ModelUse("m1", 4, NOON), ModelUse("m2", 1, NOON)]
    assert filled.quality.model_uses(NOON + timedelta(days=9)) == []


def test_labels_are_paired_with_the_prediction_that_was_shown(filled: Store):
    save(
        filled, scored_article("named", "Acme falls", companies={"ACME": ("Acme", "autos", 0.9)}, p=(0.2, 0.7, 0.1), topics={"credit": 0.8})
    )

    def label(name: str, task: str, *labels: str, minute: int, model: str = "m1", company: str = "") -> Label:
        at = NOON + timedelta(minutes=minute)
        return Label(id=sha(name), task=task, labels=labels, author="王芳", model=model, labelled_at=at, company=company)  # type: ignore[arg-type]

    filled.labels.add(
        [
            label("bad", "sentiment", "neutral", minute=1),
            label("bad", "topic", "credit", "macro", minute=2, model="m2"),
            label("named", "sentiment", "negative", minute=3, company="ACME"),
            label("named", "sentiment", "neutral", minute=4),
            label("good", "sentiment", "positive", minute=5, model=""),  # nobody had looked
            label("good", "topic", "macro", minute=6, model="m7"),  # a score that is gone
            label("gone", "sentiment", "negative", minute=7),
        ]
    )
    found = filled.quality.labelled_predictions(100)
    assert [(each.task, each.labels, each.model, each.language) for each in found] == [
        ("sentiment", ("neutral",), "m1", "en"),
        ("sentiment", ("negative",), "m1", "en"),
        ("topic", ("credit", "macro"), "m2", "en"),
        ("sentiment", ("neutral",), "m1", "en"),
    ]
    assert [tuple(round(p, 3) for p in each.predicted) for each in found] == [
        (0.2, 0.7, 0.1),
        (0.9, 0.0, 0.1),
        (0.1, 0.1, 0.8),
        (0.8, 0.1, 0.1),
    ]
    assert [each.topics for each in found] == [("credit",)] * 4
    assert len(filled.quality.labelled_predictions(3)) == 1, "the newest only"
