"""Rate limit per token: a token bucket that holds the requests of one minute and refills evenly (GCRA). The time is an argument."""

from __future__ import annotations

import math
import threading
from typing import NamedTuple


class RateLimitState(NamedTuple):
    """State of a bucket after a request.

    Attributes:
        remaining: requests that are allowed immediately
        wait_s: seconds until the next request is allowed; 0 if this one was allowed
        reset_s: seconds until the bucket is full
    """

    remaining: int
    wait_s: float
    reset_s: float


class RateLimiter:
    """One bucket per key, local to this process. Thread safe."""

    def __init__(self, per_minute: int) -> None:
        """
        Args:
            per_minute: capacity of a bucket, and how much is refilled in a minute
        """
        self.per_minute = per_minute
        self._full_at: dict[str, float] = {}  # GCRA keeps only the time at which each bucket is full again
        self._lock = threading.Lock()

    def take(self, key: str, now: float) -> RateLimitState:
        """Count one request, unless the bucket is empty.

        Args:
            key: id of the token
            now: seconds of a monotonic clock

        Returns:
            The state; the request was counted if wait_s is 0.
        """
        each_s = 60.0 / self.per_minute
        with self._lock:
            missing_s = max(0.0, self._full_at.get(key, now) - now)
            wait_s = missing_s + each_s - 60.0
            if wait_s > 1e-9:
                return RateLimitState(0, wait_s, missing_s)
            self._full_at[key] = now + missing_s + each_s
            if len(self._full_at) > 10_000:
                self._full_at = {other: at for other, at in self._full_at.items() if at > now}
        missing_s += each_s
        return RateLimitState(math.floor((60.0 - missing_s) / each_s + 1e-6), 0.0, missing_s)


def headers(state: RateLimitState, per_minute: int) -> dict[str, str]:
    """Response headers (draft-ietf-httpapi-ratelimit-headers-10), with Retry-After if the request was rejected."""
    found = {
        "RateLimit-Policy": f'"token";q={per_minute};w=60',
        "RateLimit": f'"token";r={state.remaining};t={math.ceil(state.wait_s or state.reset_s)}',
    }
    return found | ({"Retry-After": str(math.ceil(state.wait_s))} if state.wait_s else {})
