"""Is the worker still getting anywhere? Kept apart from Faust, so that it can tell when Faust is not."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from stream.worker.batches import Raw

Place = tuple[str, int]
"""A topic and a partition."""


class Progress:
    """What was begun and what was finished, by all agents of a worker. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._busy: dict[int, tuple[str, float]] = {}
        self._numbers = itertools.count()
        self._done: dict[Place, int] = {}
        self._last: dict[Place, float] = {}

    def started(self, role: str) -> int:
        """A batch was handed to this agent: its number."""
        with self._lock:
            number = next(self._numbers)
            self._busy[number] = (role, self._clock())
            return number

    def finished(self, batch: int, messages: Iterable[Raw]) -> None:
        """The batch of that number, of these messages, is stored, published and acknowledged."""
        with self._lock:
            self._busy.pop(batch, None)
            for message in messages:
                place = (message.topic, message.partition)
                self._done[place] = message.offset + 1
                self._last[place] = self._clock()

    def dropped(self, batch: int) -> None:
        """The batch of that number was taken away: it comes again, here or elsewhere."""
        with self._lock:
            self._busy.pop(batch, None)

    def busy(self) -> bool:
        """Is any agent working on a batch?"""
        with self._lock:
            return bool(self._busy)

    def stuck(self, ends: Mapping[Place, tuple[int | None, int | None]], limit_s: float) -> str:
        """What has stood still for more than limit_s although there is work; "" when nothing has.

        ends: each assigned partition's (offset to go on from, as far as Kafka told; offset of its end), None where unknown
        """
        now = self._clock()
        with self._lock:
            for role, since in self._busy.values():
                if now - since > limit_s:
                    return f"{role} has worked on one batch for {now - since:.0f} s"
            for gone in self._last.keys() - ends.keys():
                del self._last[gone]
                self._done.pop(gone, None)
            for place, (committed, end) in ends.items():
                begun = self._done.get(place, committed)
                if begun is None or end is None or begun >= end:
                    self._last[place] = now  # nothing to do, or nobody knows
                elif now - self._last.setdefault(place, now) > limit_s:
                    return f"{place[0]}[{place[1]}] stands at {begun} of {end} for {now - self._last[place]:.0f} s"
        return ""
