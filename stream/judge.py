"""Which moments of which series surprise: the past of a series, and its windows. Pure but for what it remembers.

The same object serves the stream, where tallies come from the store as stories do, and a backtest, where they are all there: it looks
at nothing after the moment that is judged.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

from stream.alerts import Rule
from stream.baseline import Baseline, Feed, baseline, feed_of, within
from stream.spikes import PAST_WIDTHS, Spike, spikes
from stream.tally import HOUR_S, IntArray, Tally

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
