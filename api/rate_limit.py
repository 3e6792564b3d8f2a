"""How often one token may ask: a bucket that holds a minute's requests and fills evenly. Pure but for its lock; `now` is an argument.

take(key, now) ─▶ Left(remaining, wait_s 0): go on, and it is counted
               └▶ Left(0, wait_s): nothing was counted
"""

from __future__ import annotations

import math
import threading
from typing import NamedTuple


class Left(NamedTuple):
    """remaining: requests that may follow at once; wait_s: until the next may, 0 when this one may; reset_s: until the bucket is full."""

    remaining: int
    wait_s: float
    reset_s: float


class Buckets:
    """One bucket a key, in this process alone. Safe to use from several threads.

    per_minute: what a bucket holds, and what flows into it in a minute
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._full_at: dict[str, float] = {}  # when each bucket will be full again: all that has to be kept of one (GCRA)
        self._lock = threading.Lock()

    def take(self, key: str, now: float) -> Left:
        """Ask for one request at `now`, seconds of a clock that only goes forward."""
        each_s = 60.0 / self.per_minute
        with self._lock:
            missing_s = max(0.0, self._full_at.get(key, now) - now)
            wait_s = missing_s + each_s - 60.0
            if wait_s > 1e-9:
                return Left(0, wait_s, missing_s)
            self._full_at[key] = now + missing_s + each_s
            if len(self._full_at) > 10_000:
                self._full_at = {other: at for other, at in self._full_at.items() if at > now}
        missing_s += each_s
        return Left(math.floor((60.0 - missing_s) / each_s + 1e-6), 0.0, missing_s)


def headers(left: Left, per_minute: int) -> dict[str, str]:
    """What a client is told (draft-ietf-httpapi-ratelimit-headers-10), and when it was too much, when to come again."""
    told = {
        "RateLimit-Policy": f'"token";q={per_minute};w=60',
        "RateLimit": f'"token";r={left.remaining};t={math.ceil(left.wait_s or left.reset_s)}',
    }
    return told | ({"Retry-After": str(math.ceil(left.wait_s))} if left.wait_s else {})
