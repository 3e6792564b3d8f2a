"""An analyst's own rules over the store: which series scores touched, and what the store says of them.

Beside the detector (evaluator.py), on the same minutes. Without rules, or where no rule is about what was touched, nothing is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from core.records import Alert, Evidence, Score
from core.series import facts, is_negative
from stats.minute_counts import EMPTY, MINUTE_S
from storage.store import Store
from stream.detection.detector import Rings
from stream.detection.limit_rule import RiskStory, Threshold, Told, moments, ring, risk_stories
from stream.detection.minute_counts_cache import Tallies
from stream.detection.spike_rule import evidence

FOR_EVER = 2**40
AHEAD = timedelta(days=1)
"""So far into the future a story may be dated: no clock is that wrong."""


class Touched(NamedTuple):
    """Where to look. began: series to the first moment at which something new was told of it; risky: some of it tells of a risk event."""

    began: dict[str, datetime]
    risky: bool


NOWHERE = Touched({}, False)


class _Held(NamedTuple):
    """A rule that holds for a series at these moments."""

    rule: Threshold
    series: str
    told: Told
    ends: list[int]


class Levels:
    """Keeps no state that a restart would miss. One thread at a time. max_age_s: a story of longer ago is history and rings nothing"""

    def __init__(self, store: Store, rules: Iterable[Threshold], max_age_s: float) -> None:
        self._store, self._max_age = store, timedelta(seconds=max_age_s)
        self._rules = [rule for rule in rules if not rule.paused]
        self._window = timedelta(seconds=max((rule.window_s for rule in self._rules), default=0))
        self._events = any(rule.kind == "risk_event" for rule in self._rules)
        self._tallies = Tallies(store.mentions, (self._window + self._max_age).total_seconds())

    def touched(self, scores: Sequence[Score], now: datetime) -> Touched:
        """Where these scores, which are stored, tell to look."""
        if not self._rules:
            return NOWHERE
        self._tallies.heard(scores)
        began: dict[str, datetime] = {}
        for score in scores:
            if score.published_at >= now - self._max_age:
                for series, *_ in facts(score):
                    began[series] = min(began.get(series, score.published_at), score.published_at)
        risky = self._events and any(score.risks for score in scores)
        return Touched(self._watched(began, risky), risky)

    def stored(self, now: datetime) -> Touched:
        """Everywhere that something was told of that is no history yet. Raises StoreError."""
        if not self._rules:
            return NOWHERE
        since = now - self._max_age
        began = {row.series: since for row in self._store.mentions.touched(since, now + AHEAD)}
        return Touched(self._watched(began, self._events), self._events)

    def ring(self, touched: Touched, now: datetime) -> Rings:
        """The alerts of these series from these moments on, without evidence, not stored. Raises StoreError."""
        rings = Rings([], set(), {})
        if not touched.began:
            return rings
        held = list(self._held(touched, now))
        reach = max((it.rule.window_s + max(it.rule.cooldown_s, it.rule.window_s) for it in held), default=0.0)
        names, series = sorted({it.rule.name for it in held}), sorted({it.series for it in held})
        last = self._store.alerts.last_rungs(names, series, now - self._max_age - timedelta(seconds=reach))
        for it in held:
            found = ring(it.rule, it.series, it.told, it.ends, last.get((it.rule.name, it.series)), self._store.mentions, now)
            rings.fresh.extend(found.fresh)
            rings.going_on.update(found.going_on)
        return rings

    def _held(self, touched: Touched, now: datetime) -> Iterator[_Held]:
        tallies, risks = self._tallies.of(touched.began, now), self._risks(touched, now)
        for series, since in sorted(touched.began.items()):
            told = Told(tallies.get(series, EMPTY), risks.get(series, ()))
            for rule in self._rules:
                ends = moments(rule, told, int(since.timestamp()) // MINUTE_S * MINUTE_S, FOR_EVER) if rule.about(series) else []
                if ends:
                    yield _Held(rule, series, told, ends)

    def _watched(self, began: dict[str, datetime], risky: bool) -> dict[str, datetime]:
        rules = [rule for rule in self._rules if risky or rule.kind != "risk_event"]
        return {series: since for series, since in began.items() if any(rule.about(series) for rule in rules)}

    def _risks(self, touched: Touched, now: datetime) -> dict[str, list[RiskStory]]:
        if not touched.risky:
            return {}
        return risk_stories(self._store.articles.risky(now - self._max_age - self._window, now + AHEAD))


def evidence_of(store: Store, alert: Alert) -> tuple[Evidence, ...]:
    """The articles to show with an alert: those that its rule looked at, the most negative, or likeliest, first. Raises StoreError."""
    end = alert.window_start + timedelta(seconds=alert.window_s)
    if alert.measure != "risk_event":
        articles = store.articles.of_series(alert.series, alert.window_start, end, limit=50)
        return evidence(articles, alert.total if alert.measure in ("volume", "mean_tone") else alert.observed)
    telling = {
        score.id: score.risks[alert.event]
        for score in store.articles.risky(alert.window_start, end)
        if round(score.risks.get(alert.event, 0.0), 4) >= alert.limit
        and any(series == alert.series and is_negative(*p) for series, *p in facts(score))
    }
    articles = sorted(store.articles.by_id(list(telling)[:500], alert.window_start, end), key=lambda it: (-telling[it.id], it.id))
    return evidence(articles, len(articles))
