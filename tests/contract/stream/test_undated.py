"""Articles without a trustworthy time: stored, found and flagged, but never counted as news of now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from prometheus_client import REGISTRY

from core.records import Article, encode
from core.series import MARKET
from ingest.articles import RawArticle, build_article
from ingest.companies.gazetteer import Gazetteer
from models.inference.keyword import KeywordClassifier
from storage.store import Criteria, Store
from stream.detection.limit_rule import LimitRule
from stream.detection.spike_rule import SpikeRule
from stream.retry import DutyCycle
from stream.worker.batches import RawMessage
from stream.worker.pipeline import Pipeline
from tests.helpers.shared_data import shared_dir
from tests.helpers.stores import ARTICLE_TABLES

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
RULES = (
    LimitRule(name="share", kind="negative_share", limit=0.5, series=(MARKET,), window_s=3600, min_stories=3, min_sources=1),
    LimitRule(name="volume", kind="volume", limit=3, series=(MARKET,), window_s=3600, min_sources=1),
)
WORDS = ("warehouse", "insurer", "retailer", "shipyard", "brewery", "refinery")


@pytest.fixture(autouse=True)
def empty(store: Store) -> None:
    for table in (*ARTICLE_TABLES, "rollups", "dirty_hours", "rollup_watermarks"):
        store.client.command(f"TRUNCATE TABLE {table}")


def items(published: str) -> list[Article]:
    return [
        build_article(
            RawArticle(source="feed", title=f"{word.title()} {n} files for bankruptcy after default", guid=word, published=published),
            fetched_at=NOW,
            zone=UTC,
            gazetteer=Gazetteer([]),
        )
        for n, word in enumerate(WORDS)
    ]


def watched(store: Store, articles: list[Article]) -> set[str]:
    """Names of the rules that raise an alert about these articles, live and after a restart."""
    names: set[str] = set()
    pipeline = Pipeline(KeywordClassifier(), store, SpikeRule(warmup_s=0), duty_cycle=DutyCycle(share=1.0), limit_rules=RULES)
    batch = pipeline.score([RawMessage("articles", 0, n, a.id.encode(), encode(a)) for n, a in enumerate(articles)], NOW)
    names |= {alert.rule for alert in pipeline.watch(batch.scores, NOW + timedelta(minutes=1))}
    names |= {alert.rule for alert in pipeline.catch_up(NOW + timedelta(minutes=1))}
    pipeline.close()
    return names


@pytest.mark.parametrize("published", ["", "sometime soon", "05/03/2024", "Mon, 30 Nov 2099 03:00:00 GMT"])
def test_articles_without_a_trustworthy_time_raise_no_alert_and_are_shown(store: Store, published: str):
    before = REGISTRY.get_sample_value("tocsin_undated_total", {"source": "feed"}) or 0
    articles = items(published)
    assert {article.flags for article in articles} == {("date",)}
    assert watched(store, articles) == set()
    assert store.mentions.window_counts(MARKET, NOW - DAY, NOW + DAY, 3600) == []
    assert store.mentions.sentiment([MARKET], NOW - DAY, NOW + DAY, 3600) == []
    assert store.as_of.sentiment(MARKET, NOW - DAY, NOW + DAY, 3600) == []
    found = store.search.find(Criteria(), NOW - DAY, NOW + DAY, 9).articles
    assert [(row.flags, row.has_time) for row in found] == [(("date",), False)] * len(WORDS)
    assert {score.counts for score in store.articles.scores([a.id for a in articles], NOW - DAY, NOW + DAY)} == {False}
    assert store.health.left_out(NOW - DAY) == store.health.undated(NOW - DAY) == {"feed": len(WORDS)}
    assert (REGISTRY.get_sample_value("tocsin_undated_total", {"source": "feed"}) or 0) - before == len(WORDS)


def test_the_same_articles_with_a_time_do_raise_it(store: Store):
    assert watched(store, items("3 minutes ago")) == {"share", "volume"}
    assert store.health.undated(NOW - DAY) == {}


def test_old_articles_with_an_american_zone_are_old(store: Store):
    assert watched(store, items("Fri, 01 Mar 2024 16:05:00 ET")) == set()
    (row,) = store.mentions.window_counts(MARKET, datetime(2024, 3, 1, 21, tzinfo=UTC), datetime(2024, 3, 1, 22, tzinfo=UTC), 3600)
    assert row.total == len(WORDS)


@pytest.mark.parametrize("together", [True, False])
def test_a_copy_with_a_time_founds_the_story_that_counts(store: Store, together: bool):
    """Otherwise an undated copy that comes first would hide a story from every count."""
    undated = items("")
    dated = [msgspec.structs.replace(article, id=article.id[::-1], source="wire", flags=()) for article in undated]
    if together:
        assert watched(store, [*undated, *dated]) == {"share", "volume"}
    else:
        assert watched(store, undated) == set()
        assert watched(store, dated) == {"share", "volume"}
    assert sum(store.mentions.minutes([MARKET], NOW - DAY, NOW + DAY)[MARKET].stories) == len(WORDS)


def test_the_feed_of_the_case_is_history(store: Store):
    from ingest.crawl import feeds

    entries = feeds.parse((shared_dir() / "cases/05_unreadable_date_becomes_now/feed.xml").read_bytes(), url="http://127.0.0.1/feed")
    raw = [RawArticle(source="feed", title=e.title, guid=e.guid, published=e.published) for e in entries]
    articles = [build_article(each, fetched_at=NOW, zone=UTC, gazetteer=Gazetteer([])) for each in raw]
    assert [f"{article.published_at:%Y-%m-%d %H:%M}" for article in articles] == [f"2024-03-0{day} 21:05" for day in range(1, 7)]
    assert watched(store, articles) == set()
