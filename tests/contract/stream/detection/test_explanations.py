"""Explanations of alerts over a real store, checked by removing the decisive stories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from core.records import Alert, Article, CompanyScore, Mention, Score, Scored, Why, alert_id, sha
from storage.clickhouse import Embedded
from storage.store import Store
from stream.detection.evaluator import AlertEvaluator
from stream.detection.explainer import Explainer
from stream.detection.spike_rule import SpikeRule
from stream.retry import DutyCycle

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
RULE = SpikeRule(warmup_s=3600, false_per_week=100)
BAD = (
    "远舟控股债券违约，未能如期兑付",
    "远舟控股：一只债券构成实质违约",
    "Yuanzhou Holdings defaults on a bond",
    "评级机构下调远舟控股，因债券违约",
    "Bond default at Yuanzhou Holdings spreads",
    "远舟控股债券违约引发连锁反应",
    "Yuanzhou bond default: creditors meet",
    "远舟控股违约债券停牌",
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(Embedded(tmp_path / "store"))
    made.migrate()
    yield made
    made.close()


def scored(name: str, minute: float, title: str, *, bad: bool, source: str, company: str = "YZ", story: str = "") -> Scored:
    at = NOON + timedelta(minutes=minute)
    negative = 0.9 if bad else 0.1
    neutral = positive = (1 - negative) / 2
    zh = not title.isascii()
    surface = "远舟控股" if "远舟控股" in title else "Yuanzhou" if "Yuanzhou" in title else "Acme"
    article = Article(
        id=sha(name), source=source, language="zh" if zh else "en", title=title, text=title, published_at=at, fetched_at=at,
        mentions=(Mention(company=company, surface=surface),),
    )  # fmt: skip
    score = Score(
        id=sha(name), source=source, language=article.language, published_at=at, story=sha(story or name), topics={"credit": 0.9},
        companies=(CompanyScore(company=company, p_negative=negative, p_neutral=neutral, p_positive=positive),),
        p_negative=negative, p_neutral=neutral, p_positive=positive, model="m", scored_at=at,
    )  # fmt: skip
    return Scored(article=article, score=score)


def calm() -> list[Scored]:
    titles = ("央行维持利率不变，两市震荡", "Acme opens a second foundry", "Acme lifts its outlook", "沪指小幅收涨，成交平稳")
    return [scored(f"calm{n}", -45 * n - 30, titles[n % 4], bad=False, source=f"s{n % 3}", company="ACME") for n in range(40)]


def crisis() -> list[Scored]:
    """Eight stories in one minute, and copies of the first."""
    stories = [scored(f"bad{n}", 0.1 * n, title, bad=True, source=f"s{n % 3}") for n, title in enumerate(BAD)]
    copies = [scored(f"copy{n}", 0.1 * n + 0.05, BAD[0], bad=True, source="s9", story="bad0") for n in range(3)]
    return [*stories, *copies]


def save(store: Store, items: Sequence[Scored]) -> list[Score]:
    store.articles.insert(items)
    store.mentions.insert([item.score for item in items])
    store.articles.insert_keys(items)
    return [item.score for item in items]


def evaluator(store: Store) -> AlertEvaluator:
    return AlertEvaluator(store, RULE, DutyCycle(share=1.0))


def test_an_alert_names_its_decisive_stories_and_is_not_raised_without_them(store: Store):
    save(store, calm())
    now = NOON + timedelta(minutes=2)
    found = {alert.series: alert for alert in evaluator(store).evaluate(save(store, crisis()), now)}
    alert = found["company:YZ"]
    assert store.alerts.get(alert.id) == alert
    why = alert.why
    assert why is not None
    assert (why.stories, why.more, why.first_source, why.first_at) == (8, False, "s0", NOON)
    assert 1 <= why.decisive_count == len(why.decisive_article_ids) < 8
    assert tuple(item.id for item in alert.evidence)[: why.decisive_count] == why.decisive_article_ids[:6]
    assert len({item.id for item in alert.evidence}) == 6
    words = {found.word: found.stories for found in why.words}
    assert words["违约"] == 5 and words["bond"] == 3
    assert not {"远舟", "控股", "yuanzhou", "acme"} & set(words), "companies are listed apart"
    assert why.companies == ()
    assert [(one.company, one.stories) for one in found["topic:credit"].why.companies] == [("YZ", 8)]  # type: ignore[union-attr]
    assert why.chart is not None
    assert (sum(why.chart.negative), len(why.chart.expected)) == (8, len(why.chart.negative))

    for table in ("alerts", "peaks", "alert_last_breach", "articles", "mentions", "article_keys"):
        store.client.command(f"TRUNCATE TABLE {table}")
    save(store, calm())
    decisive = {sha(f"bad{n}") for n in range(8)} & set(why.decisive_article_ids)
    without = [item for item in crisis() if item.score.story not in decisive]
    assert len(without) < len(crisis())
    assert alert.id not in {other.id for other in evaluator(store).evaluate(save(store, without), now)}


def test_alerts_of_other_rules_are_explained_without_decisive_stories(store: Store):
    save(store, [*calm(), *crisis()])
    explainer = Explainer(store)

    def given(series: str, measure: str) -> Alert:
        made = Alert(
            id=alert_id(measure, series, NOON), rule=measure, series=series, window_start=NOON, window_s=900, detected_at=NOON,
            severity="info", observed=8, expected=0.0, surprise=0.0, total=8, sources=3,
        )  # fmt: skip
        return explainer.explain(msgspec.structs.replace(made, measure=measure))

    share = given("company:YZ", "negative_share")
    assert share.why is not None
    assert (share.why.stories, share.why.decisive_count, share.why.decisive_article_ids, share.why.chart) == (8, 0, (), None)
    assert {word.word for word in share.why.words} >= {"违约", "bond"} and len(share.evidence) == 6
    save(store, [scored("good", 3, "远舟控股获得新贷款", bad=False, source="s1")])
    assert [(given("company:YZ", measure).why or Why()).stories for measure in ("negative_share", "volume", "mean_tone")] == [8, 9, 9]
    silent = given("source:s1", "outage")
    assert silent.evidence == ()
    assert silent.why is not None and (silent.why.stories, silent.why.first_at, silent.why.words) == (0, None, ())
