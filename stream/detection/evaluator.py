"""From scores to alerts: which series and moments the scores touched, and what the store says was there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from core import metrics
from core.records import Alert, Chart, Score
from core.series import facts, is_negative
from domain.alert_lifecycle.silences import matches
from stats.minute_counts import DAY_S, MINUTE_S, StoryCounts
from stats.spikes import Spike
from storage.store import Store
from stream.detection.attribution import Judged, chart_for, steps
from stream.detection.detector import Detections, SpikeDetector
from stream.detection.explainer import Explainer
from stream.detection.limit_evaluator import FOR_EVER, LimitEvaluator, Touched, limit_evidence
from stream.detection.limit_rule import LimitRule
from stream.detection.minute_counts_cache import MinuteCountsCache
from stream.detection.spike_rule import SpikeRule
from stream.detection.threshold import AlertThreshold
from stream.worker.retry import Pace, Patience


class AlertEvaluator:
    """The detector, and an analyst's own rules. Keeps no state that a restart would miss. One thread at a time.

    Scores only say where to look, the store says what is there; so who begins to watch looks at the last hour once, and scores
    whose messages were lost (the broker in memory died, a topic kept them too short a time) raise their alerts all the same.
    """

    def __init__(self, store: Store, rule: SpikeRule, patience: Patience, pace: Pace, thresholds: Sequence[LimitRule] = ()) -> None:
        self._store, self._rule = store, rule
        self._patience, self._pace = patience, pace
        self._tallies = MinuteCountsCache(store.mentions, rule.history_s + 2 * DAY_S)
        self._bar = AlertThreshold(rule, store.peaks, store.mentions)
        self._ringer = SpikeDetector(rule, store.mentions, self._bar)
        self._reasons = Explainer(store)
        self._levels = LimitEvaluator(store, thresholds, rule.max_age_s)
        self._rung: set[str] = set()
        self._last_seen: dict[str, datetime] = {}

    def watch(self, scores: Sequence[Score], now: datetime) -> list[Alert]:
        """The alerts that these scores raise, stored. Raises StoreUnavailable when the store does not answer for too long, StoreError."""
        with self._pace.turn():
            for series in self._tallies.heard(scores):
                self._ringer.forget(series)
            negative: dict[str, list[datetime]] = {}
            for score in scores:
                for series, *p in facts(score):
                    if is_negative(*p):
                        negative.setdefault(series, []).append(score.published_at)
            return self._ring(negative, self._levels.touched(scores, now), now)

    def catch_up(self, now: datetime) -> list[Alert]:
        """The same for all that is stored and no history yet: whatever became of the scores' messages. Raises as `watch` does."""
        with self._pace.turn():
            since = now - timedelta(seconds=self._rule.max_age_s)
            negative = self._patience.wait_for("watch", self._store.mentions.negative, since, MINUTE_S)
            return self._ring(negative, self._patience.wait_for("watch", self._levels.stored, now), now)

    def _ring(self, negative: Mapping[str, Sequence[datetime]], touched: Touched, now: datetime) -> list[Alert]:
        found = self._patience.wait_for("watch", self._look, negative, touched, now)
        self._rung.update(alert.id for alert in found)
        return found

    def _look(self, negative: Mapping[str, Sequence[datetime]], touched: Touched, now: datetime) -> list[Alert]:
        """The alerts of the moments at which something was told of these series, stored. Raises StoreError."""
        (spikes, tallies), levels = self._spikes(negative, now), self._levels.ring(touched, now)
        fresh = [self._explained(alert, tallies, spikes.judged.get(alert.id)) for alert in spikes.fresh]
        fresh += [self._shown(alert) for alert in levels.fresh]
        ongoing_ids = spikes.ongoing_ids | levels.ongoing_ids
        new = {alert.id for alert in fresh}
        self._store.alerts.insert(fresh)
        self._bar.keep()
        self._seen(new | ongoing_ids, now)
        return fresh + self._again(sorted(ongoing_ids - new - self._rung))

    def _spikes(self, negative: Mapping[str, Sequence[datetime]], now: datetime) -> tuple[Detections, Mapping[str, StoryCounts]]:
        """The spikes at the moments at which negative stories of these series came, without evidence, and tallies. Raises StoreError."""
        oldest = now - timedelta(seconds=self._rule.max_age_s)
        about = {} if self._rule.paused else {name: moments for name, moments in negative.items() if matches(self._rule.series, name)}
        began = {name: min(recent) for name, moments in about.items() if (recent := [at for at in moments if at >= oldest])}
        if not began:
            return Detections([], set(), {}), {}
        tallies = self._tallies.of(began, now)
        spikes: dict[str, list[Spike]] = {}
        for name, since in sorted(began.items()):  # one that came late lifts those that came after it
            ends = tallies[name].ends(int(since.timestamp()) // MINUTE_S * MINUTE_S, FOR_EVER)
            spikes[name] = self._ringer.spikes(name, tallies, ends)
        bar = self._bar.at(now)
        high = [name for name, found in spikes.items() if any(spike.surprise >= bar for spike in found)]
        reach = max(self._rule.widths_s) + max(self._rule.cooldown_s, *self._rule.widths_s)
        last = self._store.alerts.last_rung(self._rule.name, high, oldest - timedelta(seconds=reach))
        return self._ringer.ring(spikes, tallies, last, now), tallies

    def _seen(self, idents: Collection[str], now: datetime) -> None:
        """Note, once a minute, that these are over the bar still: who resolves alerts asks for it."""
        late = now - timedelta(seconds=MINUTE_S)
        new = sorted(ident for ident in idents if self._last_seen.get(ident, late) <= late)
        if new:
            self._store.lives.seen(new, now)
        self._last_seen = {ident: at for ident, at in self._last_seen.items() if at > late} | dict.fromkeys(new, now)

    def _again(self, idents: Sequence[str]) -> list[Alert]:
        """The stored alerts of episodes that go on and that this process has not handed on yet: their publication may have been lost."""
        return [alert for ident in idents if (alert := self._store.alerts.get(ident)) is not None]

    def _explained(self, alert: Alert, tallies: Mapping[str, StoryCounts], judged: Judged | None) -> Alert:
        """The alert with its evidence and its why. tallies: that of its series, and of the market. Raises StoreError."""
        metrics.ALERTS.labels(alert.severity).inc()

        def chart() -> Chart:
            return chart_for(alert, tallies[alert.series], self._ringer.expected(alert.series, tallies, *steps(alert)))

        return self._reasons.explain(alert, judged, chart)

    def _shown(self, alert: Alert) -> Alert:
        """The same for an alert of an analyst's own rule. Raises StoreError."""
        metrics.ALERTS.labels(alert.severity).inc()
        return self._reasons.explain(msgspec.structs.replace(alert, evidence=limit_evidence(self._store, alert)))
