"""A promotion while the pipeline scores and stores: nothing is lost, duplicated or scored by two versions."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.records import Article, encode, sha
from models.inference.champion import ChampionClassifier
from models.inference.classifier import Document, Prediction
from models.inference.keyword import KeywordClassifier
from models.registry.versions import SHIPPED, Versions
from storage.store import Store
from stream.detection.spike_rule import SpikeRule
from stream.worker.batches import RawMessage
from stream.worker.pipeline import Pipeline
from tests.helpers.stores import migrated_store
from tests.helpers.tiny_model import write_tiny

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Named(KeywordClassifier):
    """A keyword classifier with the name of a version; each call takes a while, so that a change happens during it."""

    def __init__(self, name: str, wait_s: float = 0.0) -> None:
        self._name, self._wait_s = name, wait_s

    @property
    def version(self) -> str:
        return self._name

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        time.sleep(self._wait_s)
        if any("poison" in document.text for document in documents):
            raise ValueError("cannot be read")
        return super().classify(documents)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with migrated_store(tmp_path) as opened:
        yield opened


def article(number: int, text: str = "") -> Article:
    return Article(
        id=sha("swap", str(number)), source="wire", language="en", title=f"Lender {number} defaults", text=text, published_at=NOON,
        fetched_at=NOON,
    )  # fmt: skip


def test_a_promotion_during_scoring_loses_and_duplicates_nothing(store: Store, tmp_path: Path):
    """Some batches have an article on which every model fails: they are scored in halves, and the champion may change between these."""
    versions = Versions(tmp_path / "data", shipped=tmp_path / "shipped")
    for version in (SHIPPED, "v1", "v2"):
        write_tiny(versions.folder(version), version)
    classifier = ChampionClassifier(versions, lambda folder: Named(folder.name, wait_s=0.004), poll_s=0.01)
    pipeline = Pipeline(classifier, store, SpikeRule())
    order = [SHIPPED, "v1", "v2"]
    batches: list[set[str]] = []
    number = 0
    try:
        while classifier.version != "v2" or len(batches) < 30:
            if len(batches) in (8, 16):
                versions.promote(order[len(batches) // 8], now=NOON, why="")
            some = [article(number + n, "poison" if (number + n) % 23 == 22 else "") for n in range(8)]
            raws = [RawMessage("articles", 0, number + n, item.id.encode(), encode(item)) for n, item in enumerate(some)]
            number += 8
            batch = pipeline.score(raws, NOON)
            batches.append({score.model for score in batch.scores})
            assert len(batches) < 2000, "the second version never took over"
    finally:
        pipeline.close()
        classifier.close()
    assert all(len(models) == 1 for models in batches), "one batch, one version"
    used = [models.pop() for models in batches]
    assert used == sorted(used, key=order.index)
    assert set(used) == set(order)
    stored = store.client.query("SELECT id, model FROM articles")
    dead = store.dead_letters.count()
    assert len(stored) == len({row[0] for row in stored}) == number - dead
    assert {row[1] for row in stored} == set(order)
    assert {row[0]: row[1] for row in store.client.query("SELECT id, model FROM article_keys FINAL")} == dict(stored)
    assert store.articles.duplicates() == 0
