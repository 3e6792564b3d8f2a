"""What came before a window is asked of the store once, not with every batch that touches the window.

    a batch touches series S in window W ─▶ [since ... W.start) of S: kept here ─▶ W itself: asked each time

What is kept goes when an article of that past arrives, when the window moves on (every minute), and after TTL_S, as other
workers may have stored one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

from spine.records import Score
from spine.series import MARKET, facts
from spine.store import Mentions, WindowCount
from stream.windows import Window

TTL_S = 60.0
SERIES_KEPT = 5_000


class _Kept(NamedTuple):
    since: datetime
    until: datetime
    asked: float
    counts: list[WindowCount]


class Past:
    """The counts of series before the windows that are being judged. One thread at a time."""

    def __init__(self, mentions: Mentions, clock: Callable[[], float] = time.monotonic) -> None:
        self._mentions = mentions
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._series: tuple[Window, float, int] | None = None
        self._first: datetime | None = None

    def heard(self, scores: Iterable[Score]) -> None:
        """These were stored: forget the pasts that they belong to."""
        for score in scores:
            for series, *_ in facts(score):
                kept = self._kept.get(series)
                if kept is not None and score.published_at < kept.until:
                    del self._kept[series]

    def counts(self, series: str, since: datetime, window: Window, width_s: int) -> list[WindowCount]:
        """Stories of `series` per window of width_s from `since` to the end of `window`, empty ones left out. Raises StoreError."""
        kept = self._kept.get(series)
        if kept is None or (kept.since, kept.until) != (since, window.start) or self._clock() - kept.asked > TTL_S:
            if len(self._kept) >= SERIES_KEPT:
                self._kept.clear()
            asked = self._clock()
            kept = _Kept(since, window.start, asked, self._mentions.window_counts(series, since, window.start, width_s))
            self._kept[series] = kept
        return kept.counts + self._mentions.window_counts(series, *window, width_s)

    def first_seen(self, enough: datetime) -> datetime | None:
        """When anything was first published; any moment before `enough` will do. None: nothing is stored. Raises StoreError."""
        if self._first is None or self._first > enough:
            self._first = self._mentions.first_seen([MARKET]).get(MARKET)
        return self._first

    def series_count(self, since: datetime, until: datetime) -> int:
        """How many series were touched in [since, until). Raises StoreError."""
        kept, asked = self._series, self._clock()
        if kept is None or kept[0] != (since, until) or asked - kept[1] > TTL_S:
            kept = self._series = (Window(since, until), asked, self._mentions.series_count(since, until))
        return kept[2]
