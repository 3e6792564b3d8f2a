"""Which moments of which series surprise: the past of a series, and its windows. Pure but for what it remembers.

The same object serves the stream, where tallies come from the store as stories do, and a backtest, where they are all there: it looks
at nothing after the moment that is judged.

From moments of series to alerts: spikes, sources that bear them out, the bar, the episode. Pure: what it asks, it asks its ground.

The stream gives it the store as ground (evaluator.py), a backtest what it has read of the past (replay.py).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol, TypeVar, cast

from core.records import Alert
from core.series import MARKET
from stats.minute_counts import HOUR_S, IntArray, Tally
from stats.seasonal_baseline import Baseline, Feed, baseline, feed_of, within
from stats.spikes import PAST_WIDTHS, Spike, spikes
from storage.store import Rung, SourceStories
from storage.timestamps import from_epoch
from stream.detection.attribution import Judged
from stream.detection.spike_rule import Rule, corroborated, decide
from stream.detection.threshold import Bar

LAG_H = 24
"""The past ends so long before the moment that is judged, or a quarter of what is known: what creeps up over a day must not become its
own past."""
KEPT = 20_000
ItemT = TypeVar("ItemT")


class Judge:
    """One rule over any number of series. One thread at a time."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._widths_h = tuple(sorted({max(1, width // HOUR_S) for width in rule.widths_s}))
        self._kept: OrderedDict[Hashable, object] = OrderedDict()

    def spikes(self, series: str, tally: Tally, market: Tally, end: int, since: int = 0) -> list[Spike]:
        """The windows of `series` that end at `end` and begin at `since` or later, if worth a look: the most surprising first.

        market: all stories of the feed; both tallies reach back as far as the rule's history, and a day
        """
        rule, longest = self._rule, max(self._rule.widths_s)
        if len(market) == 0 or int(tally.count(end - longest, end)) < rule.min_stories:
            return []
        began, hour = int(market.at[0]), (end - 1) // HOUR_S
        widths = [width for width in rule.widths_s if end - width >= since and PAST_WIDTHS * width <= end - began]
        if not widths or end - began < rule.warmup_s:
            return []
        feed, usual = self._past(series, tally, market, hour)
        silences = self._once((hour, end), lambda: feed.silences(market, end - longest, end))
        return spikes(tally, usual, end, widths, silences=silences, least=rule.min_stories, ratio=rule.min_ratio)

    def expected(self, series: str, tally: Tally, market: Tally, starts: IntArray, step_s: int) -> list[float]:
        """How many negative stories the past of `series` lets expect in each step from one of `starts`; [] where there is none yet."""
        hour = (int(starts[-1]) + step_s - 1) // HOUR_S
        if len(market) == 0 or (hour - int(market.at[0]) // HOUR_S) * HOUR_S < max(HOUR_S, self._rule.warmup_s):
            return []
        return [float(amount) for amount in within(self._past(series, tally, market, hour)[1].negative, starts, starts + step_s)]

    def _past(self, series: str, tally: Tally, market: Tally, hour: int) -> tuple[Feed, Baseline]:
        """The rhythm of the feed and of `series`, as they are known in this hour since 1970."""
        began = int(market.at[0]) // HOUR_S
        last = hour - min(LAG_H, (hour - began) // 4)
        first = max(began, last - int(self._rule.history_s) // HOUR_S)
        feed = self._once((hour,), lambda: feed_of(market, first, hour))
        return feed, self._once((series, last), lambda: baseline(tally, feed, first, last, self._widths_h))

    def forget(self, series: str) -> None:
        """What was known of the past of `series` is out of date."""
        for key in [key for key in self._kept if isinstance(key, tuple) and key[0] == series]:
            del self._kept[key]

    def _once(self, key: Hashable, make: Callable[[], ItemT]) -> ItemT:
        if key not in self._kept:
            self._kept[key] = make()
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return cast(ItemT, self._kept[key])


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
