"""Outage alerts over chdb in this process and a real server over native TCP; the clock is the test's."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from core.records import Article, Score, Scored, sha
from core.series import MARKET, source_series
from storage.store import SourceActivity, Store
from stream.detection.auto_resolve import AutoResolver
from stream.detection.outage import OutageRule
from stream.detection.outage_monitor import OutageMonitor

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
"""A Friday."""
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SINA, REUTERS, WIRE = "新浪财经", "reuters", "it's a \"wire\" '; DROP TABLE articles; -- 🔔"
RULE = OutageRule()


@pytest.fixture(autouse=True)
def empty(store: Store) -> None:
    for table in ("articles", "mentions", "dirty_hours", "alerts", "alert_events", "alert_last_breach"):
        store.client.command(f"TRUNCATE TABLE {table}")


def scored(source: str, at: datetime, *, late_s: float = 0, negative: float = 0.1) -> Scored:
    ident = sha(source, at.isoformat())
    article = Article(
        id=ident,
        source=source,
        language="zh",
        title="公告",
        published_at=at,
        fetched_at=at + timedelta(seconds=late_s),
        url=f"https://x/{ident}",
    )
    score = Score(
        id=ident,
        source=source,
        language="zh",
        published_at=at,
        story=ident,
        p_negative=negative,
        p_neutral=0.9 - negative,
        p_positive=0.1,
        topics={"other": 0.9},
        model="m",
        scored_at=at,
    )
    return Scored(article=article, score=score)


def save(store: Store, items: Iterable[Scored]) -> None:
    every = list(items)
    store.articles.insert(every)
    store.mentions.insert([item.score for item in every])


def regular_articles(source: str, since: datetime, until: datetime, per_hour: float = 6.0) -> list[Scored]:
    """Poisson articles, fetched a minute later."""
    dice = random.Random(source)
    length = until - since
    return [scored(source, since + dice.random() * length, late_s=60) for _ in range(round(per_hour * (length / HOUR)))]


def save_past(store: Store, *sources: str, until: datetime = NOON) -> None:
    for source in sources:
        save(store, regular_articles(source, NOON - timedelta(days=21), until))


def monitor(store: Store, rule: OutageRule = RULE) -> OutageMonitor:
    return OutageMonitor(store, rule)


def poll_until_alert(one: OutageMonitor, since: datetime, hours: float) -> tuple[datetime, list[str]]:
    """Time of the first alerts, and their series."""
    for minute in range(0, round(hours * 60), 5):
        found = one.poll(since + minute * MINUTE)
        if found:
            return since + minute * MINUTE, sorted(alert.series for alert in found)
    return since, []


def test_the_activity_of_a_source_has_slots_last_article_and_usual_delay(store: Store):
    """Delays are the 95 % quantile; articles of a loaded archive do not count."""
    for n in range(40):
        save(store, [scored(WIRE, NOON + n * MINUTE, late_s=100 if n < 39 else 3_000)] * 2)
    save(store, [scored(SINA, NOON - 2 * HOUR, late_s=86_400), scored(SINA, NOON + 5 * HOUR)])
    second = int(NOON.timestamp())
    found = store.sources.activity(NOON - 3 * HOUR, NOON + 5 * HOUR, 300)
    assert found == {
        WIRE: SourceActivity([second // 300 + n for n in range(8)], second + 39 * 60, second + 39 * 60 + 3_000, 100),
        SINA: SourceActivity([second // 300 - 24], second - 7_200, second - 7_200 + 86_400, 0),
    }
    assert store.sources.activity(NOON + 9 * HOUR, NOON + 10 * HOUR, 300) == {}


def test_a_source_is_a_series_with_stories(store: Store):
    save(store, [scored(WIRE, NOON, negative=0.85), scored(WIRE, NOON + MINUTE), scored(SINA, NOON)])
    (count,) = store.mentions.window_counts(source_series(WIRE), NOON, NOON + HOUR, 3_600)
    assert (count.start, count.negative, count.total) == (NOON, 1, 2)
    assert [row.source for row in store.articles.of_series(source_series(WIRE), NOON, NOON + HOUR)] == [WIRE, WIRE]
    assert len(store.articles.of_series(MARKET, NOON, NOON + HOUR)) == 3


def test_an_outage_of_a_source_has_one_alert_over_restarts_and_resolves(store: Store):
    save_past(store, SINA, REUTERS, WIRE)
    for source in (REUTERS, WIRE):
        save(store, regular_articles(source, NOON, NOON + 30 * HOUR))
    one = monitor(store)
    raised_at, series = poll_until_alert(one, NOON, 6)
    assert series == [source_series(SINA)]
    assert NOON + 20 * MINUTE < raised_at < NOON + 4 * HOUR
    (alert,) = store.alerts.latest()
    last = max(item.score.published_at for item in regular_articles(SINA, NOON - timedelta(days=21), NOON)).replace(microsecond=0)
    assert (alert.measure, alert.window_start, alert.severity) == ("outage", last, "info")
    assert alert.value == pytest.approx((raised_at - last) / HOUR, abs=0.01) and 0 < alert.limit <= alert.value

    assert one.poll(raised_at + timedelta(seconds=30)) == []
    assert one.poll(raised_at + HOUR) == []
    again = monitor(store)
    assert again.poll(raised_at + 2 * HOUR) == [alert], "its publication may have been lost"
    assert again.poll(raised_at + 2 * HOUR + MINUTE) == []
    assert store.alert_lifecycle.last_breaches([alert.id]) == {alert.id: raised_at + 2 * HOUR + MINUTE}

    resolver = AutoResolver(store, 3_600)
    assert resolver.resolve(raised_at + 3 * HOUR) == []
    back = raised_at + 2 * HOUR + 2 * MINUTE
    save(store, [scored(SINA, back + n * MINUTE - 2 * HOUR, negative=0.85) for n in range(0, 120, 4)])
    assert again.poll(back) == []
    (event,) = resolver.resolve(back + HOUR + MINUTE)
    assert (event.alert_id, event.kind) == (alert.id, "resolved")
    assert len(store.alerts.latest()) == 1


def test_an_outage_of_the_feed_is_one_alert_and_its_end_raises_none(store: Store):
    save_past(store, SINA, REUTERS, WIRE)
    one = monitor(store)
    raised_at, series = poll_until_alert(one, NOON, 2)
    assert series == [MARKET]
    assert raised_at < NOON + 80 * MINUTE
    assert poll_until_alert(one, raised_at + MINUTE, 3)[1] == []
    (alert,) = store.alerts.latest()
    assert (alert.sources, alert.severity) == (3, "warning")
    back = raised_at + 3 * HOUR
    save(store, regular_articles(SINA, back, back + 6 * HOUR))
    save(store, regular_articles(REUTERS, back + 30 * MINUTE, back + 6 * HOUR))
    save(store, regular_articles(WIRE, back + 40 * MINUTE, back + 6 * HOUR))
    assert poll_until_alert(one, back, 1)[1] == []
    assert poll_until_alert(monitor(store), back + HOUR, 1)[1] == []


def test_a_pause_of_the_process_raises_no_alert(store: Store):
    """A laptop is opened on Monday; the feeds have not been fetched yet."""
    save_past(store, SINA, REUTERS)
    monday = NOON + 68 * HOUR
    one = monitor(store)
    assert one.poll(monday) == []
    save(store, regular_articles(SINA, monday, monday + 8 * HOUR))
    raised_at, series = poll_until_alert(one, monday + MINUTE, 8)
    assert series == [source_series(REUTERS)], "it stays down"
    assert raised_at > monday + 20 * MINUTE


def test_a_budget_of_zero_turns_outage_alerts_off(store: Store):
    save_past(store, SINA, REUTERS, until=NOON - 10 * HOUR)
    save(store, regular_articles(REUTERS, NOON - 10 * HOUR, NOON))
    assert monitor(store, OutageRule(per_week=0.0)).poll(NOON) == []
    assert [alert.series for alert in monitor(store).poll(NOON)] == [source_series(SINA)]
