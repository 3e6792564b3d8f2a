"""Times on their way into and out of the store: epoch seconds there, aware UTC here."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def to_epoch(moment: datetime) -> int:
    """Whole seconds since 1970, rounded down."""
    return int(moment.timestamp())


def from_epoch(seconds: int) -> datetime:
    """Aware UTC."""
    return datetime.fromtimestamp(seconds, tz=UTC)


def new_version() -> int:
    """Of two rows with one key the one written later wins: microseconds since 1970."""
    return time.time_ns() // 1000
