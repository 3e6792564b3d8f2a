"""Alert lifecycles, silences and groups in the store, over both ClickHouse clients."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from actions.alert_lifecycles import read_lifecycles
from core.records import Article, Chart, CompanyCount, CompanyScore, Mention, Score, Scored, Why, WordCount, sha
from domain.alert_lifecycle import AlertEvent, event, inhibitions, silence
from storage.store import AlertGroup, Delivery, Store, SuppressedDelivery
from tests.helpers.stores import MINUTE, NOON, SPECIAL_CHARACTERS, alert, sample_silence
from tests.helpers.strategies import ODD

RULES = inhibitions("market > *; sector > company")


TABLES = ("alerts", "alert_events", "alert_last_breach", "suppressed_deliveries", "silences", "silence_ends", "articles")


@pytest.fixture(autouse=True)
def empty(store: Store) -> None:
    for table in (*TABLES, "alert_groups", "deliveries"):
        store.client.command(f"TRUNCATE TABLE {table}")


def test_figures_and_explanation_of_an_alert_are_stored(store: Store):
    why = Why(
        decisive_article_ids=("a", "b"),
        words=(WordCount(word="违约", stories=3), WordCount(word="O'Hara's \\ default", stories=2)),
        companies=(CompanyCount(company="600519.SH", stories=2),),
        first_source="新浪财经",
        first_at=NOON,
        chart=Chart(start=NOON, step_s=900, negative=(0, 3), expected=(0.5, 0.75)),
    )
    stored = msgspec.structs.replace(alert(), measure="mean_tone", value=-0.75, limit=-0.5, why=why)
    store.alerts.insert([stored, alert("topic:energy")])
    assert store.alerts.get(stored.id) == stored
    assert store.alerts.get(alert("topic:energy").id) == alert("topic:energy")


def test_an_alert_without_measure_is_read(store: Store):
    store.alerts.insert([alert()])
    columns = (
        "id, rule, series, window_start, window_s, detected_at, severity, observed, expected, surprise, total, sources, evidence, version"
    )
    store.client.command(f"INSERT INTO alerts ({columns}) SELECT {columns.replace('id,', chr(39) + 'old' + chr(39) + ',', 1)} FROM alerts")
    assert store.alerts.get("old") == msgspec.structs.replace(alert(), id="old")


def test_events_are_read_unchanged_in_order(store: Store):
    first = event("a", "acknowledged", "王芳", NOON + timedelta(microseconds=1))
    then = event("a", "note", "Ann O'Hara", NOON + timedelta(microseconds=2), SPECIAL_CHARACTERS)
    last = event("a", "unacknowledged", "王芳", NOON + timedelta(microseconds=3))
    store.alert_lifecycle.add([last, then, event("b", "resolved", "bob", NOON)])
    store.alert_lifecycle.add([first, then])
    assert store.alert_lifecycle.events(["a", "nobody"]) == [first, then, last]
    assert then.text == SPECIAL_CHARACTERS
    assert store.alert_lifecycle.events([]) == []


@pytest.mark.parametrize("actor", ["王芳", "bob"])
def test_concurrent_writes_of_events_are_all_stored(store: Store, actor: str):
    """Four threads that write at the same moment, some of them the same things twice."""
    mine = [event("a", "note", f"{actor} {n}", NOON, f"words {n}") for n in range(40)]
    parts = [mine[0:20], mine[10:30], mine[20:40], mine[0:40:3]]

    def write(part: list[AlertEvent]) -> None:
        for each in part:
            store.alert_lifecycle.add([each])

    threads = [threading.Thread(target=write, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {each.id for each in store.alert_lifecycle.events(["a"])} == {each.id for each in mine}
    assert len(store.alert_lifecycle.events(["a"])) == 40


def test_the_last_breach_counts_in_any_order_of_writing(store: Store):
    for minutes in (5, 9, 2, 9):
        store.alert_lifecycle.record_breach(["a", "b"], NOON + minutes * MINUTE)
    store.alert_lifecycle.record_breach(["b"], NOON + 11 * MINUTE)
    store.alert_lifecycle.record_breach([], NOON + 60 * MINUTE)
    assert store.alert_lifecycle.last_breaches(["a", "b", "c"]) == {"a": NOON + 9 * MINUTE, "b": NOON + 11 * MINUTE}


def test_a_suppressed_delivery_is_stored_once_per_cause(store: Store):
    item = SuppressedDelivery(
        alert_id="a", endpoint="风控", cause="silence", owner="s1", at=NOON, until=NOON + 60 * MINUTE, text="silenced by 王芳: it's <b>"
    )
    other = SuppressedDelivery(
        alert_id="a", endpoint="风控", cause="inhibition", owner="m", at=NOON + MINUTE, until=None, text="the market"
    )
    store.alert_lifecycle.suppress([item, other])
    store.alert_lifecycle.suppress([item])
    assert store.alert_lifecycle.suppressed(["a"]) == [item, other]
    assert store.alert_lifecycle.suppressed_since(NOON + MINUTE) == [other]
    assert store.alert_lifecycle.suppressed(["b"]) == []


def group(name: str, minutes: float = 0.0, **more: Any) -> AlertGroup:
    given: dict[str, Any] = {
        "firing": ("a", "b"),
        "new_alerts": ("b",),
        "resolved": ("c",),
        "ended": (NOON + timedelta(microseconds=7),),
    } | more
    return AlertGroup(id=sha(name), endpoint="风控 'x' \\", key="kind=topic\x1fseverity=critical", at=NOON + minutes * MINUTE, **given)


def test_a_group_is_read_unchanged_and_once(store: Store):
    one = group("one", 0.51)
    two = group("two", 3, firing=(), new_alerts=(), resolved=("b",), digest=True)
    other = group("three", 1, firing=("d",), new_alerts=("d",), resolved=(), ended=())
    store.alert_groups.insert([two, other])
    store.alert_groups.insert([one, two])
    store.alert_groups.insert([])
    assert store.alert_groups.since(NOON) == [one, other, two]
    assert store.alert_groups.since(NOON + 2 * MINUTE) == [two]
    assert (store.alert_groups.get(one.id), store.alert_groups.get("x")) == (one, None)
    assert store.alert_groups.of(["b"]) == [one, two]
    assert store.alert_groups.of(["c", "d", "nobody"]) == [one, other]
    assert store.alert_groups.of([]) == store.alert_groups.of(["'"]) == []


def test_deliveries_of_an_alert_include_those_in_groups(store: Store):
    own, both = alert(), group("one", firing=(alert().id,))
    store.alerts.insert([own])
    store.alert_groups.insert([both])
    attempts = [
        Delivery(alert_id=name, endpoint="desk", attempt=1, sent_at=NOON + n * MINUTE, status=204)
        for n, name in enumerate((both.subject, own.id, "group:other"))
    ]
    store.alerts.log_deliveries(attempts)
    assert store.deliveries_of(own.id) == attempts[:2]
    assert store.alerts.many([own.id, "nobody", alert("topic:energy").id]) == [own]
    assert store.alerts.many([]) == []


def test_a_silence_is_read_unchanged_and_its_earliest_end_counts(store: Store):
    one, two = sample_silence(), sample_silence("bob", series="company:*", minutes=30)
    store.silences.add([one, two, one])
    assert {each.id: each for each in store.silences.all()} == {one.id: one, two.id: two}
    assert [each.id for each in store.silences.all(since=NOON + 60 * MINUTE)] == [one.id]
    assert store.silences.find(one.id[:12]) == [one]
    assert store.silences.find("zz") == []
    store.silences.end([one.id], NOON + 9 * MINUTE, "late")
    store.silences.end([one.id], NOON + 5 * MINUTE, "王芳")
    (ended,) = store.silences.find(one.id)
    assert (ended.ended_at, ended.ended_by, ended.until) == (NOON + 5 * MINUTE, "王芳", NOON + 5 * MINUTE)
    assert (ended.author, ended.comment) == ("王芳", SPECIAL_CHARACTERS)
    assert ended.state(NOON + 4 * MINUTE) == "active"
    assert ended.state(NOON + 5 * MINUTE) == "ended"


def test_ids_are_found_by_prefix_and_alerts_by_kind(store: Store):
    ours = [alert(), alert("market:all", severity="critical"), alert("markets:x")]
    store.alerts.insert(ours)
    assert store.alerts.find(ours[0].id[:8]) == [ours[0].id]
    assert len(store.alerts.find("")) == 3
    assert store.alerts.find("%") == store.alerts.find("' OR 1") == []
    assert [each.series for each in store.alerts.latest(9, kinds=("market", "sector"))] == ["market:all"]


def company_article(name: str, sector: str, minutes: int = 0) -> Scored:
    ident, moment = sha(name), NOON + minutes * MINUTE
    article = Article(
        id=ident,
        source="wire",
        language="zh",
        title="公司债券违约",
        published_at=moment,
        fetched_at=moment,
        mentions=(Mention(company="600519.SH", surface="茅台", sector=sector), Mention(company="AAPL", surface="Apple")),
    )
    own: dict[str, Any] = {"p_negative": 0.9, "p_neutral": 0.05, "p_positive": 0.05}
    companies = (CompanyScore(company="600519.SH", sector=sector, **own), CompanyScore(company="AAPL", **own))
    score = Score(
        id=ident,
        source="wire",
        language="zh",
        published_at=moment,
        story=ident,
        topics={},
        companies=companies,
        model="m",
        scored_at=moment,
        **own,
    )
    return Scored(article=article, score=score)


def test_the_sector_of_a_company_comes_from_its_newest_article(store: Store):
    store.articles.insert([company_article("a", "banks"), company_article("b", "consumer", 1), company_article("c", "energy", 30)])
    assert store.articles.sectors(["600519.SH", "AAPL", "it's"], NOON, NOON + 15 * MINUTE) == {"600519.SH": "consumer"}
    assert store.articles.sectors([], NOON, NOON + 15 * MINUTE) == {}


def test_lifecycles_are_read_with_silences_and_inhibitions(store: Store):
    sector, company, topic = alert("sector:consumer"), alert("company:600519.SH", at=NOON + MINUTE), alert("topic:credit")
    lone = alert("company:AAPL", at=NOON + MINUTE)
    store.alerts.insert([sector, company, topic, lone])
    store.articles.insert([company_article("a", "consumer", 3)])
    store.silences.add([sample_silence()])
    store.alert_lifecycle.add(
        [event(company.id, "assigned", "bob", NOON + 2 * MINUTE, "王芳"), event(topic.id, "acknowledged", "bob", NOON)]
    )
    store.alert_lifecycle.record_breach([company.id], NOON + 7 * MINUTE)

    def lifecycles_after(minutes: int):
        return read_lifecycles(store, [company, topic, lone], NOON + minutes * MINUTE, RULES)

    now = lifecycles_after(10)
    assert now[company.id].inhibited is not None and now[company.id].inhibited.alert_id == sector.id
    assert (now[company.id].assignee, now[company.id].last_breach_at) == ("王芳", NOON + 7 * MINUTE)
    assert now[lone.id].inhibited is None
    assert [each.author for each in now[topic.id].silenced] == ["王芳"]
    assert now[topic.id].state == "acknowledged"
    assert lifecycles_after(120)[topic.id].silenced == ()
    store.alert_lifecycle.add([event(sector.id, "resolved", "bob", NOON + 20 * MINUTE)])
    assert lifecycles_after(30)[company.id].inhibited is None
    assert read_lifecycles(store, [], NOON, RULES) == {}


def test_any_text_is_stored_unchanged(store: Store):
    notes = [event("a", "note", f"王芳 {n}", NOON + n * MINUTE, f"-{odd}-") for n, odd in enumerate(ODD)]
    store.alert_lifecycle.add(notes)
    assert store.alert_lifecycle.events(["a"]) == notes
    kept = [
        silence(series=[f"topic:{odd}x"], author=f"bob {n}", comment=f"-{odd}-", starts_at=NOON, ends_at=NOON + MINUTE, now=NOON)
        for n, odd in enumerate(ODD)
    ]
    store.silences.add(kept)
    assert sorted(store.silences.all(), key=lambda each: each.author) == sorted(kept, key=lambda each: each.author)
