"""A flood of records that cannot be used: then the reader or the writer is wrong, not single records, and the worker ends.

Else one bad deployment would pour a whole topic into the dead letters (as Sentry's arroyo bounds its dead letters).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import timedelta

from core.errors import Flooded

REACH = 1_000
"""So many of the last records of a topic are looked at."""
LEAST = 100
"""Fewer bad ones are no flood."""
MEMORY = timedelta(minutes=10)
"""A worker that starts takes the dead letters of so long ago as its own: else each restart would let LEAST more pass."""


class Flood:
    """Counts per topic what could be used and what could not. A topic belongs to one thread.

    share: over this share of bad records it is a flood; 1: never
    recent: topic to the dead letters of the last MEMORY, of this worker or others
    """

    def __init__(self, share: float, recent: Mapping[str, int] | None = None) -> None:
        self._share = share
        self._last = {topic: deque([(min(dead, LEAST),) * 2]) for topic, dead in (recent or {}).items()}

    def check(self, topic: str, messages: int, dead: int, reason: str = "") -> None:
        """Count a batch of `messages`, `dead` of them bad. Raises Flooded: then nothing of it must be set aside or acknowledged.

        reason: why the last of them is bad
        """
        last = self._last.setdefault(topic, deque())
        last.append((messages, dead))
        while len(last) > 1 and sum(count for count, _ in last) > REACH:
            last.popleft()
        total, bad = sum(count for count, _ in last), sum(count for _, count in last)
        if dead > self._share * messages and bad >= LEAST and bad > self._share * total:
            raise Flooded(
                f"{bad} of the last {total} records of {topic} cannot be used, more than dead_share ({self._share:g}) allows: "
                f"the reader or the writer is wrong, not single records (the last: {reason}). Mend it and start again, "
                "or set dead_share to 1 to set them all aside"
            )
