"""Articles that do not bear on prices, through the pipeline with a real store and without Kafka."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import REGISTRY

from core.errors import ModelError
from core.records import Article, MaterialityScore, Score, decode, encode
from core.series import MARKET
from models.inference.classifier import Document, Materiality, Prediction
from models.inference.keyword import KeywordClassifier
from storage.store import MinuteCounts, Store
from stream.detection.limit_rule import LimitRule
from stream.detection.spike_rule import SpikeRule
from stream.retry import DutyCycle
from stream.worker.batches import RawMessage
from stream.worker.pipeline import Pipeline
from tests.helpers.stores import ARTICLE_TABLES, migrated_store
from tests.helpers.worker import article

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
RULE = SpikeRule(warmup_s=3600, false_per_week=100)
FULL_DUTY = DutyCycle(share=1.0)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with migrated_store(tmp_path_factory.mktemp("materiality")) as store:
        yield store


@pytest.fixture
def store(opened: Store) -> Store:
    for table in ARTICLE_TABLES:
        opened.client.command(f"TRUNCATE TABLE {table}")
    return opened


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def raws(articles: Sequence[Article]) -> list[RawMessage]:
    return [RawMessage("articles", 0, n, item.id.encode(), encode(item)) for n, item in enumerate(articles)]


def crisis() -> list[Article]:
    return [article(f"crisis-{n}", bad=True, published_at=at(0.8 * n), source=f"s{n % 4}") for n in range(25)]


def store_calm(store: Store) -> None:
    """Thirty hours without bad news, from a model that does not predict materiality."""
    calm = [article(f"calm-{n}", bad=False, published_at=at(-60 * n - 60), source=f"s{n % 4}") for n in range(30)]
    pipeline = Pipeline(KeywordClassifier(), store, RULE, duty_cycle=FULL_DUTY)
    pipeline.score(raws(calm), at(-30))
    pipeline.close()


class GradingClassifier(KeywordClassifier):
    """Predicts the same materiality for each document."""

    version = "grading-1"

    def __init__(self, levels: Materiality) -> None:
        self.levels = levels

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        return [replace(found, materiality=self.levels) for found in super().classify(documents)]


SPORT, ECONOMY = Materiality(0.5, 0.125, 0.0), Materiality(1.0, 0.875, 0.25)


@pytest.mark.parametrize(("levels", "raised"), [(SPORT, False), (ECONOMY, True)])
def test_a_crisis_in_articles_that_do_not_bear_on_prices_raises_no_alert_and_is_counted(store: Store, levels: Materiality, raised: bool):
    before = {language: REGISTRY.get_sample_value("tocsin_not_material_total", {"language": language}) or 0 for language in ("en", "zh")}
    store_calm(store)
    pipeline = Pipeline(GradingClassifier(levels), store, RULE, duty_cycle=FULL_DUTY)
    batch = pipeline.score(raws(crisis()), at(21))
    assert {score.materiality for score in batch.scores} == {
        MaterialityScore(p_background=levels.background, p_relevant=levels.relevant, p_urgent=levels.urgent)
    }
    assert [decode(encode(score), Score) for score in batch.scores] == batch.scores, "as the record on Kafka"
    again = pipeline.score(raws(crisis()), at(21))
    assert (again.repeated, {score.materiality for score in again.scores}) == (25, {score.materiality for score in batch.scores})
    alerts = pipeline.watch(batch.scores, at(21))
    pipeline.close()
    assert bool(alerts) == raised
    counts = store.mentions.minutes([MARKET], at(0), at(30)).get(MARKET, MinuteCounts([], [], [], []))
    assert sum(counts.negative) == (25 if raised else 0)
    left_out = sum(
        (REGISTRY.get_sample_value("tocsin_not_material_total", {"language": language}) or 0) - n for language, n in before.items()
    )
    assert left_out == (0 if raised else 25)
    assert store.articles.totals().articles == 55


def test_a_rule_with_a_limit_of_its_own_counts_by_it(store: Store):
    """A desk that follows politics too asks for everything; another one for what is likely to matter."""
    store_calm(store)
    rules = [
        LimitRule(name=f"from {least}", kind="volume", limit=20, series=("market:all",), min_materiality=least) for least in (0.0, 0.1, 0.9)
    ]
    pipeline = Pipeline(GradingClassifier(SPORT), store, RULE, duty_cycle=FULL_DUTY, limit_rules=rules)
    alerts = pipeline.watch(pipeline.score(raws(crisis()), at(21)).scores, at(21))
    pipeline.close()
    assert {(alert.rule, alert.min_materiality) for alert in alerts} == {("from 0.0", 0.0), ("from 0.1", 0.1)}
    assert all(alert.total >= 20 and alert.evidence and alert.why for alert in alerts)
    restarted = Pipeline(GradingClassifier(SPORT), store, RULE, duty_cycle=FULL_DUTY, limit_rules=rules)
    assert {alert.id for alert in restarted.catch_up(at(21))} == {alert.id for alert in alerts}
    restarted.close()


@pytest.mark.parametrize("levels", [Materiality(0.5, 0.75, 0.0), Materiality(1.5, 0.5, 0.0), Materiality(math.nan, math.nan, math.nan)])
def test_levels_that_are_no_probabilities_are_a_fault_of_the_model(store: Store, levels: Materiality):
    with pytest.raises(ModelError, match="materiality"):
        Pipeline(GradingClassifier(levels), store, RULE).score(raws(crisis()[:1]), at(1))
