"""The worker's guard on sources over a store: what stands out is logged once and shown as a metric."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

import msgspec
import pytest
import structlog
from prometheus_client import REGISTRY

from core.errors import StoreUnavailable
from core.records import Scored
from stats.source_shares import ShareCount
from storage.store import Store
from stream.detection.sentiment_guard import INTERVAL, SentimentGuard
from tests.helpers.stores import NOON, save, scored


@pytest.fixture(autouse=True)
def empty(store: Store) -> None:
    for table in ("articles", "article_keys", "mentions"):
        store.client.command(f"TRUNCATE TABLE {table}")


def published(source: str, count: int, negative: int, language: Literal["en", "zh"]) -> list[Scored]:
    found = [
        scored(
            f"{source} {language} {n}",
            minutes=-10 * n,
            source=source,
            negative=0.9 if n * negative // count < (n + 1) * negative // count else 0.1,
        )
        for n in range(count)
    ]
    return [msgspec.structs.replace(item, score=msgspec.structs.replace(item.score, language=language)) for item in found]


def share_of(source: str, language: str, window: str) -> float | None:
    return REGISTRY.get_sample_value("tocsin_source_negative_share", {"source": source, "language": language, "window": window})


def outlier(source: str, language: str, window: str) -> float | None:
    return REGISTRY.get_sample_value("tocsin_source_sentiment_outlier", {"source": source, "language": language, "window": window})


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_source_whose_every_article_is_negative_is_logged_once(store: Store, language: Literal["en", "zh"]):
    gloomy, small = "阴云财经", "few"
    save(
        store,
        *published(gloomy, 60, 60, language),
        *published(small, 12, 12, language),
        *published("plain", 90, 27, language),
        *published("usual", 80, 28, language),
    )
    guard = SentimentGuard(store.health)
    with structlog.testing.capture_logs() as lines:
        guard.poll(NOON)
        guard.poll(NOON + INTERVAL)
    found = [line for line in lines if line["event"] == "source_sentiment_outlier"]
    assert [(line["source"], line["language"], line["window"], line["articles"]) for line in found] == [
        (gloomy, language, "24h", 60),
        (gloomy, language, "7d", 60),
    ]
    assert found[0]["negative_share"] == 1.0 and 0.3 < found[0]["others"] < 0.45 and found[0]["log_level"] == "warning"
    assert share_of(gloomy, language, "24h") == 1.0 and outlier(gloomy, language, "24h") == 1
    assert share_of(small, language, "7d") == 1.0 and outlier(small, language, "7d") == 0, "a small sample is shown and does not warn"
    with structlog.testing.capture_logs() as lines:
        assert {share.source for share in SentimentGuard(store.health).poll(NOON)} == {gloomy}, "a restarted worker logs it again"
    with structlog.testing.capture_logs() as lines:
        guard.poll(NOON + timedelta(days=9))
    assert lines == [] and share_of(gloomy, language, "7d") is None


def test_a_failure_of_the_store_is_logged_and_the_next_comparison_follows(store: Store):
    class Failing:
        down = True

        def source_sentiment(self, _now: Any) -> dict[str, list[ShareCount]]:
            if self.down:
                raise StoreUnavailable("no answer")
            return {"24h": [ShareCount("a", "en", 100, 100), ShareCount("b", "en", 100, 0)]}

    health = Failing()
    guard = SentimentGuard(health)  # type: ignore[arg-type]
    with structlog.testing.capture_logs() as lines:
        assert guard.poll(NOON) == []
    assert [line["event"] for line in lines] == ["source_sentiment_not_compared"]
    health.down = False
    assert guard.poll(NOON + INTERVAL / 2) == []
    assert [share.source for share in guard.poll(NOON + INTERVAL)] == ["a", "b"]
