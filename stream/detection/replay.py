"""Replays the past with a virtual clock, through the code that evaluates the live stream. Pure: its data are in memory.

At each moment it uses what was published until then; when articles actually arrived is not known any more.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from core.records import Alert
from core.series import MARKET
from domain.alert_lifecycle.silences import matches
from stats.minute_counts import StoryCounts
from storage.store import LastAlert, PeakRow, SeriesArticle, SourceActivity, SourceStories
from storage.timestamps import from_epoch
from stream.detection.attribution import SpikeDecision
from stream.detection.detector import Detections, SpikeDetector
from stream.detection.limit_rule import LimitRule, RiskArticle, SeriesData, SourceCounter, breach_ends, evaluate_limit
from stream.detection.spike_rule import SpikeRule
from stream.detection.threshold import AlertThreshold


class ReplayData:
    """The past, by series.

    Args:
        counts: New stories of each series and of the market.
        mentions: Negative articles of each series and of the market, oldest first.
        sources: Number of sources of the feed.
        activity: By source, when it published; only needed to replay outages.
    """

    def __init__(
        self,
        counts: Mapping[str, StoryCounts],
        mentions: Mapping[str, Sequence[SeriesArticle]],
        sources: int,
        activity: Mapping[str, SourceActivity] | None = None,
    ) -> None:
        self.counts, self._mentions, self._sources, self.activity = counts, mentions, sources, activity or {}

    @property
    def source_names(self) -> list[str]:
        """The sources of negative articles."""
        return sorted({mention.source for mention in self._mentions.get(MARKET, ())})

    def between(self, series: str, since: datetime, until: datetime) -> Sequence[SeriesArticle]:
        """Negative articles of `series` published in [since, until), oldest first."""
        own = self._mentions.get(series, ())
        first, last = (bisect.bisect_left(own, moment.timestamp(), key=lambda mention: mention.at) for moment in (since, until))
        return own[first:last]

    def negative_sources(self, series: str, since: datetime, until: datetime) -> Mapping[str, SourceStories]:
        """As storage.store.Mentions.negative_sources."""
        first: dict[str, set[str]] = {}
        every: dict[str, set[str]] = {}
        for mention in self.between(series, since, until):
            every.setdefault(mention.source, set()).add(mention.story)
            if mention.id == mention.story:
                first.setdefault(mention.source, set()).add(mention.id)
        return {source: SourceStories(len(first.get(source, ())), len(stories)) for source, stories in every.items()}

    def sources(self, since: datetime, until: datetime) -> int:
        """Number of sources of the feed, the same at any time."""
        return self._sources

    def series_count(self, since: datetime, until: datetime) -> int:
        """Number of series with stories in [since, until), or around it."""
        begin, end = since.timestamp(), until.timestamp()
        return sum(len(counts) > 0 and counts.at[0] < end and counts.at[-1] >= begin for counts in self.counts.values())


class InMemoryPeaks:
    """As storage.store.Peaks, for one rule, in memory; peaks are added in order of time."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int], PeakRow] = {}
        self._began: datetime | None = None

    def insert(self, rule: str, peaks: Sequence[PeakRow]) -> None:
        """Store peaks; of one series and hour the greatest is kept."""
        for peak in peaks:
            key = (peak.series, int(peak.end.timestamp()) // 3600)
            if key not in self._rows or self._rows[key].surprise < peak.surprise:
                self._rows[key] = peak

    def since(self, rule: str, since: datetime) -> list[PeakRow]:
        """The peaks of windows that ended since then, oldest first."""
        return sorted((row for row in self._rows.values() if row.end >= since), key=lambda row: (row.end, row.series))

    def began(self, rule: str, now: datetime) -> datetime:
        """The `now` of the first call."""
        self._began = self._began or now
        return self._began


class ReplayedMinute(NamedTuple):
    """A minute that was evaluated.

    Attributes:
        at: End of the minute.
        alerts: Alerts raised.
        threshold: The alert threshold in force.
        decisions: By id of a spike alert, what it was decided by.
    """

    at: datetime
    alerts: list[Alert]
    threshold: float
    decisions: Mapping[str, SpikeDecision] = {}


def replay(
    data: ReplayData, rule: SpikeRule, since: datetime, until: datetime, limit_alerts: Mapping[int, Sequence[Alert]] | None = None
) -> Iterator[ReplayedMinute]:
    """Every minute of [since, until) that was evaluated, oldest first.

    Args:
        data: The past; what lies before `since` is used as training data.
        rule: The spike rule.
        since, until: The time to replay.
        limit_alerts: Alerts of limit rules of that time, as `replay_limit_rules` returns them.
    """
    limit_alerts = limit_alerts or {}
    threshold = AlertThreshold(rule, InMemoryPeaks(), data)
    detector = SpikeDetector(rule, data, threshold)
    last: dict[str, LastAlert] = {}
    by_end: dict[int, list[str]] = {end: [] for end in limit_alerts}
    followed = [] if rule.paused else [name for name in sorted(data.counts) if matches(rule.series, name)]
    for series in followed:
        for end in data.counts[series].negative_minute_ends(int(since.timestamp()), int(until.timestamp())):
            by_end.setdefault(end, []).append(series)
    in_force = 0.0
    for end in sorted(by_end):
        now = from_epoch(end)
        found = Detections([], set(), {})
        if by_end[end]:
            spikes = {series: detector.spikes(series, data.counts, (end,)) for series in by_end[end]}
            found = detector.detect(spikes, data.counts, last, now)
            last |= {alert.series: LastAlert(alert.id, end) for alert in found.alerts}
            threshold.save_peaks()
            in_force = threshold.at(now)
        yield ReplayedMinute(now, [*found.alerts, *limit_alerts.get(end, ())], in_force, found.decisions)


def replay_limit_rules(
    counts: Mapping[str, StoryCounts],
    risks: Mapping[str, Sequence[RiskArticle]],
    rules: Iterable[LimitRule],
    sources: SourceCounter,
    since: datetime,
    until: datetime,
) -> dict[int, list[Alert]]:
    """The alerts of limit rules in [since, until). Raises what `sources` raises.

    Args:
        counts: New stories by series.
        risks: Articles about risk events by series.
        rules: The rules; paused ones are ignored.
        sources: Counts the sources of a window.
        since, until: The time to replay.

    Returns:
        End of a minute, seconds since 1970, to its alerts.
    """
    first, last = int(since.timestamp()), int(until.timestamp())
    found: dict[int, list[Alert]] = {}
    for rule in rules:
        for series, own in sorted(counts.items()):
            if rule.paused or not rule.follows(series):
                continue
            data = SeriesData(own, risks.get(series, ()))
            for alert in evaluate_limit(rule, series, data, breach_ends(rule, data, first, last), None, sources).alerts:
                found.setdefault(int(alert.detected_at.timestamp()), []).append(alert)
    return found
