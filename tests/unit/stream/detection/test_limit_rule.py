"""Limit rules: breaches, alerts, copies, order."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.records import Alert, CompanyScore, MaterialityScore, Score, sha
from core.series import MARKET, company_series
from stats.minute_counts import StoryCounts
from storage.store import LastAlert
from stream.detection.detector import Detections
from stream.detection.limit_rule import LimitRule, SeriesData, breach_ends, evaluate_limit, risk_articles
from stream.detection.replay import replay_limit_rules
from tests.helpers.strategies import examples

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
START = int(NOON.timestamp())
MAOTAI = company_series("600519.SH")
SHARE = LimitRule(name="多为负面", kind="negative_share", limit=0.6, min_stories=5)


class Sources:
    """Reports the same number of sources for every window, and counts the calls."""

    def __init__(self, n: int = 3) -> None:
        self.n, self.calls = n, 0

    def source_count(self, series: str, since: datetime, until: datetime, *, negative: bool) -> int:
        self.calls += 1
        return self.n


def data(*stories: tuple[int, float]) -> SeriesData:
    """(minute after noon, tone): a story is negative from -0.5 down."""
    at = [START + 60 * minute for minute, _ in stories]
    return SeriesData(StoryCounts.of(at, [tone <= -0.5 for _, tone in stories], None, [round(tone * 10_000) for _, tone in stories]))


def evaluated(rule: LimitRule, of: SeriesData, last: LastAlert | None = None, sources: int = 3, series: str = MAOTAI) -> Detections:
    return evaluate_limit(rule, series, of, breach_ends(rule, of, 0, 2**40), last, Sources(sources))


def minute_of(alert: Alert) -> float:
    return (alert.detected_at - NOON).total_seconds() / 60


def test_a_negative_share_breaches_above_its_limit_only():
    at_limit = data((0, -0.9), (1, 0.5), (2, -0.9), (3, 0.5), (4, -0.9))
    assert evaluated(SHARE, at_limit) == Detections([], set(), {})
    (alert,) = evaluated(SHARE, data((0, -0.9), (1, 0.5), (2, -0.9), (3, -0.7), (4, -0.9))).alerts
    assert (alert.measure, alert.value, alert.limit, alert.observed, alert.total, alert.sources) == ("negative_share", 0.8, 0.6, 4, 5, 3)
    assert (minute_of(alert), alert.window_s, alert.severity, alert.rule, alert.series) == (5.0, 3600, "info", "多为负面", MAOTAI)
    assert evaluated(SHARE, data((0, -0.9), (1, -0.9), (2, -0.9), (3, -0.9))).alerts == [], "four stories are below min_stories"
    assert evaluated(replace(SHARE, min_sources=4), data(*((n, -0.9) for n in range(6)))).alerts == []


def test_a_mean_tone_breaches_below_its_limit_only():
    rule = LimitRule(name="gloom", kind="mean_tone", limit=-0.3, min_stories=3, severity="warning")
    assert evaluated(rule, data((0, -0.3), (1, -0.3), (2, -0.3))).alerts == []
    (alert,) = evaluated(rule, data((0, -0.9), (1, 0.1), (2, -0.2)), series=MARKET).alerts
    assert (alert.value, alert.limit, alert.observed, alert.total, alert.severity) == (-0.3333, -0.3, 1, 3, "warning")


def test_a_volume_breaches_from_its_limit_on_for_any_sentiment():
    rule = LimitRule(name="flood", kind="volume", limit=3, window_s=600)
    assert evaluated(rule, data((0, 0.9), (5, 0.9), (10, 0.9))).alerts == [], "never three within ten minutes"
    (alert,) = evaluated(rule, data((0, 0.9), (5, 0.9), (9, -0.9))).alerts
    assert (alert.value, alert.observed, alert.total, alert.window_start) == (3.0, 1, 3, NOON)


def score(name: str, minute: float, *, story: str = "", source: str = "新浪", company: str = "600519.SH", **fields: Any) -> Score:
    p = (0.9, 0.05, 0.05) if fields.get("bad", True) else (0.1, 0.1, 0.8)
    return Score(
        id=sha(name),
        source=source,
        language="zh",
        published_at=NOON + timedelta(minutes=minute),
        story=sha(story or name),
        p_negative=p[0],
        p_neutral=p[1],
        p_positive=p[2],
        topics={},
        risks=fields.get("risks", {}),
        materiality=fields.get("materiality"),
        companies=(CompanyScore(company=company, sector="", p_negative=p[0], p_neutral=p[1], p_positive=p[2]),),
        model="m",
        scored_at=NOON,
    )


FRAUD = LimitRule(name="fraud", kind="risk_event", limit=0.8, series=("company:*",), events=("fraud", "crime"), window_s=86_400)


def events(*scores: Score, series: str = MAOTAI) -> SeriesData:
    at = [int(each.published_at.timestamp()) for each in scores if each.id == each.story]
    return SeriesData(StoryCounts.of(at, [1] * len(at)), risk_articles(scores).get(series, ()))


def test_a_risk_event_counts_from_the_materiality_of_the_rule_on():
    def level(p: float) -> MaterialityScore:
        return MaterialityScore(p_background=1.0, p_relevant=p, p_urgent=0.0)

    def sure(name: str, p: float | None) -> Score:
        return score(name, 3, risks={"fraud": 0.9}, materiality=None if p is None else level(p))

    for p, least, raised in ((0.2, 0.5, 0), (0.2, 0.2, 1), (0.2, 0.0, 1), (0.8, 0.5, 1), (None, 1.0, 1)):
        alerts = evaluated(replace(FRAUD, min_materiality=least), events(sure("某公司涉嫌财务造假", p))).alerts
        assert len(alerts) == raised, (p, least)
        assert all(alert.min_materiality == least for alert in alerts)


def test_a_risk_event_breaches_from_its_probability_on_where_the_news_is_negative():
    sure = score("某公司涉嫌财务造假", 3, risks={"fraud": 0.8, "crime": 0.95, "closure": 0.99})
    (alert,) = evaluated(FRAUD, events(sure)).alerts
    assert (alert.measure, alert.event, alert.value, alert.limit, alert.observed, alert.sources) == ("risk_event", "crime", 0.95, 0.8, 1, 1)
    assert minute_of(alert) == 4.0
    for other in ({"fraud": 0.79}, {"closure": 0.99}, {}):
        assert evaluated(FRAUD, events(score("x", 3, risks=other))).alerts == []
    assert risk_articles([score("x", 3, risks={"fraud": 0.9}, bad=False)]) == {}, "good news for the company that sued"
    assert set(risk_articles([sure])) >= {MAOTAI, MARKET, "language:zh"}
    (alert,) = evaluated(replace(FRAUD, events=()), events(sure)).alerts
    assert alert.event == "closure"


def test_a_copy_of_a_risk_event_counts_as_a_source_and_not_as_a_story():
    first = score("a", 0, risks={"fraud": 0.9})
    copies = [score(f"copy {n}", 60 * n, story="a", source=f"s{n}", risks={"fraud": 0.95}) for n in (1, 2, 9)]
    own = events(first, *copies)
    (alert,) = evaluated(FRAUD, own).alerts
    assert (minute_of(alert), alert.sources) == (1.0, 1), "raised by the first article"
    assert breach_ends(FRAUD, own, START + 60, 2**40) == [], "copies are not new stories"
    two = replace(FRAUD, min_sources=2)
    assert evaluated(two, own).alerts == []
    second = score("b", 90, source="s1", risks={"crime": 0.85})
    (alert,) = evaluated(two, events(first, *copies, second)).alerts
    assert (minute_of(alert), alert.sources, alert.value) == (91.0, 2, 0.9)


def test_stories_of_one_alert_are_not_counted_in_another():
    rule = replace(SHARE, cooldown_s=600)
    bad = data(*((n, -0.9) for n in range(30)))
    alerts = evaluated(rule, bad).alerts
    assert [minute_of(alert) for alert in alerts] == [5.0, 15.0, 25.0]
    assert [alert.total for alert in alerts] == [5, 10, 10]
    for before, after in itertools.pairwise(alerts):
        assert after.window_start == before.window_start + timedelta(seconds=before.window_s)
    assert len({alert.id for alert in alerts}) == 3
    assert len(evaluated(replace(SHARE, cooldown_s=0), bad).alerts) == 6


def test_an_alert_is_ongoing_while_its_limit_is_breached():
    bad = data(*((n, -0.9) for n in range(8)))
    before = LastAlert("before", START + 120)
    quiet = evaluated(SHARE, bad, last=before)
    assert quiet == Detections([], {"before"}, {})
    again = evaluated(replace(SHARE, cooldown_s=0), bad, last=before)
    assert [minute_of(alert) for alert in again.alerts] == [7.0]
    assert "before" in again.ongoing_ids
    assert evaluated(SHARE, bad, last=LastAlert("of another day", START - 86_400)).ongoing_ids.isdisjoint({"of another day"})


def test_sources_are_counted_only_for_breaches():
    sources, calm, bad = Sources(), data(*((n, 0.5) for n in range(20))), data(*((n, -0.9) for n in range(20)))
    evaluate_limit(SHARE, MAOTAI, calm, breach_ends(SHARE, calm, 0, 2**40), None, sources)
    assert sources.calls == 0
    evaluate_limit(SHARE, MAOTAI, bad, breach_ends(SHARE, bad, 0, 2**40), None, sources)
    assert sources.calls == 1


stories = st.lists(st.tuples(st.integers(0, 200), st.sampled_from([-0.9, -0.6, 0.1, 0.8])), min_size=1, max_size=60)
RULES = (
    replace(SHARE, cooldown_s=1200, window_s=1800),
    LimitRule(name="gloom", kind="mean_tone", limit=-0.2, min_stories=3, window_s=1200, cooldown_s=0),
    LimitRule(name="flood", kind="volume", limit=6, window_s=900, cooldown_s=600),
)


def facts_of(alerts: Sequence[Alert]) -> list[tuple[str, str, float, int]]:
    return sorted((alert.id, alert.rule, alert.value, alert.total) for alert in alerts)


@examples(40)
@given(stories, st.randoms(use_true_random=False))
def test_alerts_depend_neither_on_the_order_of_stories_nor_on_restarts(some: list[tuple[int, float]], chance: random.Random):
    whole, cut = data(*some), START + 60 * chance.randint(0, 200)
    replayed = replay_limit_rules({MAOTAI: whole.counts}, {}, RULES, Sources(), NOON, NOON + timedelta(hours=4))
    once = [alert for alerts in replayed.values() for alert in alerts]
    shuffled = data(*chance.sample(some, len(some)))
    again: list[Alert] = []
    for rule in RULES:
        last = None
        for since, until in ((0, cut), (0, 2**40)):  # a restart evaluates the same minutes again
            found = evaluate_limit(rule, MAOTAI, shuffled, breach_ends(rule, shuffled, since, until), last, Sources()).alerts
            last = LastAlert(found[-1].id, int(found[-1].detected_at.timestamp())) if found else last
            again += found
    assert facts_of(again) == facts_of(once)
    for alert in once:
        inside = [tone for minute, tone in some if alert.window_start <= NOON + timedelta(minutes=minute) < alert.detected_at]
        assert (alert.total, alert.observed) == (len(inside), sum(tone <= -0.5 for tone in inside))
        if alert.measure == "mean_tone":
            assert alert.value == pytest.approx(sum(inside) / len(inside), abs=1e-4)


def test_paused_rules_and_rules_for_other_series_raise_no_alert():
    bad = data(*((n, -0.9) for n in range(8)))
    rules = (replace(SHARE, paused=True), replace(SHARE, series=("company:AAPL", "topic:*")), replace(SHARE, series=("COMPANY:*",)))
    replayed = replay_limit_rules({MAOTAI: bad.counts}, {}, rules, Sources(), NOON, NOON + timedelta(hours=1))
    assert [alert.series for alerts in replayed.values() for alert in alerts] == [MAOTAI]
