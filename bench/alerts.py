"""How well the default rule tells bad news from chance, beside other ways, on real archives with episodes injected.

    archive, scored once ─▶ replay ─▶ alarms a week, the bar of every hour        (nothing injected: each alarm counts as false)
                          └▶ + an episode, one at a time ─▶ found? how soon?

The others are each tuned on the same months, to ring as often as the budget allows: to their advantage, as ours learns its bar as it
goes, from the past alone.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

import msgspec
import numpy as np

from bench.episodes import Episode, draw, without
from bench.rivals import RIVALS, Rival
from core.errors import SettingsError
from core.series import MARKET, kind_of
from stats.minute_counts import DAY_S, HOUR_S, MINUTE_S, FloatArray, IntArray, StoryCounts
from storage.store import SourceStories
from storage.timestamps import from_epoch
from stream.detection.detector import SpikeScorer
from stream.detection.replay import ReplayData, replay
from stream.detection.spike_rule import SpikeRule, corroborated

WARM_UP = timedelta(days=14)
WEEK_S = 7 * DAY_S
OUTAGES = 20
OURS = "tocsin"
ARCHIVES = ("en_rss_2023", "zh_flash_2026")


class Recall(msgspec.Struct, frozen=True, kw_only=True):
    """Of one shape and size. delay: median and ninth decile of those found, as a share of the episode's length."""

    shape: str
    size: str
    episodes: int
    recall: float
    delay_p50: float | None
    delay_p90: float | None


class Detector(msgspec.Struct, frozen=True, kw_only=True):
    """One way to ring.

    recall, delays: of medium and large episodes; precision: episodes found, of all that rang; decoys: share that rang
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
    """One archive. months: our alarms a week, month by month, nothing injected; outages: our alarms when a silent feed came back."""

    archive: str
    weeks: float
    series: int
    months: dict[str, float]
    outages: int
    outage_alarms: int
    detectors: list[Detector]


class Candidate(NamedTuple):
    """A moment of the archive itself at which a detector scores."""

    end: int
    series: str
    score: float
    width_s: int


Finder = Callable[[Episode], float | None]
"""How soon an episode is found, as a share of its length; None: it is not."""


def measure(archive: str, heard: ReplayData, rule: SpikeRule, *, episodes: int, seed: int, step: Callable[[str], None]) -> ArchiveFigures:
    """All detectors on one archive. Raises SettingsError when it is too short."""
    market = heard.tallies[MARKET]
    begin, until = int(market.at[0]), int(market.at[-1])
    since = begin + int(WARM_UP.total_seconds())
    if until - since < 4 * WEEK_S:
        raise SettingsError(f"{archive}: an archive of six weeks at least is needed")
    weeks = (until - since) / WEEK_S
    sources = heard.names
    drawn = draw(heard.tallies, sources, since, until, episodes, seed, "episodes")
    decoys = draw(heard.tallies, sources, since, until, episodes // 3, seed, "decoys")
    ours = _Ours(heard, rule)
    step(f"{archive}: replaying")
    alarms = [at for at in ours.alarms if at >= since]
    detectors = []
    step(f"{archive}: {OURS}")
    detectors.append(_figures(OURS, len(alarms), weeks, ours.find, drawn, decoys, ours.bar_at(until)))
    for rival in RIVALS:
        step(f"{archive}: {rival.name}")
        other = _Tuned(rival, heard, rule, since, round(rule.false_per_week * weeks))
        detectors.append(_figures(rival.name, other.alarms, weeks, other.find, drawn, decoys, other.threshold))
    step(f"{archive}: outages")
    return ArchiveFigures(
        archive=archive,
        weeks=round(weeks, 1),
        series=len(heard.tallies),
        months=_by_month(alarms, since, until),
        outages=OUTAGES,
        outage_alarms=ours.rung_by_outages(since, until, seed),
        detectors=detectors,
    )


class _Ours:
    """The default rule, as it runs live: the bar of each hour is what it had learned by then."""

    def __init__(self, heard: ReplayData, rule: SpikeRule) -> None:
        self._heard, self._rule = heard, rule
        market = heard.tallies[MARKET]
        since, until = (from_epoch(int(at)) for at in (market.at[0], market.at[-1] + 2 * MINUTE_S))
        moments = list(replay(heard, rule, since, until))
        self.alarms = [int(moment.at.timestamp()) for moment in moments for _ in moment.alerts]
        self._at, self._bars = [int(moment.at.timestamp()) for moment in moments], [moment.bar for moment in moments]

    def bar_at(self, moment: int) -> float:
        """The bar in force."""
        return self._bars[max(0, bisect.bisect_right(self._at, moment) - 1)]

    def find(self, episode: Episode) -> float | None:
        """As Finder."""
        tally, market = (self._heard.tallies[name] + episode.added for name in (episode.series, MARKET))
        judge = SpikeScorer(self._rule)
        for end in _ends(tally, episode.start, episode.start + episode.length_s):
            for spike in judge.spikes(episode.series, tally, market, end):
                told = _told(self._heard, episode, end - spike.width_s, end)
                borne = corroborated(spike, told.values(), self._rule, len(self._heard.names))
                if borne is not None and borne.observed >= self._rule.min_stories and borne.surprise >= self.bar_at(end):
                    return (end - episode.start) / episode.length_s
        return None

    def rung_by_outages(self, since: int, until: int, seed: int) -> int:
        """Outages of half a day to a day and a half after which any topic, or the market, rang with what had waited."""
        dice = np.random.default_rng([seed, 99])
        names = [name for name in self._heard.tallies if kind_of(name) in ("topic", "market")]
        rung = 0
        for _ in range(OUTAGES):
            length = int(dice.uniform(12, 36) * HOUR_S)
            start = int(dice.uniform(since, until - 2 * length)) // 900 * 900
            back = (start + length) // 900 * 900
            cut = {name: without(self._heard.tallies[name], start, back) for name in names}
            judge = SpikeScorer(self._rule)
            ends = {name: _ends(cut[name], back, back + 900) for name in names}
            rung += any(
                any(spike.surprise >= self.bar_at(end) for spike in judge.spikes(name, cut[name], cut[MARKET], end))
                for name in names
                for end in ends[name]
            )
        return rung


class _Tuned:
    """A rival that rings where its score reaches a threshold: the lowest that rings at most `most` times when nothing is injected."""

    def __init__(self, rival: Rival, heard: ReplayData, rule: SpikeRule, since: int, most: int) -> None:
        self._rival, self._heard, self._rule = rival, heard, rule
        market = heard.tallies[MARKET]
        candidates: list[Candidate] = []
        for series, tally in heard.tallies.items():
            ends = tally.at[tally.negative > 0] + MINUTE_S
            ends = ends[ends >= since]
            scores = rival(tally, market, ends)
            worth = np.nonzero(np.isfinite(scores.score) & (scores.score > 0))[0]
            candidates += [Candidate(int(ends[at]), series, float(scores.score[at]), int(scores.width_s[at])) for at in worth]
        candidates.sort()
        levels = sorted({candidate.score for candidate in candidates})
        quiet = bisect.bisect_left(levels, True, key=lambda level: self._alarms(candidates, level) <= most)
        self.threshold = levels[min(quiet, len(levels) - 1)] if levels else 0.0
        self.alarms = self._alarms(candidates, self.threshold)

    def _alarms(self, candidates: Sequence[Candidate], threshold: float) -> int:
        last: dict[str, int] = {}
        alarms = 0
        for end, series, score, width_s in candidates:
            before = last.get(series)
            if score < threshold or (before is not None and (end < before + self._rule.cooldown_s or end - width_s < before)):
                continue
            start, stop = (from_epoch(at) for at in (end - width_s, end))
            if len(self._heard.negative_sources(series, start, stop)) >= self._rule.min_sources:
                last[series] = end
                alarms += 1
        return alarms

    def find(self, episode: Episode) -> float | None:
        """As Finder."""
        tally, market = (self._heard.tallies[name] + episode.added for name in (episode.series, MARKET))
        ends: IntArray = np.array(_ends(tally, episode.start, episode.start + episode.length_s), np.int64)
        scores = self._rival(tally, market, ends)
        for end, score, width_s in zip(ends, scores.score, scores.width_s, strict=True):
            if score >= self.threshold and len(_told(self._heard, episode, int(end - width_s), int(end))) >= self._rule.min_sources:
                return float(end - episode.start) / episode.length_s
        return None


def _ends(tally: StoryCounts, since: int, until: int) -> list[int]:
    """The moments to look at of an episode in [since, until]: the ends of minutes with negative stories."""
    return tally.ends(since // MINUTE_S * MINUTE_S, until + 1)


def _told(heard: ReplayData, episode: Episode, since: int, until: int) -> Mapping[str, SourceStories]:
    """What each source told of the episode's series in [since, until), the episode's own articles among it."""
    start, end = (from_epoch(at) for at in (since, until))
    told = dict(heard.negative_sources(episode.series, start, end))
    stories: dict[str, set[str]] = {}
    firsts: Counter[str] = Counter()
    for mention in episode.told:
        if since <= mention.at < until:
            stories.setdefault(mention.source, set()).add(mention.story)
            firsts[mention.source] += mention.id == mention.story
    for source, some in stories.items():
        before = told.get(source, SourceStories(0, 0))
        told[source] = SourceStories(before.first + firsts[source], before.told + len(some))
    return told


def _figures(
    name: str, alarms: int, weeks: float, find: Finder, drawn: Sequence[Episode], decoys: Sequence[Episode], threshold: float
) -> Detector:
    delays = [find(episode) for episode in drawn]
    rung = sum(find(decoy) is not None for decoy in decoys)
    groups: dict[tuple[str, str], list[float | None]] = {}
    for episode, delay in zip(drawn, delays, strict=True):
        groups.setdefault((episode.shape, episode.size), []).append(delay)
    heavy = [delay for (_, size), some in groups.items() if size != "small" for delay in some]
    found = sum(delay is not None for delay in delays)
    return Detector(
        name=name,
        false_per_week=round(alarms / weeks, 2),
        recall=_share(heavy),
        delay_p50=_quantile(heavy, 0.5),
        delay_p90=_quantile(heavy, 0.9),
        precision=round(found / max(1, found + rung + alarms), 3),
        decoys=round(rung / max(1, len(decoys)), 3),
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
    """Alarms a week by month, of the part of each month that was judged."""
    days = Counter(f"{from_epoch(at):%Y-%m}" for at in range(since, until, DAY_S))
    rung = Counter(f"{from_epoch(at):%Y-%m}" for at in alarms)
    return {month: round(rung[month] / (number / 7), 2) for month, number in sorted(days.items())}
