"""The tallies of series, from the store: what is known is kept, only the newest minutes are asked for each time.

[ now - reach ................................... │ .. now ]
  kept; from a story that comes late on, and        asked of the store each time,
  when TTL_S is over, it is asked for once more     all touched series in one query
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from core.records import Score
from core.series import MARKET, facts
from stats.minute_counts import EMPTY, HOUR_S, Tally
from storage.store import Mentions
from storage.timestamps import from_epoch

TTL_S = 900.0
"""Other workers may have stored something old; its score comes by here as well, unless its message was lost."""
SERIES_KEPT = 5_000
STEP_S = 300
"""The newest minutes: up to twice as many seconds."""
ASK_AT_ONCE = 2_000
"""Series in one query: ClickHouse reads at most 256 kB of SQL, and old servers get the values in the text."""


class _Kept(NamedTuple):
    until: int
    asked: float
    tally: Tally


class Tallies:
    """Stories of series, minute by minute. One thread at a time. reach_s: how far back."""

    def __init__(self, mentions: Mentions, reach_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._mentions, self._reach_s, self._clock = mentions, int(reach_s), clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def heard(self, scores: Iterable[Score]) -> set[str]:
        """These were stored: forget what is kept from them on. Which series have another past now."""
        late: set[str] = set()
        for score in scores:
            at = int(score.published_at.timestamp())
            for series, *_ in facts(score):
                kept = self._kept.get(series)
                if kept is not None and at < kept.until:
                    until = at // STEP_S * STEP_S
                    self._kept[series] = kept._replace(until=until, tally=kept.tally.between(0, until))
                    late.add(series)
        return late

    def of(self, series: Collection[str], now: datetime) -> dict[str, Tally]:
        """The tally of each of `series`, and of the whole market, up to `now` and what is dated after it. Raises StoreError."""
        names = sorted({*series, MARKET})
        second, asked = int(now.timestamp()), self._clock()
        cut = (second // STEP_S - 1) * STEP_S
        behind: dict[int, list[str]] = {}
        for name in names:
            kept = self._kept.get(name)
            if kept is None or asked - kept.asked > TTL_S:
                kept = self._kept[name] = _Kept(max(0, cut // HOUR_S * HOUR_S - self._reach_s), asked, EMPTY)
            self._kept.move_to_end(name)
            if kept.until < cut:
                behind.setdefault(kept.until, []).append(name)
        for since, some in sorted(behind.items()):
            found = self._ask(some, since, cut)
            for name in some:
                kept = self._kept[name]
                self._kept[name] = kept._replace(until=cut, tally=kept.tally.then(found.get(name, EMPTY)))
        while len(self._kept) > max(SERIES_KEPT, len(names)):
            self._kept.popitem(last=False)
        recent = self._ask(names, cut, cut + HOUR_S)
        return {name: self._kept[name].tally.between(0, cut).then(recent.get(name, EMPTY)) for name in names}

    def _ask(self, names: Sequence[str], since: int, until: int) -> dict[str, Tally]:
        start, end = (from_epoch(moment) for moment in (since, until))
        found: dict[str, Tally] = {}
        for first in range(0, len(names), ASK_AT_ONCE):
            counts = self._mentions.minutes(names[first : first + ASK_AT_ONCE], start, end)
            found |= {name: Tally.of(*columns) for name, columns in counts.items()}
        return found
