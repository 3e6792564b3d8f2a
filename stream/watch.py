"""From scores to alerts: which series and moments the scores touched, and what the store says was there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from spine import metrics
from spine.records import Alert, Score
from spine.series import MARKET, facts, is_negative
from spine.store import Rung, Store
from stream.alerts import Rule, corroborated, decide, evidence
from stream.bar import Bar
from stream.judge import Judge
from stream.resilience import Pace, Patience
from stream.spikes import Spike
from stream.tallies import Tallies
from stream.tally import DAY_S, MINUTE_S, Tally

FOR_EVER = 2**40


class Watcher:
    """Keeps no state that a restart would miss. One thread at a time.

    Scores only say where to look, the store says what is there; so who begins to watch looks at the last hour once, and scores
    whose messages were lost (the broker in memory died, a topic kept them too short a time) raise their alerts all the same.
    """

    def __init__(self, store: Store, rule: Rule, patience: Patience, pace: Pace) -> None:
        self._store, self._rule = store, rule
        self._patience, self._pace = patience, pace
        self._tallies = Tallies(store.mentions, rule.history_s + 2 * DAY_S)
        self._judge = Judge(rule)
        self._bar = Bar(store, rule)
        self._rung: set[str] = set()

    def watch(self, scores: Sequence[Score], now: datetime) -> list[Alert]:
        """The alerts that these scores raise, stored. Raises StoreBusy when the store does not answer for too long, StoreError."""
        with self._pace.turn():
            for series in self._tallies.heard(scores):
                self._judge.forget(series)
            negative: dict[str, list[datetime]] = {}
            for score in scores:
                for series, *p in facts(score):
                    if is_negative(*p):
                        negative.setdefault(series, []).append(score.published_at)
            return self._ring(negative, now)

    def catch_up(self, now: datetime) -> list[Alert]:
        """The same for all that is stored and no history yet: whatever became of the scores' messages. Raises as `watch` does."""
        with self._pace.turn():
            since = now - timedelta(seconds=self._rule.max_age_s)
            return self._ring(self._patience.wait_for("watch", self._store.mentions.negative, since, MINUTE_S), now)

    def _ring(self, negative: Mapping[str, Sequence[datetime]], now: datetime) -> list[Alert]:
        found = self._patience.wait_for("watch", self._look, negative, now)
        self._rung.update(alert.id for alert in found)
        return found

    def _look(self, negative: Mapping[str, Sequence[datetime]], now: datetime) -> list[Alert]:
        """The alerts of the moments at which negative stories of these series came. Raises StoreError."""
        oldest = now - timedelta(seconds=self._rule.max_age_s)
        began = {name: min(recent) for name, moments in negative.items() if (recent := [at for at in moments if at >= oldest])}
        if not began:
            return []
        tallies = self._tallies.of(began, now)
        spikes = {name: self._spikes(name, tallies, since) for name, since in sorted(began.items())}
        bar = self._bar.at(now)
        high = [name for name, found in spikes.items() if any(spike.surprise >= bar for spike in found)]
        rang = self._store.alerts.last_rung(self._rule.name, high, oldest - timedelta(seconds=2 * max(self._rule.widths_s)))
        fresh: list[Alert] = []
        again: set[str] = set()
        for name, found in spikes.items():
            last = rang.get(name)
            for spike in found:
                alert = self._judged(name, spike, tallies, last, now)
                if alert is not None:
                    last = Rung(alert.id, spike.end)
                    fresh.append(alert)
                elif last is not None and spike.surprise >= bar:
                    again.add(last.id)
        self._store.alerts.insert(fresh)
        self._bar.store()
        return fresh + self._again(sorted(again - {alert.id for alert in fresh} - self._rung))

    def _spikes(self, name: str, tallies: Mapping[str, Tally], since: datetime) -> list[Spike]:
        """The spikes of a series at its negative stories since then: one that came late lifts those that came after it."""
        tally = tallies[name]
        recent = tally.between(int(since.timestamp()) // MINUTE_S * MINUTE_S, FOR_EVER)
        ends = [int(minute) + MINUTE_S for minute, negative in zip(recent.at, recent.negative, strict=True) if negative]
        return [spike for end in ends if (spike := self._judge.spike(name, tally, tallies[MARKET], end)) is not None]

    def _judged(self, name: str, spike: Spike, tallies: Mapping[str, Tally], last: Rung | None, now: datetime) -> Alert | None:
        """The alert that `spike` raises after the one that its series raised last, with evidence. Raises StoreError."""
        bar = self._bar.at(now)
        if spike.surprise < bar and not self._bar.worth_noting(name, spike):
            return None
        borne = self._borne(name, spike, now)
        if borne is not None:
            self._bar.note(name, borne[0])
        if borne is not None and last is not None:
            if spike.end < last.end + self._rule.cooldown_s:
                return None
            if spike.end - spike.width_s < last.end:  # what rang already is not counted once more
                rest = self._judge.spike(name, tallies[name], tallies[MARKET], spike.end, since=last.end)
                borne = self._borne(name, rest, now) if rest is not None else None
        if borne is None:
            return None
        spike, sources = borne
        total = int(tallies[name].count_all(spike.end - spike.width_s, spike.end))
        alert = decide(name, spike, bar=bar, total=total, sources=sources, rule=self._rule, now=now)
        return self._with_evidence(alert) if alert is not None else None

    def _borne(self, name: str, spike: Spike, now: datetime) -> tuple[Spike, int] | None:
        """The spike as far as sources bear each other out, and how many they are."""
        start, end = (datetime.fromtimestamp(moment, tz=UTC) for moment in (spike.end - spike.width_s, spike.end))
        told = self._store.mentions.negative_sources(name, start, end)
        borne = corroborated(spike, told.values(), self._rule, self._bar.feed_sources(now))
        return (borne, len(told)) if borne is not None else None

    def _again(self, idents: Sequence[str]) -> list[Alert]:
        """The stored alerts of episodes that go on and that this process has not handed on yet: their publication may have been lost."""
        return [alert for ident in idents if (alert := self._store.alerts.get(ident)) is not None]

    def _with_evidence(self, alert: Alert) -> Alert:
        end = alert.window_start + timedelta(seconds=alert.window_s)
        articles = self._store.articles.of_series(alert.series, alert.window_start, end, limit=50)
        metrics.ALERTS.labels(alert.severity).inc()
        return msgspec.structs.replace(alert, evidence=evidence(articles, alert.observed))
