"""Benchmark of the default spike rule against other methods, on real archives with injected episodes.

    archive, scored once ─▶ replay ─▶ alarms a week, threshold of every hour      (nothing injected: each alarm counts as false)
                          └▶ + one episode at a time ─▶ detected? with what delay?

The other methods are tuned on the same months to raise as many alarms as the budget allows. That favours them: our threshold is fitted
to the past only, as time goes on.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

import msgspec
import numpy as np

from bench.episodes import Episode, draw, with_outage
from bench.rivals import RIVALS, Rival
from core.errors import SettingsError
from core.series import MARKET, kind_of
from stats.minute_counts import DAY_S, HOUR_S, MINUTE_S, FloatArray, IntArray, StoryCounts
from storage.store import SourceStories
from storage.timestamps import from_epoch
from stream.detection.detector import SpikeScorer
from stream.detection.replay import ReplayData, replay
from stream.detection.spike_rule import SpikeRule, corroborated, is_alert

WARM_UP = timedelta(days=14)
WEEK_S = 7 * DAY_S
OUTAGES = 20
OURS = "tocsin"
ARCHIVES = ("en_rss_2023", "zh_flash_2026")


class Recall(msgspec.Struct, frozen=True, kw_only=True):
    """Recall of one shape and size. delay: median and ninth decile of the detected ones, as a share of the episode's length"""

    shape: str
    size: str
    episodes: int
    recall: float
    delay_p50: float | None
    delay_p90: float | None


class MethodFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one method.

    Attributes:
        recall, delay_p50, delay_p90: Of medium and large episodes.
        precision: Episodes detected, as a share of all alarms.
        decoys: Share of the decoys that raised an alarm.
    """

    name: str
    false_per_week: float
    recall: float
    delay_p50: float | None
    delay_p90: float | None
    precision: float
    decoys: float
    threshold: float
    by_shape: list[Recall]


class ArchiveFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one archive.

    Attributes:
        weeks: Length of the archive after the warm-up.
        series: Number of series.
        months: Our alarms a week by month, with nothing injected.
        outages: Simulated outages of the feed.
        outage_alarms: Outages after which the backlog raised an alarm.
        detectors: Figures of each method, ours first.
    """

    archive: str
    weeks: float
    series: int
    months: dict[str, float]
    outages: int
    outage_alarms: int
    detectors: list[MethodFigures]


class Candidate(NamedTuple):
    """A moment of the archive, without injection, that a method scores."""

    end: int
    series: str
    score: float
    width_s: int


Detect = Callable[[Episode], float | None]
"""Delay until an episode is detected, as a share of its length; None where it is missed."""


def measure(archive: str, history: ReplayData, rule: SpikeRule, *, episodes: int, seed: int, step: Callable[[str], None]) -> ArchiveFigures:
    """Measure all methods on one archive.

    Args:
        archive: Name of the archive.
        history: Its counts and articles.
        rule: Our rule.
        episodes: Number of episodes to inject.
        seed: Random seed.
        step: Called with the name of each step.

    Raises:
        SettingsError: The archive is too short.
    """
    market = history.counts[MARKET]
    begin, until = int(market.at[0]), int(market.at[-1])
    since = begin + int(WARM_UP.total_seconds())
    if until - since < 4 * WEEK_S:
        raise SettingsError(f"{archive}: the archive must cover at least six weeks")
    weeks = (until - since) / WEEK_S
    sources = history.source_names
    drawn = draw(history.counts, sources, since, until, episodes, seed, "episodes")
    decoys = draw(history.counts, sources, since, until, episodes // 3, seed, "decoys")
    ours = _Ours(history, rule)
    step(f"{archive}: replaying")
    alarms = [at for at in ours.alarms if at >= since]
    detectors = []
    step(f"{archive}: {OURS}")
    detectors.append(_figures(OURS, len(alarms), weeks, ours.find, drawn, decoys, ours.threshold_at(until)))
    for rival in RIVALS:
        step(f"{archive}: {rival.name}")
        other = _Tuned(rival, history, rule, since, round(rule.false_per_week * weeks))
        detectors.append(_figures(rival.name, other.alarms, weeks, other.find, drawn, decoys, other.threshold))
    step(f"{archive}: outages")
    return ArchiveFigures(
        archive=archive,
        weeks=round(weeks, 1),
        series=len(history.counts),
        months=_by_month(alarms, since, until),
        outages=OUTAGES,
        outage_alarms=ours.alarms_after_outages(since, until, seed),
        detectors=detectors,
    )


class _Ours:
    """The default rule as it runs live, with the threshold that was in force at each hour."""

    def __init__(self, history: ReplayData, rule: SpikeRule) -> None:
        self._history, self._rule = history, rule
        market = history.counts[MARKET]
        since, until = (from_epoch(int(at)) for at in (market.at[0], market.at[-1] + 2 * MINUTE_S))
        moments = list(replay(history, rule, since, until))
        self.alarms = [int(moment.at.timestamp()) for moment in moments for _ in moment.alerts]
        self._at, self._thresholds = [int(moment.at.timestamp()) for moment in moments], [moment.threshold for moment in moments]

    def threshold_at(self, moment: int) -> float:
        """The threshold in force."""
        return self._thresholds[max(0, bisect.bisect_right(self._at, moment) - 1)]

    def find(self, episode: Episode) -> float | None:
        """As Detect."""
        counts, market = (self._history.counts[name] + episode.added for name in (episode.series, MARKET))
        scorer = SpikeScorer(self._rule)
        for end in _ends(counts, episode.start, episode.start + episode.length_s):
            for spike in scorer.spikes(episode.series, counts, market, end):
                sources = _sources(self._history, episode, end - spike.width_s, end)
                found = corroborated(spike, sources.values(), self._rule, len(self._history.source_names))
                if found is not None and is_alert(found, self.threshold_at(end), self._rule):
                    return (end - episode.start) / episode.length_s
        return None

    def alarms_after_outages(self, since: int, until: int, seed: int) -> int:
        """Number of outages of half a day to a day and a half whose backlog raised an alarm of a topic or the market."""
        rng = np.random.default_rng([seed, 99])
        names = [name for name in self._history.counts if kind_of(name) in ("topic", "market")]
        raised = 0
        for _ in range(OUTAGES):
            length = int(rng.uniform(12, 36) * HOUR_S)
            start = int(rng.uniform(since, until - 2 * length)) // 900 * 900
            back = (start + length) // 900 * 900
            cut = {name: with_outage(self._history.counts[name], start, back) for name in names}
            scorer = SpikeScorer(self._rule)
            ends = {name: _ends(cut[name], back, back + 900) for name in names}
            raised += any(
                any(spike.surprise >= self.threshold_at(end) for spike in scorer.spikes(name, cut[name], cut[MARKET], end))
                for name in names
                for end in ends[name]
            )
        return raised


class _Tuned:
    """Another method with the lowest score threshold that raises at most `most` alarms when nothing is injected."""

    def __init__(self, rival: Rival, history: ReplayData, rule: SpikeRule, since: int, most: int) -> None:
        self._rival, self._history, self._rule = rival, history, rule
        market = history.counts[MARKET]
        candidates: list[Candidate] = []
        for series, counts in history.counts.items():
            ends = counts.at[counts.negative > 0] + MINUTE_S
            ends = ends[ends >= since]
            scores = rival(counts, market, ends)
            worth = np.nonzero(np.isfinite(scores.score) & (scores.score > 0))[0]
            candidates += [Candidate(int(ends[at]), series, float(scores.score[at]), int(scores.width_s[at])) for at in worth]
        candidates.sort()
        scores_seen = sorted({candidate.score for candidate in candidates})
        first = bisect.bisect_left(scores_seen, True, key=lambda score: self._alarms(candidates, score) <= most)
        self.threshold = scores_seen[min(first, len(scores_seen) - 1)] if scores_seen else 0.0
        self.alarms = self._alarms(candidates, self.threshold)

    def _alarms(self, candidates: Sequence[Candidate], threshold: float) -> int:
        last: dict[str, int] = {}
        alarms = 0
        for end, series, score, width_s in candidates:
            before = last.get(series)
            if score < threshold or (before is not None and (end < before + self._rule.cooldown_s or end - width_s < before)):
                continue
            start, stop = (from_epoch(at) for at in (end - width_s, end))
            if len(self._history.negative_sources(series, start, stop)) >= self._rule.min_sources:
                last[series] = end
                alarms += 1
        return alarms

    def find(self, episode: Episode) -> float | None:
        """As Detect."""
        counts, market = (self._history.counts[name] + episode.added for name in (episode.series, MARKET))
        ends: IntArray = np.array(_ends(counts, episode.start, episode.start + episode.length_s), np.int64)
        scores = self._rival(counts, market, ends)
        for end, score, width_s in zip(ends, scores.score, scores.width_s, strict=True):
            if score >= self.threshold and len(_sources(self._history, episode, int(end - width_s), int(end))) >= self._rule.min_sources:
                return float(end - episode.start) / episode.length_s
        return None


def _ends(counts: StoryCounts, since: int, until: int) -> list[int]:
    """Moments to score in [since, until]: ends of minutes with negative stories."""
    return counts.negative_minute_ends(since // MINUTE_S * MINUTE_S, until + 1)


def _sources(history: ReplayData, episode: Episode, since: int, until: int) -> Mapping[str, SourceStories]:
    """Stories of each source about the episode's series in [since, until), the episode's own articles included."""
    start, end = (from_epoch(at) for at in (since, until))
    sources = dict(history.negative_sources(episode.series, start, end))
    stories: dict[str, set[str]] = {}
    firsts: Counter[str] = Counter()
    for mention in episode.articles:
        if since <= mention.at < until:
            stories.setdefault(mention.source, set()).add(mention.story)
            firsts[mention.source] += mention.id == mention.story
    for source, some in stories.items():
        before = sources.get(source, SourceStories(0, 0))
        sources[source] = SourceStories(before.first + firsts[source], before.total + len(some))
    return sources


def _figures(
    name: str, alarms: int, weeks: float, find: Detect, drawn: Sequence[Episode], decoys: Sequence[Episode], threshold: float
) -> MethodFigures:
    delays = [find(episode) for episode in drawn]
    raised = sum(find(decoy) is not None for decoy in decoys)
    groups: dict[tuple[str, str], list[float | None]] = {}
    for episode, delay in zip(drawn, delays, strict=True):
        groups.setdefault((episode.shape, episode.size), []).append(delay)
    heavy = [delay for (_, size), some in groups.items() if size != "small" for delay in some]
    found = sum(delay is not None for delay in delays)
    return MethodFigures(
        name=name,
        false_per_week=round(alarms / weeks, 2),
        recall=_share(heavy),
        delay_p50=_quantile(heavy, 0.5),
        delay_p90=_quantile(heavy, 0.9),
        precision=round(found / max(1, found + raised + alarms), 3),
        decoys=round(raised / max(1, len(decoys)), 3),
        threshold=round(threshold, 3),
        by_shape=[
            Recall(
                shape=shape,
                size=size,
                episodes=len(some),
                recall=_share(some),
                delay_p50=_quantile(some, 0.5),
                delay_p90=_quantile(some, 0.9),
            )
            for (shape, size), some in sorted(groups.items())
        ],
    )


def _share(delays: Sequence[float | None]) -> float:
    return round(sum(delay is not None for delay in delays) / max(1, len(delays)), 3)


def _quantile(delays: Sequence[float | None], share: float) -> float | None:
    found: FloatArray = np.array([delay for delay in delays if delay is not None])
    return round(float(np.quantile(found, share)), 3) if len(found) else None


def _by_month(alarms: Sequence[int], since: int, until: int) -> dict[str, float]:
    """Alarms a week by month, of the part of each month that was measured."""
    days = Counter(f"{from_epoch(at):%Y-%m}" for at in range(since, until, DAY_S))
    raised = Counter(f"{from_epoch(at):%Y-%m}" for at in alarms)
    return {month: round(raised[month] / (number / 7), 2) for month, number in sorted(days.items())}
