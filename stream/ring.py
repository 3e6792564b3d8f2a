"""From moments of series to alerts: spikes, sources that bear them out, the bar, the episode. Pure: what it asks, it asks its ground.

The stream gives it the store as ground (stream/watch.py), a backtest what it has read of the past (stream/replay.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from spine.records import Alert
from spine.series import MARKET
from spine.store import Rung, SourceStories
from spine.store.clock import from_epoch
from stream.alerts import Rule, corroborated, decide
from stream.bar import Bar
from stream.judge import Judge
from stream.spikes import Spike
from stream.tally import IntArray, Tally
from stream.why import Judged


class Ground(Protocol):
    """What is known of a series beyond its tally."""

    def negative_sources(self, series: str, since: datetime, until: datetime) -> Mapping[str, SourceStories]:
        """What each source told in [since, until), negative articles only."""


class Borne(NamedTuple):
    """spike: as far as sources bear each other out; counted: as it was counted; sources: how many there are"""

    spike: Spike
    counted: Spike
    sources: int


class Rings(NamedTuple):
    """fresh: alerts, without evidence; going_on: ids of alerts whose episodes go on; judged: what each fresh one was judged by, by id"""

    fresh: list[Alert]
    going_on: set[str]
    judged: dict[str, Judged]


class Ringer:
    """One rule over all series. One thread at a time."""

    def __init__(self, rule: Rule, ground: Ground, bar: Bar) -> None:
        self._rule, self._ground, self._bar = rule, ground, bar
        self._judge = Judge(rule)

    def forget(self, series: str) -> None:
        """What was known of the past of `series` is out of date."""
        self._judge.forget(series)

    def spikes(self, series: str, tallies: Mapping[str, Tally], ends: Sequence[int]) -> list[Spike]:
        """The spikes of `series` in windows that end at `ends`, seconds since 1970; tallies: with that of the market."""
        return [found[0] for end in ends if (found := self._judge.spikes(series, tallies[series], tallies[MARKET], end))]

    def expected(self, series: str, tallies: Mapping[str, Tally], starts: IntArray, step_s: int) -> list[float]:
        """As Judge.expected; tallies: with that of the market."""
        return self._judge.expected(series, tallies[series], tallies[MARKET], starts, step_s)

    def ring(self, spikes: Mapping[str, Sequence[Spike]], tallies: Mapping[str, Tally], last: Mapping[str, Rung], now: datetime) -> Rings:
        """What rings, of spikes in order of time. last: what each series rang last. Raises what ground and bar raise."""
        bar = self._bar.at(now)
        rings = Rings([], set(), {})
        for series, found in spikes.items():
            before = last.get(series)
            for spike in found:
                rang = self._judged(series, spike, tallies, before, bar, now)
                if rang is not None:
                    alert, judged = rang
                    before = Rung(alert.id, spike.end)
                    rings.fresh.append(alert)
                    rings.judged[alert.id] = judged
                elif before is not None and spike.surprise >= bar:
                    rings.going_on.add(before.id)
        return rings

    def _judged(
        self, series: str, spike: Spike, tallies: Mapping[str, Tally], last: Rung | None, bar: float, now: datetime
    ) -> tuple[Alert, Judged] | None:
        """The alert that `spike` raises after the one that its series raised last, and what it was judged by."""
        if spike.surprise < bar and not self._bar.worth_noting(series, spike):
            return None
        borne = self._borne(series, tallies, spike.end, 0, now)
        if borne is not None:
            self._bar.note(series, borne.spike)
        if borne is not None and last is not None:
            if spike.end < last.end + self._rule.cooldown_s:
                return None
            if spike.end - borne.spike.width_s < last.end:  # what rang already is not counted once more
                borne = self._borne(series, tallies, spike.end, last.end, now)
        if borne is None:
            return None
        spike = borne.spike
        total = int(tallies[series].count_all(spike.end - spike.width_s, spike.end))
        alert = decide(series, spike, bar=bar, total=total, sources=borne.sources, rule=self._rule, now=now)
        return None if alert is None else (alert, Judged(self._rule, borne.counted, bar, self._bar.feed_sources(now)))

    def _borne(self, series: str, tallies: Mapping[str, Tally], end: int, since: int, now: datetime) -> Borne | None:
        """The strongest spike that ends there, as far as sources bear each other out.

        Of all widths: one source's flood fills the wide windows, and others' bad news may still stand out in a narrow one.
        """
        best: Borne | None = None
        for spike in self._judge.spikes(series, tallies[series], tallies[MARKET], end, since):
            if best is not None and spike.surprise <= best.spike.surprise:
                break
            start, stop = (from_epoch(moment) for moment in (end - spike.width_s, end))
            told = self._ground.negative_sources(series, start, stop)
            borne = corroborated(spike, told.values(), self._rule, self._bar.feed_sources(now))
            if borne is not None and (best is None or borne.surprise > best.spike.surprise):
                best = Borne(borne, spike, len(told))
        return best
