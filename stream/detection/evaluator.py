"""From scores to stored alerts: which series and minutes the scores concern, and what the store says about them.

An article's way to an alert, with the files to read, in order:

    Kafka ─▶ articles ─▶ scores ─▶ alerts
        stream/worker/agents.py                   consumes a topic in batches, publishes, acknowledges
        stream/worker/batches.py, pipeline.py     decode, classify, store; the scores go to the next topic
        stream/detection/evaluator.py             this file: series and minutes that a batch of scores concerns
        stream/detection/minute_counts_cache.py   their counts per minute, from the store
        stream/detection/detector.py              windows ─▶ corroborated spikes over the threshold ─▶ alerts
        stream/detection/spike_rule.py            corroboration, severity, the alert itself
        stats/spikes.py                           how surprising a window is, given the baseline

Beside this way: rules with fixed limits (limit_evaluator.py), outages of sources (outage_monitor.py), explanations (explainer.py).
"""

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
from stream.detection.attribution import SpikeDecision, chart_for, chart_steps
from stream.detection.detector import Detections, SpikeDetector
from stream.detection.explainer import Explainer
from stream.detection.limit_evaluator import FAR_FUTURE, AffectedSeries, LimitEvaluator, limit_evidence
from stream.detection.limit_rule import LimitRule
from stream.detection.minute_counts_cache import MinuteCountsCache
from stream.detection.spike_rule import SpikeRule
from stream.detection.threshold import AlertThreshold
from stream.retry import DutyCycle


class AlertEvaluator:
    """Evaluates the spike rule and the analysts' limit rules. A restart loses nothing. One thread at a time.

    Scores only say where to look; the counts come from the store. A worker that starts therefore looks at the last hour once, and scores
    whose messages were lost (a broker in memory that died, a topic with a short retention) still raise their alerts.

    Args:
        store: Retries its calls (stream.retry.retrying).
        rule: The spike rule.
        duty_cycle: Limits the share of time that evaluation may take.
        limit_rules: The analysts' own rules.
    """

    def __init__(self, store: Store, rule: SpikeRule, duty_cycle: DutyCycle, limit_rules: Sequence[LimitRule] = ()) -> None:
        self._store, self._rule = store, rule
        self._duty_cycle = duty_cycle
        self._mentions = store.mentions.counting(rule.min_materiality)
        self._counts = MinuteCountsCache(self._mentions, rule.history_s + 2 * DAY_S)
        self._threshold = AlertThreshold(rule, store.peaks, self._mentions)
        self._detector = SpikeDetector(rule, self._mentions, self._threshold)
        self._explainer = Explainer(store)
        self._limits = LimitEvaluator(store, limit_rules, rule.max_age_s)
        self._returned: set[str] = set()
        self._last_breach: dict[str, datetime] = {}

    def evaluate(self, scores: Sequence[Score], now: datetime) -> list[Alert]:
        """The alerts that these scores raise, after storing them.

        Alerts of episodes that go on and that this process has not returned yet are returned too: their publication may have been lost.

        Raises:
            StoreUnavailable: The store does not answer for too long.
            StoreError: The store refuses a query.
        """
        with self._duty_cycle.turn():
            for series in self._counts.invalidate(scores):
                self._detector.forget(series)
            negative: dict[str, list[datetime]] = {}
            for score in scores:
                if not score.counts_for(self._rule.min_materiality):
                    continue
                for series, *p in facts(score):
                    if is_negative(*p):
                        negative.setdefault(series, []).append(score.published_at)
            return self._evaluate(negative, self._limits.affected(scores, now), now)

    def catch_up(self, now: datetime) -> list[Alert]:
        """As `evaluate`, for everything in the store that is recent enough, whether or not its messages arrived."""
        with self._duty_cycle.turn():
            since = now - timedelta(seconds=self._rule.max_age_s)
            negative = self._mentions.negative(since, MINUTE_S)
            return self._evaluate(negative, self._limits.affected_in_store(now), now)

    def _evaluate(self, negative: Mapping[str, Sequence[datetime]], affected: AffectedSeries, now: datetime) -> list[Alert]:
        (spikes, counts), limits = self._detect_spikes(negative, now), self._limits.evaluate(affected, now)
        alerts = [self._explain_spike(alert, counts, spikes.decisions.get(alert.id)) for alert in spikes.alerts]
        alerts += [self._explain_limit(alert) for alert in limits.alerts]
        ongoing = spikes.ongoing_ids | limits.ongoing_ids
        new = {alert.id for alert in alerts}
        self._store.alerts.insert(alerts)
        self._threshold.save_peaks()
        self._record_breaches(new | ongoing, now)
        found = alerts + self._stored(sorted(ongoing - new - self._returned))
        self._returned.update(alert.id for alert in found)
        return found

    def _detect_spikes(self, negative: Mapping[str, Sequence[datetime]], now: datetime) -> tuple[Detections, Mapping[str, StoryCounts]]:
        """Spike alerts, without evidence, of the series and moments in `negative`, and the counts they were found in."""
        oldest = now - timedelta(seconds=self._rule.max_age_s)
        followed = {} if self._rule.paused else {name: some for name, some in negative.items() if matches(self._rule.series, name)}
        began = {name: min(recent) for name, moments in followed.items() if (recent := [at for at in moments if at >= oldest])}
        if not began:
            return Detections([], set(), {}), {}
        counts = self._counts.get(began, now)
        spikes: dict[str, list[Spike]] = {}
        for name, since in sorted(began.items()):  # a late story also changes the windows that end after it
            ends = counts[name].negative_minute_ends(int(since.timestamp()) // MINUTE_S * MINUTE_S, FAR_FUTURE)
            spikes[name] = self._detector.spikes(name, counts, ends)
        threshold = self._threshold.at(now)
        high = [name for name, found in spikes.items() if any(spike.surprise >= threshold for spike in found)]
        reach = max(self._rule.widths_s) + max(self._rule.cooldown_s, *self._rule.widths_s)
        last = self._store.alerts.last_alerts(self._rule.name, high, oldest - timedelta(seconds=reach))
        return self._detector.detect(spikes, counts, last, now), counts

    def _record_breaches(self, idents: Collection[str], now: datetime) -> None:
        """Record, once a minute, that these alerts still breach their threshold: auto_resolve.py depends on it."""
        late = now - timedelta(seconds=MINUTE_S)
        new = sorted(ident for ident in idents if self._last_breach.get(ident, late) <= late)
        if new:
            self._store.alert_lifecycle.record_breach(new, now)
        self._last_breach = {ident: at for ident, at in self._last_breach.items() if at > late} | dict.fromkeys(new, now)

    def _stored(self, idents: Sequence[str]) -> list[Alert]:
        return [alert for ident in idents if (alert := self._store.alerts.get(ident)) is not None]

    def _explain_spike(self, alert: Alert, counts: Mapping[str, StoryCounts], decision: SpikeDecision | None) -> Alert:
        metrics.ALERTS.labels(alert.severity).inc()

        def chart() -> Chart:
            return chart_for(alert, counts[alert.series], self._detector.expected(alert.series, counts, *chart_steps(alert)))

        return self._explainer.explain(alert, decision, chart)

    def _explain_limit(self, alert: Alert) -> Alert:
        metrics.ALERTS.labels(alert.severity).inc()
        return self._explainer.explain(msgspec.structs.replace(alert, evidence=limit_evidence(self._store, alert)))
