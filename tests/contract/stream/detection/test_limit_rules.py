"""Limit rules over real stores: alerts, ongoing alerts, replay and preview."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.errors import SettingsError
from core.records import Alert, Article, CompanyScore, Mention, Score, Scored, Severity, encode, sha
from core.settings import Settings
from models.inference.keyword import KeywordClassifier
from storage.store import LastAlert, Store
from stream.detection.evaluator import AlertEvaluator
from stream.detection.limit_rule import LimitRule
from stream.detection.outage import OutageRule
from stream.detection.rules import AlertRules
from stream.detection.spike_rule import SpikeRule
from stream.retry import DutyCycle
from stream.worker.batches import RawMessage
from tests.helpers.stores import ARTICLE_TABLES, NOON, save
from tocsin.runtime.backtest import BacktestAlert, run
from tocsin.runtime.pipeline import make_pipeline
from tocsin.services.replay import load_history, preview

MINUTE = timedelta(minutes=1)
QUIET = SpikeRule(paused=True)
"""The spike rule is off."""
RULES = (
    LimitRule(
        name="坏消息",
        kind="negative_share",
        limit=0.6,
        series=("company:*",),
        window_s=1500,
        min_stories=4,
        min_sources=2,
        severity="warning",
    ),
    LimitRule(name="gloom", kind="mean_tone", limit=-0.3, series=("topic:credit",), min_stories=5, window_s=1800),
    LimitRule(name="flood", kind="volume", limit=8, series=("language:zh",), window_s=1200, cooldown_s=1200),
    LimitRule(name="fraud", kind="risk_event", limit=0.8, series=("company:600519.SH", "company:ACME"), window_s=86_400),
    LimitRule(name="off", kind="volume", limit=1, series=("*",), paused=True),
)


@pytest.fixture(autouse=True)
def empty(store: Store) -> None:
    for table in (*ARTICLE_TABLES, "alert_last_breach", "dirty_hours"):
        store.client.command(f"TRUNCATE TABLE {table}")


def item(
    name: str, minute: float, bad: bool, *, company: str = "600519.SH", source: str = "新浪", story: str = "", **fields: Any
) -> Scored:
    """A story in Chinese of a Chinese company, in English of another."""
    ident, moment = sha(name), NOON + minute * MINUTE
    language: Any = "zh" if company.endswith("SH") else "en"
    p = (0.9, 0.05, 0.05) if bad else (0.05, 0.15, 0.8)
    sentiment: Any = {"p_negative": p[0], "p_neutral": p[1], "p_positive": p[2]}
    return Scored(
        article=Article(
            id=ident,
            source=source,
            language=language,
            title=f"{'某公司' if language == 'zh' else 'Acme'}: {name}",
            published_at=moment,
            fetched_at=moment,
            mentions=(Mention(company=company, surface="x"),),
        ),
        score=Score(
            id=ident,
            source=source,
            language=language,
            published_at=moment,
            story=sha(story) if story else ident,
            topics={"credit": 0.9},
            risks=fields.get("risks", {}),
            companies=(CompanyScore(company=company, **sentiment),),
            model="m1",
            scored_at=moment,
            **sentiment,
        ),
    )


def evaluator(store: Store, rules: Sequence[LimitRule] = RULES, detector: SpikeRule = QUIET) -> AlertEvaluator:
    return AlertEvaluator(store, detector, DutyCycle(share=1.0), rules)


def figures_of(alert: Alert) -> tuple[str, str, datetime, int, float, int, int, int]:
    return (alert.rule, alert.series, alert.window_start, alert.window_s, alert.value, alert.observed, alert.total, alert.sources)


def wire(chance: random.Random) -> list[Scored]:
    """An hour of two companies, in two languages, with copies and risk events, in order of time."""
    items = []
    for n in range(60):
        company, bad = chance.choice(["600519.SH", "ACME"]), chance.random() < (0.75 if 20 < n < 50 else 0.3)
        risks = {"fraud": round(chance.uniform(0.5, 1.0), 3)} if bad and chance.random() < 0.25 else {}
        source = chance.choice(["新浪", "wire", "desk"])
        items.append(item(f"n{n}", n + chance.random() * 0.9, bad, company=company, source=source, risks=risks))
        if chance.random() < 0.2:
            items.append(item(f"copy of n{n}", n + 1.95, bad, company=company, source="echo", story=f"n{n}", risks=risks))
    return sorted(items, key=lambda each: each.score.published_at)


def evaluate_live(store: Store, items: Sequence[Scored], chance: random.Random | None = None) -> list[Alert]:
    """Store and evaluate each minute's stories when it is over; with `chance`, some twice, reordered, and by a new evaluator."""
    found: dict[str, Alert] = {}
    one = evaluator(store)
    for minute in range(63):
        batch = [each for each in items if NOON + minute * MINUTE <= each.score.published_at < NOON + (minute + 1) * MINUTE]
        if not batch:
            continue
        save(store, *batch)
        for _ in range(chance.choice([1, 2]) if chance else 1):
            if chance:
                chance.shuffle(batch)
                one = evaluator(store) if chance.random() < 0.3 else one
            for alert in one.evaluate([each.score for each in batch], NOON + (minute + 1) * MINUTE):
                assert found.setdefault(alert.id, alert).detected_at == alert.detected_at, "a stored alert is returned unchanged"
    return list(found.values())


def test_live_evaluation_replay_and_preview_raise_the_same_alerts(store: Store):
    items = wire(random.Random(7))
    raised = evaluate_live(store, items, random.Random(3))
    assert {alert.rule for alert in raised} == {"坏消息", "gloom", "flood", "fraud"}
    rules = AlertRules(QUIET, RULES)
    history, begin, end = load_history(store, QUIET, None, None, window_s=rules.window_s)
    replayed = run(history, rules, OutageRule(per_week=0), store, begin, end, lambda _: None)
    again = [found for found in replayed if isinstance(found, BacktestAlert)]
    facts = {alert.id: figures_of(alert) for alert in raised}
    assert {found.id: (found.rule, found.series, found.start, found.window_s, found.value, found.observed, found.total, found.sources)
            for found in again} == facts  # fmt: skip
    by_id = {found.id: found for found in again}
    assert all(by_id[alert.id].evidence == tuple(each.id for each in alert.evidence) for alert in raised)
    seen = preview(store, rules, NOON - timedelta(days=1), NOON + timedelta(days=1))
    assert {alert.id: figures_of(alert) for alert in seen.alerts} == facts
    assert [alert.detected_at for alert in seen.alerts] == sorted(alert.detected_at for alert in seen.alerts)
    assert seen.rules == {rule.name: sum(alert.rule == rule.name for alert in raised) for rule in RULES if not rule.paused}
    assert seen.stories == sum(each.score.id == each.score.story for each in items)
    assert all(alert.evidence for alert in seen.alerts)
    assert preview(store, rules, NOON - timedelta(days=9), NOON - timedelta(days=8)).alerts == ()


def test_an_alert_holds_its_figures_and_the_articles_that_were_counted(store: Store):
    items = [item(f"坏 {n}", n, bad=n != 2, source=f"s{n % 2}") for n in range(6)]
    items.append(item("涉嫌财务造假", 6, bad=True, risks={"fraud": 0.91, "crime": 0.4}))
    items.append(item("sues over fraud", 6, bad=False, company="ACME", risks={"fraud": 0.99}))
    raised = {alert.rule: alert for alert in evaluate_live(store, items)}
    share, fraud, gloom = raised["坏消息"], raised["fraud"], raised["gloom"]
    assert (share.series, share.measure, share.value, share.limit, share.severity) == (
        "company:600519.SH", "negative_share", 0.75, 0.6, "warning",
    )  # fmt: skip
    assert (share.observed, share.total, share.sources, share.expected, share.surprise) == (3, 4, 2, 0.0, 0.0)
    assert {each.title for each in share.evidence} == {"某公司: 坏 0", "某公司: 坏 1", "某公司: 坏 3"}
    assert (fraud.series, fraud.event, fraud.limit) == ("company:600519.SH", "fraud", 0.8)
    assert fraud.value == pytest.approx(0.91)
    assert [each.title for each in fraud.evidence] == ["某公司: 涉嫌财务造假"]
    assert gloom.measure == "mean_tone"
    assert gloom.value == pytest.approx((4 * -0.85 + 0.75) / 5, abs=1e-3)
    stored = {alert.id: alert for alert in store.alerts.latest()}
    assert stored == {alert.id: alert for alert in raised.values()}


def test_an_alert_is_ongoing_while_its_limit_is_breached(store: Store):
    bad = [item(f"坏 {n}", n, bad=True, source=f"s{n % 2}") for n in range(6)]
    (share,) = (alert for alert in evaluate_live(store, bad[:5]) if alert.rule == "坏消息")
    before = store.alert_lifecycle.last_breaches([share.id])[share.id]
    save(store, bad[5])
    later = NOON + 30 * MINUTE
    again = evaluator(store).evaluate([bad[5].score], later)
    assert share.id in {alert.id for alert in again}, "after a restart it is returned again"
    assert store.alert_lifecycle.last_breaches([share.id])[share.id] == later > before
    good = [item(f"好 {n}", 31 + n / 10, bad=False, source=f"s{n % 2}") for n in range(9)]
    save(store, *good)
    evaluator(store).evaluate([each.score for each in good], NOON + 33 * MINUTE)
    assert store.alert_lifecycle.last_breaches([share.id])[share.id] == later, "six of fifteen are below the limit"


def test_a_new_worker_catches_up_and_old_stories_raise_no_alert(store: Store):
    recent = [item(f"坏 {n}", n, bad=True, source=f"s{n % 2}", risks={"fraud": 0.9}) for n in range(5)]
    old = [item(f"旧 {n}", n - 300, bad=True, company="ACME", source=f"s{n % 2}", risks={"fraud": 0.9}) for n in range(5)]
    save(store, *recent, *old)
    now = NOON + 6 * MINUTE
    assert evaluator(store).evaluate([each.score for each in old], now) == []
    raised = evaluator(store).catch_up(now)
    assert {(alert.rule, alert.series) for alert in raised} == {
        ("坏消息", "company:600519.SH"), ("fraud", "company:600519.SH"), ("gloom", "topic:credit"),
    }  # fmt: skip
    same = evaluator(store).catch_up(now)
    assert {alert.id for alert in same} == {alert.id for alert in raised} and store.alerts.count() == len(raised)


def test_without_rules_nothing_is_queried_and_the_spike_rule_may_follow_some_series(store: Store):
    queries: list[str] = []

    class Counted:
        def query(self, sql: str, **parameters: Any) -> Any:
            queries.append(sql)
            return store.client.query(sql, **parameters)

        def __getattr__(self, name: str) -> Any:
            return getattr(store.client, name)

    counted = Store(Counted())
    bad = item("坏", 0, bad=True)
    save(store, bad)
    assert evaluator(counted, ()).evaluate([bad.score], NOON + MINUTE) == []
    assert evaluator(counted, (RULES[-1],)).catch_up(NOON + MINUTE) == []
    assert len(queries) == 1, "only the spike rule catches up"
    calm = [item(f"calm {n}", -60 * n, bad=False, source=f"s{n % 3}") for n in range(72)]
    crisis = [item(f"crisis {n}", 1 + n / 6, bad=True, source=f"s{n % 3}") for n in range(12)]
    save(store, *calm, *crisis)
    detector = SpikeRule(series=("company:*",), false_per_week=50.0)
    raised = evaluator(store, (), detector).evaluate([each.score for each in crisis], NOON + 4 * MINUTE)
    assert {alert.series for alert in raised} == {"company:600519.SH"}


def test_the_worker_uses_the_rules_file_of_the_settings(store: Store, tmp_path: Path):
    path = tmp_path / "rules.toml"
    table = '[[rules]]\nname = "很多"\nkind = "volume"\nseries = ["language:zh"]\nover = 2\nseverity = "critical"\n'
    path.write_text(table + '[[rules]]\nname = "negative-spike"\nkind = "spike"\npaused = true\n', encoding="utf-8")
    pipeline = make_pipeline(Settings(alert_rules=str(path), data_dir=str(tmp_path)), store, KeywordClassifier())
    with contextlib.closing(pipeline):
        articles = [item(f"平静 {n}", n, bad=False).article for n in range(2)]
        messages = [RawMessage("articles", 0, n, b"", encode(article)) for n, article in enumerate(articles)]
        batch = pipeline.score(messages, NOON + 2 * MINUTE)
        (raised,) = pipeline.watch(batch.scores, NOON + 2 * MINUTE)
    assert (raised.rule, raised.series, raised.severity, raised.value, raised.total) == ("很多", "language:zh", "critical", 2.0, 2)
    assert {each.title for each in raised.evidence} == {"某公司: 平静 0", "某公司: 平静 1"}
    path.write_text(table.replace("over = 2", "ovr = 2"), encoding="utf-8")
    with pytest.raises(SettingsError, match="did you mean 'over'"):
        make_pipeline(Settings(alert_rules=str(path), data_dir=str(tmp_path)), store, KeywordClassifier())


def test_risk_events_are_stored_and_replaced_by_a_newer_model(store: Store):
    first, other = item("a", 0, bad=True, risks={"fraud": 0.75, "closure": 0.5}), item("b", 1, bad=True)
    save(store, first, other)
    (found,) = store.articles.scores_with_risks(NOON, NOON + timedelta(hours=1))
    assert found.id == sha("a")
    assert dict(found.risks) == {"fraud": pytest.approx(0.75), "closure": pytest.approx(0.5)}
    (back,) = store.articles.scores([sha("b")], NOON, NOON + timedelta(hours=1))
    assert back.risks == {}
    save(store, msgspec.structs.replace(first, score=msgspec.structs.replace(first.score, risks={}, model="m2")))
    assert store.articles.scores_with_risks(NOON, NOON + timedelta(hours=1)) == []


def alert(rule: str, series: str, minute: int) -> Alert:
    severity: Severity = "info"
    start = NOON + minute * MINUTE
    return Alert(
        id=sha(rule, series, str(minute)), rule=rule, series=series, window_start=start, window_s=600, detected_at=start,
        severity=severity, observed=1, expected=0.0, surprise=0.0, total=1, sources=1, measure="risk_event", value=0.93, limit=0.8,
        event="fraud",
    )  # fmt: skip


def test_the_last_alerts_of_several_rules_are_read_at_once(store: Store):
    rows = [alert("r'1", "topic:a", 0), alert("r'1", "topic:a", 5), alert("规则", "topic:a", 1), alert("规则", "topic:b", 2)]
    store.alerts.insert([*rows, *rows])
    end = int(NOON.timestamp()) + 600
    found = store.alerts.last_alerts_of_rules(["r'1", "规则", "none"], ["topic:a"], NOON)
    assert found == {("r'1", "topic:a"): LastAlert(rows[1].id, end + 300), ("规则", "topic:a"): LastAlert(rows[2].id, end + 60)}
    assert store.alerts.last_alerts_of_rules([], ["topic:a"], NOON) == store.alerts.last_alerts_of_rules(["r'1"], [], NOON) == {}
    assert store.alerts.get(rows[0].id) == rows[0]


def test_sources_and_tones_are_counted(store: Store):
    items = [item("a", 0, bad=True, source="s1"), item("b", 0.5, bad=False, source="s2"), item("c", 1, bad=True, source="s3", story="a")]
    save(store, *items, *items)
    since, until = NOON, NOON + 5 * MINUTE
    assert store.mentions.source_count("topic:credit", since, until, negative=True) == 2
    assert store.mentions.source_count("topic:credit", since, until, negative=False) == 3
    assert store.mentions.source_count("topic:credit", until, until + MINUTE, negative=False) == 0
    counts = store.mentions.minutes(["topic:credit"], since, until)["topic:credit"]
    assert (counts.negative, counts.stories, counts.tone) == ([1], [2], [-8_500 + 7_500])
