"""A circuit breaker for unusable records: when too many fail, the reader or the writer is at fault, and the worker stops.

Otherwise one bad deployment would move a whole topic to the dead letters. Sentry's arroyo limits its dead letters in the same way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta

from core.errors import CircuitOpen
from storage.store import Store

WINDOW_MESSAGES = 1_000
"""Number of recent messages of a topic that the ratio is computed over."""
MIN_DEAD_LETTERS = 100
"""Fewer dead letters never open the circuit."""
RESTART_WINDOW = timedelta(minutes=10)
"""A new worker counts the dead letters of this time: otherwise each restart would allow MIN_DEAD_LETTERS more."""


class CircuitBreaker:
    """Counts usable and unusable messages per topic. Each topic belongs to one thread.

    max_ratio: ratio of dead letters that opens the circuit; 1 never does
    recent: from topic to the dead letters in RESTART_WINDOW, of any worker
    """

    def __init__(self, max_ratio: float, recent: Mapping[str, int] | None = None) -> None:
        self._max_ratio = max_ratio
        self._batches = {topic: deque([(min(dead, MIN_DEAD_LETTERS),) * 2]) for topic, dead in (recent or {}).items()}

    def record(self, topic: str, messages: int, dead: int, reason: str = "") -> None:
        """Counts a batch.

        Args:
            topic: of the batch.
            messages: their number.
            dead: how many are unusable.
            reason: why the last of them is.

        Raises:
            CircuitOpen: nothing of the batch may be written or acknowledged.
        """
        batches = self._batches.setdefault(topic, deque())
        batches.append((messages, dead))
        while len(batches) > 1 and sum(count for count, _ in batches) > WINDOW_MESSAGES:
            batches.popleft()
        total, bad = sum(count for count, _ in batches), sum(count for _, count in batches)
        if dead > self._max_ratio * messages and bad >= MIN_DEAD_LETTERS and bad > self._max_ratio * total:
            raise CircuitOpen(
                f"{bad} of the last {total} records of {topic} are unusable, more than dead_letter_max_ratio ({self._max_ratio:g}) "
                f"allows, so the producer or this worker is probably faulty (last reason: {reason}). Fix the cause and restart the worker, "
                "or set dead_letter_max_ratio to 1 to keep all unusable records as dead letters"
            )


def load_circuit_breaker(max_ratio: float, store: Store, now: datetime) -> CircuitBreaker:
    """A circuit breaker that counts the recent dead letters in the store. Raises StoreError."""
    recent: dict[str, int] = {}
    for topic, count in store.dead_letters.by_topic(now - RESTART_WINDOW).items():
        name = topic.partition("@")[0]  # without the run of an embedded broker
        recent[name] = recent.get(name, 0) + count
    return CircuitBreaker(max_ratio, recent)
