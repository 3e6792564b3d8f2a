"""The spike detector: from counts of a series to alerts. Pure apart from what it caches; what it must look up comes through ports.

    counts per minute ─▶ windows of five widths ─▶ surprise of each ─▶ corroborated by sources? ─▶ over the threshold?
                         (SpikeScorer, stats/spikes.py)                (spike_rule.py)              (threshold.py)
        ─▶ after the cooldown of the series' last alert? ─▶ Alert

The same code runs in the worker, on the store (evaluator.py), and in a backtest, on data in memory (replay.py). It never looks at anything
after the moment that it evaluates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from core.records import Alert
from core.series import MARKET
from stats.minute_counts import HOUR_S, IntArray, StoryCounts
from stats.seasonal_baseline import BaselineFitter, rate_integral
from stats.spikes import PAST_WIDTHS, Spike, find_spikes
from storage.store import LastAlert, SourceStories
from storage.timestamps import from_epoch
from stream.detection.attribution import SpikeDecision
from stream.detection.spike_rule import SpikeRule, build_alert, corroborated
from stream.detection.threshold import AlertThreshold


class SpikeScorer:
    """Scores windows of any number of series by one rule, with cached baselines. One thread at a time."""

    def __init__(self, rule: SpikeRule) -> None:
        self._rule = rule
        self._fitter = BaselineFitter(rule.history_s, sorted({max(1, width // HOUR_S) for width in rule.widths_s}))

    def spikes(self, series: str, counts: StoryCounts, market: StoryCounts, end: int, since: int = 0) -> list[Spike]:
        """Windows of `series` that end at `end` and begin at `since` or later, the most surprising first.

        Args:
            series: Name of the series.
            counts: Its stories; they reach back as far as the rule's history, and two days.
            market: All stories of the feed, likewise.
            end, since: Seconds since 1970.
        """
        rule, longest = self._rule, max(self._rule.widths_s)
        if len(market) == 0 or int(counts.count(end - longest, end)) < rule.min_stories:
            return []
        began, hour = int(market.at[0]), (end - 1) // HOUR_S
        widths = [width for width in rule.widths_s if end - width >= since and PAST_WIDTHS * width <= end - began]
        if not widths or end - began < rule.warmup_s:
            return []
        feed, baseline = self._fitter.fit(series, counts, market, hour)
        outages = self._fitter.outages(feed, market, end - longest, end)
        return find_spikes(counts, baseline, end, widths, outages=outages, min_stories=rule.min_stories, min_ratio=rule.min_ratio)

    def expected(self, series: str, counts: StoryCounts, market: StoryCounts, starts: IntArray, step_s: int) -> list[float]:
        """Negative stories to expect in each step of `step_s` from one of `starts`; [] where there is no baseline yet."""
        hour = (int(starts[-1]) + step_s - 1) // HOUR_S
        if len(market) == 0 or (hour - int(market.at[0]) // HOUR_S) * HOUR_S < max(HOUR_S, self._rule.warmup_s):
            return []
        _, baseline = self._fitter.fit(series, counts, market, hour)
        return [float(amount) for amount in rate_integral(baseline.negative, starts, starts + step_s)]

    def forget(self, series: str) -> None:
        """Drop the cached baselines of `series`, whose past has changed."""
        self._fitter.forget(series)


class MentionSource(Protocol):
    """What the detector looks up beside counts: storage.store.Mentions, or memory (stream/detection/replay.py)."""

    def negative_sources(self, series: str, since: datetime, until: datetime) -> Mapping[str, SourceStories]:
        """Negative stories of each source in [since, until)."""


class CorroboratedSpike(NamedTuple):
    """A spike before and after corroboration. spike: corroborated; counted: as counted; sources: how many reported"""

    spike: Spike
    counted: Spike
    sources: int


class Detections(NamedTuple):
    """What a detector found.

    Attributes:
        alerts: New alerts, without evidence.
        ongoing_ids: Ids of earlier alerts whose episodes go on.
        decisions: By id of a new spike alert, what it was decided by.
    """

    alerts: list[Alert]
    ongoing_ids: set[str]
    decisions: dict[str, SpikeDecision]


class SpikeDetector:
    """One spike rule over all series. One thread at a time."""

    def __init__(self, rule: SpikeRule, mentions: MentionSource, threshold: AlertThreshold) -> None:
        self._rule, self._mentions, self._threshold = rule, mentions, threshold
        self._scorer = SpikeScorer(rule)

    def forget(self, series: str) -> None:
        """Drop the cached baselines of `series`, whose past has changed."""
        self._scorer.forget(series)

    def spikes(self, series: str, counts: Mapping[str, StoryCounts], ends: Sequence[int]) -> list[Spike]:
        """The strongest spike of `series` for each of `ends` that has one.

        Args:
            series: Name of the series.
            counts: Stories by series, the market's among them.
            ends: Ends of windows, seconds since 1970.
        """
        return [found[0] for end in ends if (found := self._scorer.spikes(series, counts[series], counts[MARKET], end))]

    def expected(self, series: str, counts: Mapping[str, StoryCounts], starts: IntArray, step_s: int) -> list[float]:
        """As SpikeScorer.expected; counts: by series, the market's among them."""
        return self._scorer.expected(series, counts[series], counts[MARKET], starts, step_s)

    def detect(
        self, spikes: Mapping[str, Sequence[Spike]], counts: Mapping[str, StoryCounts], last: Mapping[str, LastAlert], now: datetime
    ) -> Detections:
        """The alerts of these spikes. Raises what the ports raise.

        Args:
            spikes: Spikes by series, in order of time.
            counts: Stories by series, the market's among them.
            last: The last alert of each series.
            now: Time of detection.
        """
        threshold = self._threshold.at(now)
        found = Detections([], set(), {})
        for series, some in spikes.items():
            before = last.get(series)
            for spike in some:
                raised = self._evaluate(series, spike, counts, before, threshold, now)
                if raised is not None:
                    alert, decision = raised
                    before = LastAlert(alert.id, spike.end)
                    found.alerts.append(alert)
                    found.decisions[alert.id] = decision
                elif before is not None and spike.surprise >= threshold:
                    found.ongoing_ids.add(before.id)
        return found

    def _evaluate(
        self, series: str, spike: Spike, counts: Mapping[str, StoryCounts], last: LastAlert | None, threshold: float, now: datetime
    ) -> tuple[Alert, SpikeDecision] | None:
        """The alert that `spike` raises after the last one of its series, and what it was decided by."""
        if spike.surprise < threshold and not self._threshold.is_new_peak(series, spike):
            return None
        best = self._corroborate(series, counts, spike.end, 0, now)
        if best is not None:
            self._threshold.add_peak(series, best.spike)
        if best is not None and last is not None:
            if spike.end < last.end + self._rule.cooldown_s:
                return None
            if spike.end - best.spike.width_s < last.end:  # stories of the last alert are not counted again
                best = self._corroborate(series, counts, spike.end, last.end, now)
        if best is None:
            return None
        spike = best.spike
        total = int(counts[series].count_all(spike.end - spike.width_s, spike.end))
        alert = build_alert(series, spike, threshold=threshold, total=total, sources=best.sources, rule=self._rule, now=now)
        if alert is None:
            return None
        return alert, SpikeDecision(self._rule, best.counted, threshold, self._threshold.feed_sources(now))

    def _corroborate(self, series: str, counts: Mapping[str, StoryCounts], end: int, since: int, now: datetime) -> CorroboratedSpike | None:
        """The strongest spike that ends at `end` after corroboration.

        All widths are tried: a flood of one source fills the wide windows, and the others' bad news may still stand out in a narrow one.
        """
        best: CorroboratedSpike | None = None
        for spike in self._scorer.spikes(series, counts[series], counts[MARKET], end, since):
            if best is not None and spike.surprise <= best.spike.surprise:
                break
            sources = self._mentions.negative_sources(series, from_epoch(end - spike.width_s), from_epoch(end))
            found = corroborated(spike, sources.values(), self._rule, self._threshold.feed_sources(now))
            if found is not None and (best is None or found.surprise > best.spike.surprise):
                best = CorroboratedSpike(found, spike, len(sources))
        return best
