"""Evaluates limit rules over the store: which series the scores concern, and which alerts their counts raise.

Runs beside the spike detector (evaluator.py). Without rules, or where no rule follows the series, nothing is queried.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from core.records import Alert, Evidence, Score
from core.series import facts, is_negative
from stats.minute_counts import EMPTY, MINUTE_S
from storage.store import Store
from stream.detection.detector import Detections
from stream.detection.limit_rule import LimitRule, RiskArticle, SeriesData, breach_ends, evaluate_limit, risk_articles
from stream.detection.minute_counts_cache import MinuteCountsCache
from stream.detection.spike_rule import evidence_of

FAR_FUTURE = 2**40
MAX_CLOCK_ERROR = timedelta(days=1)
"""A story may be dated so far in the future."""
MAX_ARTICLES = 500
SERIES_ARTICLES = 50


class AffectedSeries(NamedTuple):
    """The series to evaluate.

    Attributes:
        began: By series, the publication time of its first new article.
        with_risks: Whether any new article is about a risk event.
    """

    began: dict[str, datetime]
    with_risks: bool


NONE_AFFECTED = AffectedSeries({}, False)


class _Candidate(NamedTuple):
    """A rule and a series that is beyond the limit in the windows that end at `ends`."""

    rule: LimitRule
    series: str
    data: SeriesData
    ends: list[int]


class LimitEvaluator:
    """Evaluates the limit rules. A restart loses nothing. One thread at a time.

    Args:
        store: Retries its calls (stream.retry.retrying).
        rules: The rules; paused ones are ignored.
        max_age_s: A story published longer ago raises no alert.
    """

    def __init__(self, store: Store, rules: Iterable[LimitRule], max_age_s: float) -> None:
        self._store, self._max_age = store, timedelta(seconds=max_age_s)
        self._rules = [rule for rule in rules if not rule.paused]
        self._window = timedelta(seconds=max((rule.window_s for rule in self._rules), default=0))
        self._has_risk_rules = any(rule.kind == "risk_event" for rule in self._rules)
        history_s = (self._window + self._max_age).total_seconds()
        self._mentions = {rule.min_materiality: store.mentions.counting(rule.min_materiality) for rule in self._rules}
        self._counts = {least: MinuteCountsCache(mentions, history_s) for least, mentions in self._mentions.items()}

    def affected(self, scores: Sequence[Score], now: datetime) -> AffectedSeries:
        """The series that these scores, which are stored, concern."""
        if not self._rules:
            return NONE_AFFECTED
        for counts in self._counts.values():
            counts.invalidate(scores)
        began: dict[str, datetime] = {}
        for score in scores:
            if score.counts and score.published_at >= now - self._max_age:
                for series, *_ in facts(score):
                    began[series] = min(began.get(series, score.published_at), score.published_at)
        with_risks = self._has_risk_rules and any(score.risks for score in scores)
        return AffectedSeries(self._followed(began, with_risks), with_risks)

    def affected_in_store(self, now: datetime) -> AffectedSeries:
        """The series of all articles in the store that are recent enough. Raises StoreError."""
        if not self._rules:
            return NONE_AFFECTED
        since = now - self._max_age
        everything = self._store.mentions.counting(0.0)
        began = {row.series: since for row in everything.totals(since, now + MAX_CLOCK_ERROR)}
        return AffectedSeries(self._followed(began, self._has_risk_rules), self._has_risk_rules)

    def evaluate(self, affected: AffectedSeries, now: datetime) -> Detections:
        """The alerts of these series, without evidence, not stored yet. Raises StoreError."""
        found = Detections([], set(), {})
        if not affected.began:
            return found
        candidates = list(self._candidates(affected, now))
        reach = max((it.rule.window_s + max(it.rule.cooldown_s, it.rule.window_s) for it in candidates), default=0.0)
        names, series = sorted({it.rule.name for it in candidates}), sorted({it.series for it in candidates})
        last = self._store.alerts.last_alerts_of_rules(names, series, now - self._max_age - timedelta(seconds=reach))
        for it in candidates:
            mentions = self._mentions[it.rule.min_materiality]
            own = evaluate_limit(it.rule, it.series, it.data, it.ends, last.get((it.rule.name, it.series)), mentions, now)
            found.alerts.extend(own.alerts)
            found.ongoing_ids.update(own.ongoing_ids)
        return found

    def _candidates(self, affected: AffectedSeries, now: datetime) -> Iterator[_Candidate]:
        counts = {least: cache.get(affected.began, now) for least, cache in self._counts.items()}
        risks = self._risks(affected, now)
        for series, since in sorted(affected.began.items()):
            first = int(since.timestamp()) // MINUTE_S * MINUTE_S
            for rule in self._rules:
                data = SeriesData(counts[rule.min_materiality].get(series, EMPTY), risks.get(series, ()))
                ends = breach_ends(rule, data, first, FAR_FUTURE) if rule.follows(series) else []
                if ends:
                    yield _Candidate(rule, series, data, ends)

    def _followed(self, began: dict[str, datetime], with_risks: bool) -> dict[str, datetime]:
        rules = [rule for rule in self._rules if with_risks or rule.kind != "risk_event"]
        return {series: since for series, since in began.items() if any(rule.follows(series) for rule in rules)}

    def _risks(self, affected: AffectedSeries, now: datetime) -> dict[str, list[RiskArticle]]:
        if not affected.with_risks:
            return {}
        return risk_articles(self._store.articles.scores_with_risks(now - self._max_age - self._window, now + MAX_CLOCK_ERROR))


def limit_evidence(store: Store, alert: Alert) -> tuple[Evidence, ...]:
    """The articles to show with an alert of a limit rule: those that it counted, most negative or most probable first.

    Raises StoreError.
    """
    end = alert.window_start + timedelta(seconds=alert.window_s)
    if alert.measure != "risk_event":
        articles = store.articles.of_series(
            alert.series, alert.window_start, end, limit=SERIES_ARTICLES, min_materiality=alert.min_materiality
        )
        return evidence_of(articles, alert.total if alert.measure in ("volume", "mean_tone") else alert.observed)
    probabilities = {
        score.id: score.risks[alert.event]
        for score in store.articles.scores_with_risks(alert.window_start, end)
        if round(score.risks.get(alert.event, 0.0), 4) >= alert.limit
        and score.counts_for(alert.min_materiality)
        and any(series == alert.series and is_negative(*p) for series, *p in facts(score))
    }
    articles = store.articles.by_id(list(probabilities)[:MAX_ARTICLES], alert.window_start, end)
    return evidence_of(sorted(articles, key=lambda it: (-probabilities[it.id], it.id)), len(articles))
