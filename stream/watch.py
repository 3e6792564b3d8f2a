"""From scores to alerts: which series and windows the scores touched, and what the store says is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from spine import metrics
from spine.records import Alert, Score, alert_id
from spine.series import facts, is_negative
from spine.store import Store
from stream import windows
from stream.alerts import Rule, decide, evidence, in_episode
from stream.past import Past
from stream.resilience import Pace, Patience


class Watcher:
    """Keeps no state that a restart would miss. One thread at a time.

    Scores only say where to look, the store says what is there; so who begins to watch looks at the last hour once, and scores
    whose messages were lost (the broker in memory died, a topic kept them too short a time) raise their alerts all the same.
    """

    def __init__(self, store: Store, rule: Rule, patience: Patience, pace: Pace) -> None:
        self._store, self._rule = store, rule
        self._patience, self._pace = patience, pace
        self._past = Past(store.mentions)
        self._rung: set[str] = set()

    def watch(self, scores: Sequence[Score], now: datetime) -> list[Alert]:
        """The alerts that these scores raise, stored. Raises StoreBusy when the store does not answer for too long, StoreError."""
        with self._pace.turn():
            self._past.heard(scores)
            negative: dict[str, list[datetime]] = {}
            for score in scores:
                for series, *p in facts(score):
                    if is_negative(*p):
                        negative.setdefault(series, []).append(score.published_at)
            return self._look(negative, now)

    def catch_up(self, now: datetime) -> list[Alert]:
        """The same for all that is stored and no history yet: whatever became of the scores' messages. Raises as `watch` does."""
        with self._pace.turn():
            since = now - timedelta(seconds=self._rule.max_age_s)
            return self._look(self._patience.wait_for("watch", self._store.mentions.negative, since, self._rule.window_s), now)

    def _look(self, negative: Mapping[str, Sequence[datetime]], now: datetime) -> list[Alert]:
        """The alerts of the windows that negative stories of these series at these moments touched."""
        by_window: dict[windows.Window, list[str]] = {}
        for series in sorted(negative):
            for window in windows.touched(negative[series], self._rule.window_s, now, self._rule.max_age_s):
                by_window.setdefault(window, []).append(series)
        found: list[Alert] = []
        for window in sorted(by_window):
            rang = self._patience.wait_for("watch", self._judge, window, by_window[window], now)
            self._rung.update(alert.id for alert in rang)
            found += rang
        return found

    def _judge(self, window: windows.Window, series: Sequence[str], now: datetime) -> list[Alert]:
        """What `window` raises on each of `series`. One query tells which of them are worth a look at their past."""
        rule = self._rule
        totals = {total.series: total for total in self._store.mentions.touched(*window)}
        many = [name for name in series if name in totals and totals[name].negative >= rule.min_stories]
        worth = [name for name in many if totals[name].negative_sources >= rule.min_sources]
        if not worth:
            return []
        rang = self._store.alerts.last_window(worth, window.start - rule.quiet, window.start + rule.quiet)
        first_seen = self._past.first_seen(window.start - timedelta(seconds=rule.history_s))
        since = windows.history_start(window, rule.history_s, first_seen)
        n_series = self._past.series_count(since, window.end)
        again: list[Alert] = []
        found: list[Alert] = []
        for name in worth:
            last = rang.get(name)
            if last is not None and in_episode(window.start, last, rule):
                again += self._again(alert_id(rule.name, name, last))
                continue
            counted = self._past.counts(name, since, window, rule.window_s)
            *past, current = windows.fill(counted, since, window.end, rule.window_s)
            alert = decide(
                name,
                past,
                current,
                sources=totals[name].negative_sources,
                rule=rule,
                now=now,
                last_rang=last,
                first_seen=first_seen,
                n_series=n_series,
            )
            if alert is not None:
                found.append(self._with_evidence(alert, window))
        self._store.alerts.insert(found)
        return found + again

    def _again(self, ident: str) -> list[Alert]:
        """The stored alert, unless this process handed it on already."""
        if ident in self._rung:
            return []
        alert = self._store.alerts.get(ident)
        return [alert] if alert is not None else []

    def _with_evidence(self, alert: Alert, window: windows.Window) -> Alert:
        articles = self._store.articles.of_series(alert.series, *window, limit=50)
        metrics.ALERTS.labels(alert.severity).inc()
        return msgspec.structs.replace(alert, evidence=evidence(articles, alert.observed))
