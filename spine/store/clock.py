"""Times on their way into and out of the store: epoch seconds there, aware UTC here."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

_versions = threading.Lock()
_last = 0


def to_epoch(moment: datetime) -> int:
    """Whole seconds since 1970, rounded down."""
    return int(moment.timestamp())


def from_epoch(seconds: int) -> datetime:
    """Aware UTC."""
    return datetime.fromtimestamp(seconds, tz=UTC)


def new_version() -> int:
    """Of two rows with one key the one written later wins: microseconds since 1970, and never the same or less than the one before.

    In this process, that is, in all its threads, whatever its clock does. Across a restart, and between hosts, it is their
    clocks that count: a clock set back by an hour makes a new process lose to the old one's rows for that hour, and a host that
    is late loses to one that is not. Keep the hosts on NTP, which slews a running clock and does not set it back.
    """
    global _last  # noqa: PLW0603  one sequence a process
    with _versions:
        _last = max(_last + 1, time.time_ns() // 1000)
        return _last
