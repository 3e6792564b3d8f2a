"""The bar of alerts, as the store knows the past: peaks go there, and the bar is learned from them once an hour.

Whoever watches, and after any restart, the bar of an hour is the same: it rests on what was before that hour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from core import metrics
from stats import extreme_value
from stats.minute_counts import HOUR_S
from stats.spikes import Spike
from storage.store import PeakRow
from storage.timestamps import from_epoch
from stream.detection.spike_rule import Rule

REACH_S = 56 * 86_400
"""The past that the bar is learned from: eight weeks."""
FORGET_AFTER = 10_000


class Peaks(Protocol):
    """Where peaks are kept: storage.store.Peaks, or a list."""

    def note(self, rule: str, peaks: Sequence[PeakRow]) -> None:
        """Keep peaks; of one series and hour the greatest stays."""

    def since(self, rule: str, since: datetime) -> list[PeakRow]:
        """The peaks of windows that ended since then, oldest first."""

    def began(self, rule: str, now: datetime) -> datetime:
        """Since when somebody notes peaks: `now`, if nobody has."""


class Scope(Protocol):
    """How much there is to be watched: storage.store.Mentions, or what was read of it."""

    def sources(self, since: datetime, until: datetime) -> int:
        """Distinct sources of anything in [since, until)."""

    def series_count(self, since: datetime, until: datetime) -> int:
        """Distinct series touched in [since, until)."""


class Bar:
    """How much surprise rings. One thread at a time."""

    def __init__(self, rule: Rule, peaks: Peaks, scope: Scope) -> None:
        self._rule, self._peaks, self._scope = rule, peaks, scope
        self._known: tuple[int, float, int] | None = None
        self._highest: dict[tuple[str, int], float] = {}
        self._new: dict[tuple[str, int], PeakRow] = {}

    def at(self, now: datetime) -> float:
        """The surprise that rings at `now`. Raises StoreError."""
        return self._of_hour(now)[1]

    def feed_sources(self, now: datetime) -> int:
        """How many sources the feed had in the last week. Raises StoreError."""
        return self._of_hour(now)[2]

    def _of_hour(self, now: datetime) -> tuple[int, float, int]:
        hour = int(now.timestamp()) // HOUR_S
        if self._known is None or self._known[0] != hour:
            start = from_epoch(hour * HOUR_S)
            self._known = (hour, self._learn(start), self._scope.sources(start - timedelta(days=7), start))
            metrics.ALERT_BAR.set(self._known[1])
        return self._known

    def _learn(self, start: datetime) -> float:
        rule, reach = self._rule, timedelta(seconds=REACH_S)
        began = self._peaks.began(rule.name, start)
        n_series = self._scope.series_count(start - timedelta(seconds=rule.history_s), start)
        peaks = extreme_value.Peaks(REACH_S, rule.cooldown_s)
        for peak in self._peaks.since(rule.name, start - reach):
            peaks.note(peak.series, int(peak.end.timestamp()), peak.width_s, peak.surprise)
        otherwise = extreme_value.theory(rule.false_per_week, n_series, min(rule.widths_s))
        return peaks.bar(int(start.timestamp()), int(began.timestamp()), rule.false_per_week, otherwise)

    def worth_noting(self, series: str, spike: Spike) -> bool:
        """Whether it is the greatest of its series and hour that this process has seen, and over what is chance."""
        return spike.surprise >= extreme_value.OVER and spike.surprise > self._highest.get((series, spike.end // HOUR_S), 0.0)

    def note(self, series: str, spike: Spike) -> None:
        """Remember a peak until `keep` is called."""
        key = (series, spike.end // HOUR_S)
        if len(self._highest) > FORGET_AFTER:
            self._highest.clear()
        self._highest[key] = spike.surprise
        end = from_epoch(spike.end)
        self._new[key] = PeakRow(series, end, spike.width_s, spike.surprise)

    def keep(self) -> None:
        """Keep what was noted. Raises StoreError; what was not stored is tried again with what is noted next."""
        if self._new:
            self._peaks.note(self._rule.name, list(self._new.values()))
            self._new.clear()
