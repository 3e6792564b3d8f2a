"""Cache of counts per minute: old minutes are kept in memory, only the newest are read from the store on each call.

[ now - history ..................................... │ .. now ]
  kept in memory; read again from a late story on,      read on each call,
  and whole after TTL_S                                 all series in one query
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from core.chunks import chunks
from core.records import Score
from core.series import MARKET, facts
from stats.minute_counts import EMPTY, HOUR_S, StoryCounts
from storage.store import MentionTable
from storage.timestamps import from_epoch

TTL_S = 900.0
"""Another worker may have stored an old story. Its score arrives here too and invalidates the cache, unless the message is lost."""
MAX_SERIES = 5_000
STEP_S = 300
"""The minutes that are read on each call: up to twice as many seconds."""


class _Entry(NamedTuple):
    """until: end of the minutes that are kept; read_at: clock when it was read whole"""

    until: int
    read_at: float
    counts: StoryCounts


class MinuteCountsCache:
    """Stories of series per minute, from the store. One thread at a time.

    Args:
        mentions: The table that counts are read from.
        history_s: How far back counts reach, in seconds.
        clock: Monotonic clock.
    """

    def __init__(self, mentions: MentionTable, history_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._mentions, self._history_s, self._clock = mentions, int(history_s), clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def invalidate(self, scores: Iterable[Score]) -> set[str]:
        """Drop what is kept from the moments of these scores on, which were stored just now.

        Returns:
            The series whose past has changed.
        """
        changed: set[str] = set()
        for score in scores:
            at = int(score.published_at.timestamp())
            for series, *_ in facts(score):
                entry = self._entries.get(series)
                if entry is not None and at < entry.until:
                    until = at // STEP_S * STEP_S
                    self._entries[series] = entry._replace(until=until, counts=entry.counts.between(0, until))
                    changed.add(series)
        return changed

    def get(self, series: Collection[str], now: datetime) -> dict[str, StoryCounts]:
        """Counts of each of `series` and of the market, up to an hour after `now`. Raises StoreError."""
        names = sorted({*series, MARKET})
        second, read_at = int(now.timestamp()), self._clock()
        cut = (second // STEP_S - 1) * STEP_S
        behind: dict[int, list[str]] = {}
        for name in names:
            entry = self._entries.get(name)
            if entry is None or read_at - entry.read_at > TTL_S:
                entry = self._entries[name] = _Entry(max(0, cut // HOUR_S * HOUR_S - self._history_s), read_at, EMPTY)
            self._entries.move_to_end(name)
            if entry.until < cut:
                behind.setdefault(entry.until, []).append(name)
        for since, some in sorted(behind.items()):
            found = self._read(some, since, cut)
            for name in some:
                entry = self._entries[name]
                self._entries[name] = entry._replace(until=cut, counts=entry.counts.then(found.get(name, EMPTY)))
        while len(self._entries) > max(MAX_SERIES, len(names)):
            self._entries.popitem(last=False)
        recent = self._read(names, cut, cut + HOUR_S)
        return {name: self._entries[name].counts.between(0, cut).then(recent.get(name, EMPTY)) for name in names}

    def _read(self, names: Sequence[str], since: int, until: int) -> dict[str, StoryCounts]:
        start, end = (from_epoch(moment) for moment in (since, until))
        found: dict[str, StoryCounts] = {}
        for some in chunks(names):
            rows = self._mentions.minutes(some, start, end)
            found |= {name: StoryCounts.of(*columns) for name, columns in rows.items()}
        return found
