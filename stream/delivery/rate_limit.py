"""How often one endpoint may be called: chats silence a bot that talks too much. Pure but for its lock; `now` is an argument.

spend(now) ─▶ 0: go on, and it is counted
          └▶ seconds to wait: nothing was counted
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta

from stream.delivery.formats.base import Limit

SLACK_S = 0.5
"""A window is longer by this: what is sent at even steps arrives at uneven ones."""


class Allowance:
    """Counts the messages to one endpoint. It knows of this process alone: after a restart, the endpoint's own "too many" does the rest.

    Safe to use from several threads.
    """

    def __init__(self, limits: Sequence[Limit]) -> None:
        self._limits = limits
        self._sent: deque[datetime] = deque(maxlen=max((limit.messages for limit in limits), default=1))
        self._quiet_until: datetime | None = None
        self._lock = threading.Lock()

    def spend(self, now: datetime) -> float:
        """0 when a message may be sent now, which is then counted; else how long to wait, seconds."""
        with self._lock:
            wait_s = max([self._quiet_s(now), *(self._wait_s(limit, now) for limit in self._limits)])
            if wait_s <= 0:
                self._sent.append(now)
            return wait_s

    def rest(self, now: datetime, seconds: float) -> None:
        """The endpoint asked for quiet."""
        with self._lock:
            until = now + timedelta(seconds=seconds)
            self._quiet_until = until if self._quiet_until is None else max(self._quiet_until, until)

    def _quiet_s(self, now: datetime) -> float:
        return (self._quiet_until - now).total_seconds() if self._quiet_until else 0.0

    def _wait_s(self, limit: Limit, now: datetime) -> float:
        if len(self._sent) < limit.messages:
            return 0.0
        window_s = limit.seconds + SLACK_S
        age_s = (now - self._sent[-limit.messages]).total_seconds()
        return min(window_s, window_s - age_s)  # a clock that was set back must not silence an endpoint for longer than its window
