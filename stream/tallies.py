"""The tallies of series, from the store: the long past is asked for once, the last hour each time.

[ now - history ............... │ ... the hour before ... now ]
  kept, until a story of it comes   asked of the store each time,
  late or TTL_S is over             all touched series in one query
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from spine.records import Score
from spine.series import MARKET, facts
from spine.store import Mentions
from stream.tally import EMPTY, HOUR_S, Tally

TTL_S = 900.0
"""Other workers may have stored something old; its score comes by here as well, unless its message was lost."""
SERIES_KEPT = 5_000


class _Kept(NamedTuple):
    since: int
    until: int
    asked: float
    tally: Tally


class Tallies:
    """Stories of series, minute by minute. One thread at a time. reach_s: how far back."""

    def __init__(self, mentions: Mentions, reach_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._mentions, self._reach_s, self._clock = mentions, int(reach_s), clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def heard(self, scores: Iterable[Score]) -> set[str]:
        """These were stored: forget the pasts that they belong to. Which series those were."""
        late: set[str] = set()
        for score in scores:
            at = score.published_at.timestamp()
            late |= {series for series, *_ in facts(score) if (kept := self._kept.get(series)) is not None and at < kept.until}
        for series in late:
            del self._kept[series]
        return late

    def of(self, series: Collection[str], now: datetime) -> dict[str, Tally]:
        """The tally of each of `series`, and of the whole market, up to `now` and what is dated after it. Raises StoreError."""
        names = sorted({*series, MARKET})
        cut = (int(now.timestamp()) // HOUR_S - 1) * HOUR_S
        missing = [name for name in names if not self._knows(name, cut)]
        since, asked = cut - self._reach_s, self._clock()
        past = self._ask(missing, since, cut)
        for name in missing:
            self._kept[name] = _Kept(since, cut, asked, past.get(name, EMPTY))
        while len(self._kept) > max(SERIES_KEPT, len(names)):
            self._kept.popitem(last=False)
        recent = self._ask(names, cut, cut + 3 * HOUR_S)
        return {name: self._kept[name].tally.then(recent.get(name, EMPTY)) for name in names}

    def _knows(self, name: str, cut: int) -> bool:
        kept = self._kept.get(name)
        if kept is None or kept.until != cut or self._clock() - kept.asked > TTL_S:
            self._kept.pop(name, None)
            return False
        self._kept.move_to_end(name)
        return True

    def _ask(self, names: Sequence[str], since: int, until: int) -> dict[str, Tally]:
        start, end = (datetime.fromtimestamp(moment, tz=UTC) for moment in (max(0, since), until))
        return {name: Tally.of(*columns) for name, columns in self._mentions.minutes(names, start, end).items()}
