"""Alerts do not depend on how news arrives. The store is a dictionary here; with a real one: tests/contract/stream/test_pipeline.py."""

from __future__ import annotations

import copy
import itertools
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import StoreError, StoreUnavailable
from core.records import Alert, CompanyScore, MaterialityScore, Score, is_material, sha
from core.series import MARKET, company_series, facts, is_negative
from storage.store import ArticleRow, LastAlert, MinuteCounts, PeakRow, SeriesArticle, SourceStories, Store
from storage.tables.repeats import StoredRepeat
from stream.detection.evaluator import AlertEvaluator
from stream.detection.spike_rule import SpikeRule
from stream.retry import DutyCycle
from tests.helpers.strategies import examples

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
RULE = SpikeRule(false_per_week=20.0)
COMPANIES = ("600519.SH", "ACME")


class PeakMemory:
    """The peaks of one rule, in memory."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, datetime], PeakRow] = {}

    def began(self, rule: str, now: datetime) -> datetime:
        return NOON - timedelta(days=7)

    def since(self, rule: str, since: datetime) -> list[PeakRow]:
        return [peak for peak in self.rows.values() if peak.end >= since]

    def insert(self, rule: str, peaks: Sequence[PeakRow]) -> None:
        self.rows |= {(peak.series, peak.end): peak for peak in peaks}


class NoRepeats:
    """A store's table of learned boilerplate without rows."""

    def all(self) -> list[StoredRepeat]:
        return []


class Memory:
    """The parts of a store that an AlertEvaluator uses, in memory."""

    def __init__(self, scores: Sequence[Score] = ()) -> None:
        self.scores: dict[str, Score] = {}
        self.raised: dict[str, Alert] = {}
        self.peaks = PeakMemory()
        self.repeats = NoRepeats()
        self.breaches: Counter[str] = Counter()
        self.least = 0.0
        self.mentions = self.alerts = self.articles = self.alert_lifecycle = self
        self.arrive(scores)

    def arrive(self, scores: Sequence[Score]) -> None:
        self.scores |= {score.id: score for score in scores}

    def counting(self, least: float) -> Memory:
        """The same rows, of which those with less materiality do not count."""
        found = copy.copy(self)
        found.least = least
        return found

    def record_breach(self, alert_ids: Sequence[str], at: datetime) -> None:
        self.breaches.update(alert_ids)

    def _facts(self, since: datetime, until: datetime) -> Iterator[tuple[Score, str, bool]]:
        for score in self.scores.values():
            if since <= score.published_at < until and is_material(score.materiality, self.least):
                yield from ((score, series, is_negative(*p)) for series, *p in facts(score))

    def minutes(self, series: Sequence[str], since: datetime, until: datetime) -> dict[str, MinuteCounts]:
        found: dict[str, MinuteCounts] = {}
        for score, name, bad in self._facts(since, until):
            if name in series and score.id == score.story:
                counts = found.setdefault(name, MinuteCounts([], [], [], []))
                counts.minute.append(int(score.published_at.timestamp()) // 60 * 60)
                counts.negative.append(int(bad))
                counts.stories.append(1)
                counts.tone.append(round(score.tone * 10_000))
        return found

    def negative_sources(self, series: str, since: datetime, until: datetime) -> dict[str, SourceStories]:
        stories: dict[str, set[tuple[str, bool]]] = {}
        for score, name, bad in self._facts(since, until):
            if name == series and bad:
                stories.setdefault(score.source, set()).add((score.story, score.id == score.story))
        return {source: SourceStories(sum(new for _, new in some), len({story for story, _ in some})) for source, some in stories.items()}

    def sources(self, since: datetime, until: datetime) -> int:
        return len({score.source for score, _, _ in self._facts(since, until)})

    def series_count(self, since: datetime, until: datetime) -> int:
        return len({name for _, name, _ in self._facts(since, until)})

    def negative(self, since: datetime, width_s: int) -> dict[str, list[datetime]]:
        found: dict[str, list[datetime]] = {}
        for score, name, bad in self._facts(since, datetime.max.replace(tzinfo=UTC)):
            if bad:
                found.setdefault(name, []).append(score.published_at)
        return found

    def insert(self, alerts: Sequence[Alert]) -> None:
        self.raised |= {alert.id: alert for alert in alerts}

    def get(self, ident: str) -> Alert | None:
        return self.raised.get(ident)

    def last_alerts(self, rule: str, series: Sequence[str], since: datetime) -> dict[str, LastAlert]:
        found: dict[str, LastAlert] = {}
        for alert in self.raised.values():
            end = int(alert.window_start.timestamp()) + alert.window_s
            if alert.series in series and alert.window_start >= since and end >= found.get(alert.series, LastAlert("", 0)).end:
                found[alert.series] = LastAlert(alert.id, end)
        return found

    def articles_of(self, series: str, since: datetime, until: datetime, limit: int, *, every: bool) -> list[SeriesArticle]:
        found = [
            SeriesArticle(int(score.published_at.timestamp()), score.id, score.story, score.source, score.p_negative)
            for score, name, bad in self._facts(since, until)
            if name == series and (bad or every)
        ]
        return sorted(found, key=lambda mention: (-mention.p_negative, mention.id))[:limit]

    def by_id(self, ids: Sequence[str], since: datetime, until: datetime) -> list[ArticleRow]:
        return [row(self.scores[ident]) for ident in ids]

    def newest_of(self, series: str, since: datetime, until: datetime, limit: int) -> list[ArticleRow]:
        return []

    def latest(self, limit: int, *, since: datetime, until: datetime) -> list[ArticleRow]:
        return []


def row(score: Score) -> ArticleRow:
    return ArticleRow(
        id=score.id, url="", source=score.source, language=score.language, title="违约 default", text="", published_at=score.published_at,
        story=score.story, topics=(), companies=tuple(company.company for company in score.companies), p_negative=score.p_negative,
        p_neutral=score.p_neutral, p_positive=score.p_positive, model=score.model,
    )  # fmt: skip


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def story(name: str, minute: float, *, bad: bool = True, source: str = "s0", company: str = "ACME") -> Score:
    p = (0.9, 0.05, 0.05) if bad else (0.05, 0.05, 0.9)
    return Score(
        id=sha(name),
        source=source,
        language="zh" if company.endswith("SH") else "en",
        published_at=at(minute),
        story=sha(name),
        p_negative=p[0],
        p_neutral=p[1],
        p_positive=p[2],
        topics={},
        companies=(CompanyScore(company=company, sector="", p_negative=p[0], p_neutral=p[1], p_positive=p[2]),),
        model="m",
        scored_at=at(minute),
    )


CALM = [story(f"calm {n}", -60 * n - 30, bad=False, source=f"s{n % 4}", company=COMPANIES[n % 2]) for n in range(72)]


def evaluator(memory: Memory, rule: SpikeRule = RULE) -> AlertEvaluator:
    return AlertEvaluator(cast(Store, memory), rule, DutyCycle(share=1.0))


def arriving(batches: Sequence[Sequence[Score]], *, chance: random.Random, restart: bool) -> Memory:
    """Each batch is stored and evaluated, some twice; by one evaluator, or each by a new one."""
    memory = Memory(CALM)
    one = evaluator(memory)
    for number, batch in enumerate(batches):
        memory.arrive(batch)
        seen = evaluator(memory) if restart else one
        for _ in range(chance.choice([1, 1, 2])):
            seen.evaluate(batch, at(50 + number / 60))
    return memory


news = st.lists(
    st.tuples(st.integers(0, 49), st.sampled_from(["s0", "s0", "s1", "新浪"]), st.sampled_from(COMPANIES)), min_size=1, max_size=14
)


@examples(60)
@given(news, st.booleans(), st.randoms(use_true_random=False))
def test_alerts_depend_neither_on_the_order_of_arrival_nor_on_repetitions(
    crisis: list[tuple[int, str, str]], restart: bool, chance: random.Random
):
    scores = [story(f"crisis {n}", minute, source=source, company=company) for n, (minute, source, company) in enumerate(crisis)]
    at_once = arriving([scores], chance=chance, restart=False)
    chance.shuffle(scores)
    batches: list[list[Score]] = []
    while scores:
        size = chance.randint(1, 4)
        batches.append(scores[:size])
        scores = scores[size:]
    pieces = arriving([*batches, *chance.sample(batches, min(2, len(batches)))], chance=chance, restart=restart)
    assert Counter(alert.series for alert in pieces.raised.values()) == Counter(alert.series for alert in at_once.raised.values())
    assert all(number == 1 for number in Counter(alert.series for alert in pieces.raised.values()).values())


def crisis(first: float = 0, number: int = 8, *, name: str = "crisis") -> list[Score]:
    return [story(f"{name} {n}", first + n, source=f"s{n % 3}", company="600519.SH") for n in range(number)]


def test_a_crisis_raises_alerts_for_its_company_and_the_market():
    memory = Memory([*CALM, *crisis()])
    found = evaluator(memory).evaluate(crisis(), at(8))
    assert {alert.series for alert in found} == {company_series("600519.SH"), MARKET, "language:zh", "genre:news"}
    assert all(alert.window_start + timedelta(seconds=alert.window_s) <= at(8) for alert in found)
    assert {alert.id for alert in evaluator(memory).catch_up(at(9))} == {alert.id for alert in found} == set(memory.raised)


def with_materiality(scores: Sequence[Score], p: float) -> list[Score]:
    level = MaterialityScore(p_background=1.0, p_relevant=p, p_urgent=0.0)
    return [msgspec.structs.replace(score, materiality=level) for score in scores]


@pytest.mark.parametrize(("p", "least", "raises"), [(0.2, 0.5, False), (0.2, 0.0, True), (0.8, 0.5, True), (0.8, 0.9, False)])
def test_articles_that_do_not_bear_on_prices_raise_no_alert(p: float, least: float, raises: bool):
    news, rule = with_materiality(crisis(), p), replace(RULE, min_materiality=least)
    memory = Memory([*CALM, *news])
    assert bool(evaluator(memory, rule).evaluate(news, at(8))) == raises
    assert bool(evaluator(Memory([*CALM, *news]), rule).catch_up(at(9))) == raises
    assert {alert.min_materiality for alert in memory.raised.values()} == ({least} if raises else set())


def test_articles_that_do_not_bear_on_prices_are_no_history_either():
    """A month of sport under the same series must not raise the baseline of the series."""
    sport = with_materiality([story(f"match {n}", -60 * n - 40, source=f"s{n % 4}", company="600519.SH") for n in range(72)], 0.1)
    with_sport = evaluator(Memory([*CALM, *sport, *crisis()])).evaluate(crisis(), at(8))
    without = evaluator(Memory([*CALM, *crisis()])).evaluate(crisis(), at(8))
    assert with_sport
    assert [(a.id, a.expected, a.surprise) for a in with_sport] == [(a.id, a.expected, a.surprise) for a in without]


def test_an_alert_is_explained_by_decisive_stories_terms_and_a_chart():
    memory = Memory([*CALM, *crisis()])
    for alert in evaluator(memory).evaluate(crisis(), at(8)):
        why = alert.why
        assert why is not None and why.chart is not None
        assert (why.stories, why.read, why.more, why.first_source, why.first_at) == (alert.observed, alert.observed, False, "s0", at(0))
        assert 1 <= why.decisive_count == len(why.decisive_article_ids) <= alert.observed
        assert [item.id for item in alert.evidence[: why.decisive_count]] == list(why.decisive_article_ids)[: len(alert.evidence)]
        assert {found.word: found.stories for found in why.words} == {"违约": alert.observed, "default": alert.observed}
        companies = {found.company: found.stories for found in why.companies}
        assert companies == ({} if alert.series.startswith("company:") else {"600519.SH": alert.observed})
        assert sum(why.chart.negative) == alert.observed
        assert len(why.chart.expected) == len(why.chart.negative) and max(why.chart.expected) < 1
        cut = Memory([*CALM, *(score for score in crisis() if score.id not in why.decisive_article_ids)])
        assert alert.id not in {other.id for other in evaluator(cut).catch_up(at(8))}


@pytest.mark.parametrize("error", [StoreError("gone"), StoreUnavailable("away"), ValueError("a bug of ours")])
def test_an_alert_that_cannot_be_explained_is_raised_without_explanation(error: Exception):
    class FailingStore(Memory):
        def latest(self, limit: int, *, since: datetime, until: datetime) -> list[ArticleRow]:
            raise error

    memory = FailingStore([*CALM, *crisis()])
    found = evaluator(memory).evaluate(crisis(), at(8))
    assert found and all(alert.why is None and alert.evidence for alert in found)
    assert set(memory.raised) == {alert.id for alert in found}


def test_old_stories_raise_no_alert_and_future_ones_raise_it_once():
    memory = Memory([*CALM, *crisis()])
    assert evaluator(memory).evaluate(crisis(), at(70)) == []
    assert evaluator(memory).catch_up(at(70)) == []
    assert memory.raised == {}
    seen = evaluator(memory)
    first = seen.evaluate(crisis(), at(-20))
    assert first
    for minute in (-19, 0, 9, 30):
        assert seen.evaluate(crisis(), at(minute)) == []
    assert len(memory.raised) == len(first)


def test_a_cooldown_follows_an_alert_and_the_next_alert_counts_only_later_stories():
    memory = Memory([*CALM, *crisis()])
    seen = evaluator(memory)
    (before, *_) = [alert for alert in seen.evaluate(crisis(), at(8)) if alert.series != MARKET]
    end = before.window_start + timedelta(seconds=before.window_s)
    again = crisis(120, name="in the cool-down")
    memory.arrive(again)
    assert seen.evaluate(again, at(128)) == []
    assert memory.breaches[before.id] == 2, "auto-resolution needs to know that the alert is ongoing"
    later = crisis(4 * 60 + 20, name="after it")
    memory.arrive(later)
    (after, *_) = [alert for alert in seen.evaluate(later, at(4 * 60 + 30)) if alert.series != MARKET]
    assert after.window_start >= end
    assert after.observed <= len(again) + len(later)


def test_windows_of_successive_alerts_do_not_overlap():
    """A long crisis with a cooldown of a minute."""
    memory = Memory([*CALM, *crisis(number=40)])
    evaluator(memory, replace(RULE, cooldown_s=60)).evaluate(crisis(number=40), at(45))
    its = [alert for alert in memory.raised.values() if alert.series == company_series("600519.SH")]
    ours = sorted(its, key=lambda alert: alert.window_start)
    assert len(ours) >= 2
    for before, after in itertools.pairwise(ours):
        assert after.window_start >= before.window_start + timedelta(seconds=before.window_s)


def test_a_peak_is_stored_for_the_threshold_even_without_an_alert():
    memory = Memory([*CALM, *crisis(number=4)])
    assert evaluator(memory, replace(RULE, false_per_week=1e-9)).evaluate(crisis(number=4), at(5)) == []
    (peak,) = [peak for peak in memory.peaks.rows.values() if peak.series == company_series("600519.SH")][-1:]
    assert peak.surprise > 4 and peak.end <= at(5)
