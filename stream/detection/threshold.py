"""The alert threshold: peaks are kept in the store, and the threshold is fitted to them once an hour.

The threshold of an hour depends only on what happened before that hour, so it is the same in every worker and after any restart.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from core import metrics
from stats.extreme_value import PEAK_MIN, PeakTracker, prior_threshold
from stats.minute_counts import HOUR_S
from stats.spikes import Spike
from storage.store import PeakRow
from storage.timestamps import from_epoch
from stream.detection.spike_rule import SpikeRule

HISTORY_S = 56 * 86_400
"""The threshold is fitted to the peaks of eight weeks."""
MAX_REMEMBERED = 10_000


class PeakStore(Protocol):
    """Where peaks are kept: storage.store.Peaks, or memory (stream/detection/replay.py)."""

    def insert(self, rule: str, peaks: Sequence[PeakRow]) -> None:
        """Store peaks; of one series and hour the greatest is kept."""

    def since(self, rule: str, since: datetime) -> list[PeakRow]:
        """The peaks of windows that ended since then, oldest first."""

    def began(self, rule: str, now: datetime) -> datetime:
        """Since when peaks are recorded: `now` on the first call."""


class FeedSize(Protocol):
    """How many sources and series there are: storage.store.Mentions, or memory (stream/detection/replay.py)."""

    def sources(self, since: datetime, until: datetime) -> int:
        """Distinct sources of articles in [since, until)."""

    def series_count(self, since: datetime, until: datetime) -> int:
        """Distinct series with articles in [since, until)."""


class AlertThreshold:
    """The surprise from which a spike raises an alert. One thread at a time."""

    def __init__(self, rule: SpikeRule, peaks: PeakStore, size: FeedSize) -> None:
        self._rule, self._peaks, self._size = rule, peaks, size
        self._fitted: tuple[int, float, int] | None = None
        self._highest: dict[tuple[str, int], float] = {}
        self._new: dict[tuple[str, int], PeakRow] = {}

    def at(self, now: datetime) -> float:
        """The threshold at `now`. Raises StoreError."""
        return self._of_hour(now)[1]

    def feed_sources(self, now: datetime) -> int:
        """Number of sources that the feed had in the last week. Raises StoreError."""
        return self._of_hour(now)[2]

    def _of_hour(self, now: datetime) -> tuple[int, float, int]:
        hour = int(now.timestamp()) // HOUR_S
        if self._fitted is None or self._fitted[0] != hour:
            start = from_epoch(hour * HOUR_S)
            self._fitted = (hour, self._fit(start), self._size.sources(start - timedelta(days=7), start))
            metrics.ALERT_THRESHOLD.set(self._fitted[1])
        return self._fitted

    def _fit(self, start: datetime) -> float:
        rule = self._rule
        began = self._peaks.began(rule.name, start)
        n_series = self._size.series_count(start - timedelta(seconds=rule.history_s), start)
        tracker = PeakTracker(HISTORY_S, rule.cooldown_s)
        for peak in self._peaks.since(rule.name, start - timedelta(seconds=HISTORY_S)):
            tracker.add(peak.series, int(peak.end.timestamp()), peak.width_s, peak.surprise)
        prior = prior_threshold(rule.false_per_week, n_series, min(rule.widths_s))
        return tracker.threshold(int(start.timestamp()), int(began.timestamp()), rule.false_per_week, prior)

    def is_new_peak(self, series: str, spike: Spike) -> bool:
        """Whether the spike is a peak, and the greatest of its series and hour so far in this process."""
        return spike.surprise >= PEAK_MIN and spike.surprise > self._highest.get((series, spike.end // HOUR_S), 0.0)

    def add_peak(self, series: str, spike: Spike) -> None:
        """Remember a peak until `save_peaks` is called."""
        key = (series, spike.end // HOUR_S)
        if len(self._highest) > MAX_REMEMBERED:
            self._highest.clear()
        self._highest[key] = spike.surprise
        self._new[key] = PeakRow(series, from_epoch(spike.end), spike.width_s, spike.surprise)

    def save_peaks(self) -> None:
        """Store the peaks that were added. Raises StoreError; the peaks are then stored by the next call."""
        if self._new:
            self._peaks.insert(self._rule.name, list(self._new.values()))
            self._new.clear()
