"""The past once more, with a virtual clock, through the code that watches the stream. Pure: it is given what was told.

What it judges at a moment is what was published until then; that articles came late is not known any more.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from core.records import Alert
from core.series import MARKET
from domain.alert_lifecycle.silences import matches
from stats.minute_counts import Tally
from storage.store import NegativeMention, PeakRow, Rung, SourceStories, Spoke
from storage.timestamps import from_epoch
from stream.detection.attribution import Judged
from stream.detection.detector import Ringer, Rings
from stream.detection.limit_rule import Ground, RiskStory, Threshold, Told, moments, ring
from stream.detection.spike_rule import Rule
from stream.detection.threshold import Bar


class Heard:
    """What was told, by series. tallies: new stories of each series and of the market; told: negative articles, oldest first

    sources: how many there are; spoke: when each was heard, where silences are to be judged
    """

    def __init__(
        self,
        tallies: Mapping[str, Tally],
        told: Mapping[str, Sequence[NegativeMention]],
        sources: int,
        spoke: Mapping[str, Spoke] | None = None,
    ) -> None:
        self.tallies, self._told, self._sources, self.spoke = tallies, told, sources, spoke or {}

    @property
    def names(self) -> list[str]:
        """The sources that told something negative."""
        return sorted({mention.source for mention in self._told.get(MARKET, ())})

    def between(self, series: str, since: datetime, until: datetime) -> Sequence[NegativeMention]:
        """Negative articles of `series` published in [since, until), oldest first."""
        told = self._told.get(series, ())
        first, last = (bisect.bisect_left(told, moment.timestamp(), key=lambda mention: mention.at) for moment in (since, until))
        return told[first:last]

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
        """How many sources there are."""
        return self._sources

    def series_count(self, since: datetime, until: datetime) -> int:
        """How many series were touched in [since, until)."""
        begin, end = since.timestamp(), until.timestamp()
        return sum(len(tally) > 0 and tally.at[0] < end and tally.at[-1] >= begin for tally in self.tallies.values())


class PeakList:
    """As storage.store.Peaks, for one rule, in memory; peaks come in order of time."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int], PeakRow] = {}
        self._began: datetime | None = None

    def note(self, rule: str, peaks: Sequence[PeakRow]) -> None:
        """Keep peaks; of one series and hour the greatest stays."""
        for peak in peaks:
            key = (peak.series, int(peak.end.timestamp()) // 3600)
            if key not in self._rows or self._rows[key].surprise < peak.surprise:
                self._rows[key] = peak

    def since(self, rule: str, since: datetime) -> list[PeakRow]:
        """The peaks of windows that ended since then, oldest first."""
        return sorted((row for row in self._rows.values() if row.end >= since), key=lambda row: (row.end, row.series))

    def began(self, rule: str, now: datetime) -> datetime:
        """The first `now` that it was asked with."""
        self._began = self._began or now
        return self._began


class Moment(NamedTuple):
    """A minute that was judged: when it ended, what rang, the bar, and by id of each alert what it was judged by."""

    at: datetime
    alerts: list[Alert]
    bar: float
    judged: Mapping[str, Judged] = {}


def replay(
    heard: Heard, rule: Rule, since: datetime, until: datetime, levels: Mapping[int, Sequence[Alert]] | None = None
) -> Iterator[Moment]:
    """Every minute of [since, until) that was judged, oldest first. What lies before `since` is read as the past.

    levels: what an analyst's own rules rang in that time, as `replay_levels` has it
    """
    levels = levels or {}
    bar = Bar(rule, PeakList(), heard)
    ringer = Ringer(rule, heard, bar)
    rang: dict[str, Rung] = {}
    by_end: dict[int, list[str]] = {end: [] for end in levels}
    followed = [] if rule.paused else [name for name in sorted(heard.tallies) if matches(rule.series, name)]
    for series in followed:
        tally = heard.tallies[series]
        for end in tally.ends(int(since.timestamp()), int(until.timestamp())):
            by_end.setdefault(end, []).append(series)
    over = 0.0
    for end in sorted(by_end):
        now = from_epoch(end)
        rings = Rings([], set(), {})
        if by_end[end]:
            spikes = {series: ringer.spikes(series, heard.tallies, (end,)) for series in by_end[end]}
            rings = ringer.ring(spikes, heard.tallies, rang, now)
            rang |= {alert.series: Rung(alert.id, end) for alert in rings.fresh}
            bar.keep()
            over = bar.at(now)
        yield Moment(now, [*rings.fresh, *levels.get(end, ())], over, rings.judged)


def replay_levels(
    tallies: Mapping[str, Tally],
    risks: Mapping[str, Sequence[RiskStory]],
    rules: Iterable[Threshold],
    ground: Ground,
    since: datetime,
    until: datetime,
) -> dict[int, list[Alert]]:
    """What an analyst's own rules would have rung in [since, until): the end of a minute, seconds since 1970, to its alerts.

    Raises what the ground raises.
    """
    first, last = int(since.timestamp()), int(until.timestamp())
    rang: dict[int, list[Alert]] = {}
    for rule in rules:
        for series, tally in sorted(tallies.items()):
            if rule.paused or not rule.about(series):
                continue
            told = Told(tally, risks.get(series, ()))
            for alert in ring(rule, series, told, moments(rule, told, first, last), None, ground).fresh:
                rang.setdefault(int(alert.detected_at.timestamp()), []).append(alert)
    return rang
