"""Feeds, visits, heartbeats and operational figures, over both ClickHouse clients."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from core.records import Article, Score, Scored, sha
from storage.store import DeadLetter, Feed, Heartbeat, SourceVisit, Store

NOW = datetime.now(UTC).replace(microsecond=0)
MINUTE = timedelta(minutes=1)
TABLES = ("articles", "article_keys", "mentions", "dead_letters", "dead_letter_states", "feeds", "source_visits", "heartbeats")


@pytest.fixture(autouse=True)
def _empty(store: Store) -> Iterator[None]:
    for table in TABLES:
        store.client.command(f"TRUNCATE TABLE {table}")
    yield


def store_article(store: Store, ident: str, published: datetime, *, source: str = "wire", late_s: int = 10, negative: bool = False) -> None:
    id_, p = sha("article", ident), 0.9 if negative else 0.1
    fetched = published + timedelta(seconds=late_s)
    article = Article(id=id_, source=source, language="en", title=ident, published_at=published, fetched_at=fetched)
    score = Score(
        id=id_, source=source, language="en", published_at=published, story=id_, p_negative=p, p_neutral=0.05, p_positive=0.95 - p,
        topics={}, model="m", scored_at=fetched + timedelta(seconds=2),
    )  # fmt: skip
    made = [Scored(article=article, score=score)]
    store.articles.insert(made)
    store.mentions.insert([score])
    store.articles.insert_keys(made)


def test_feeds_are_added_removed_and_added_again(store: Store):
    feed = Feed(name="财经", url="https://a.example/rss", body='{"name": "财经"}', actor="王芳", at=NOW)
    store.feeds.put(feed)
    store.feeds.put(msgspec.structs.replace(feed, name="b"))
    assert store.feeds.all() == [msgspec.structs.replace(feed, name="b"), feed]
    store.feeds.put(msgspec.structs.replace(feed, removed=True))
    assert [each.name for each in store.feeds.all()] == ["b"]
    store.feeds.put(msgspec.structs.replace(feed, url="https://b.example"))
    assert [each.url for each in store.feeds.all() if each.name == "财经"] == ["https://b.example"]


def test_a_source_has_one_row_with_its_last_visit(store: Store):
    full = SourceVisit(
        source="wire", url="https://a.example", origin="dashboard", interval_s=90.5, at=NOW, outcome="failed", error="x" * 400 + "\ud800",
        entries=7, published=2, skipped={"passed_over": 60, "empty": 1}, failures=3, ok_at=NOW - MINUTE, next_at=NOW + MINUTE,
    )  # fmt: skip
    store.visits.put([SourceVisit(source="wire", url="https://a.example"), SourceVisit(source="b", url="https://b.example")])
    store.visits.put([full])
    blank, found = store.visits.all()
    assert blank == SourceVisit(source="b", url="https://b.example")
    assert found == msgspec.structs.replace(full, error="x" * 300)
    store.visits.put([msgspec.structs.replace(full, listed=False)])
    assert [each.source for each in store.visits.all()] == ["b"]
    store.visits.put([])


def test_processes_have_their_last_heartbeat_and_old_months_are_deleted(store: Store):
    def beat(id_: str, **changes: object) -> Heartbeat:
        made = Heartbeat(id=id_, roles=("work", "dashboard"), host="h", pid=7, version="0.1", started_at=NOW, at=NOW, model="m-3")
        return msgspec.structs.replace(made, **changes)

    old = beat("old", started_at=NOW - timedelta(days=90), at=NOW - timedelta(days=80))
    store.heartbeats.put([beat("a", state="starting", at=NOW - MINUTE), beat("b", waiting=12), old])
    store.heartbeats.put([beat("a")])
    assert store.heartbeats.latest(NOW - timedelta(hours=1)) == [beat("a"), beat("b", waiting=12)]
    assert len(store.heartbeats.latest(NOW - timedelta(days=99))) == 3
    store.heartbeats.forget(NOW)
    assert [each.id for each in store.heartbeats.latest(NOW - timedelta(days=99))] == ["a", "b"]


def test_hours_of_sources_count_by_publication(store: Store):
    hour = (NOW - timedelta(hours=3)).replace(minute=0, second=0)
    store_article(store, "1", hour + MINUTE)
    store_article(store, "2", hour + 5 * MINUTE, negative=True)
    store_article(store, "3", hour + 70 * MINUTE)
    store_article(store, "4", hour + MINUTE, source="海港")
    found = store.health.source_hours(hour, NOW)
    start = int(hour.timestamp())
    assert [(each.source, each.counts) for each in found] == [
        ("wire", {start: (2, 1), start + 3_600: (1, 0)}),
        ("海港", {start: (1, 0)}),
    ]
    assert [each.last_at for each in found] == [hour + 70 * MINUTE, hour + MINUTE]
    assert abs(found[0].stored_at - datetime.now(UTC)) < 5 * MINUTE
    assert [each.counts for each in store.health.source_hours(hour + timedelta(hours=1), NOW)] == [{start + 3_600: (1, 0)}]


def test_latency_is_that_of_news_by_stage_and_archives_are_left_out(store: Store):
    assert store.health.latency(NOW - timedelta(hours=1)).articles == 0
    for n in range(4):
        store_article(store, str(n), NOW - 2 * MINUTE, late_s=60)
    store_article(store, "archive", NOW - timedelta(days=30), late_s=30 * 86_400 - 60)
    found = store.health.latency(NOW - timedelta(hours=1))
    stages = {stage.name: stage for stage in found.stages}
    assert found.articles == 4
    assert (stages["fetch"].p50_s, stages["score"].p99_s) == (60, 2)
    assert stages["whole"].p50_s == pytest.approx(stages["fetch"].p50_s + stages["score"].p50_s + stages["write"].p50_s, abs=0.5)
    (lag,) = store.health.source_lags(NOW - timedelta(days=60)).values()
    assert lag[0] == pytest.approx(stages["whole"].p50_s, abs=1)


def test_throughput_counts_by_the_time_of_writing(store: Store):
    store_article(store, "1", NOW - timedelta(days=300))
    store_article(store, "2", NOW)
    now = datetime.now(UTC)
    found = store.health.stored(now - timedelta(hours=1), now + MINUTE, 300)
    assert sum(count for _, count in found) == 2
    assert all(start.timestamp() % 300 == 0 and now - timedelta(minutes=7) < start <= now for start, _ in found)
    assert store.health.stored(now - timedelta(hours=9), now - timedelta(hours=8), 300) == []


def test_sizes_cover_every_table_and_the_disk(store: Store):
    store_article(store, "1", NOW)
    sizes = {each.name: each for each in store.health.tables()}
    assert (sizes["articles"].rows, sizes["articles"].parts) == (1, 1)
    assert sizes["articles"].size_bytes > 100
    disk = store.health.disk()
    assert disk is None or 0 < disk.free_bytes < disk.total_bytes


def test_dead_letters_are_counted_by_reason_and_by_source(store: Store):
    def letter(offset: int, reason: str, value: bytes, days: int = 0) -> DeadLetter:
        at = NOW - timedelta(days=days)
        return DeadLetter(topic="articles", partition=0, offset=offset, failed_at=at, stage="decode", reason=reason, key=b"", value=value)

    letters = [
        letter(1, "byte 17 is odd", '{"id": "x", "source": "海港 \\"x\\""}'.encode()),
        letter(2, "byte 9 is odd", b'{"source":"wire"}'),
        letter(3, "no source", b"\xff not JSON"),
        letter(4, "byte 1 is odd", b'{"source":"wire"}', days=9),
    ]
    store.dead_letters.insert(letters)
    store.dead_letters.settle(letters[:1], "replayed")
    odd, none = store.health.dead_reasons(NOW - timedelta(days=7))
    assert (odd.reason, odd.records, odd.unsettled, odd.last_at) == ("byte # is odd", 2, 1, NOW)
    assert (none.reason, none.records, none.unsettled) == ("no source", 1, 1)
    assert store.health.dead_by_source(NOW - timedelta(days=7)) == {'海港 "x"': 1, "wire": 1}
