"""Times on their way into and out of the store: epoch seconds there, aware UTC here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

ItemT = TypeVar("ItemT")
MOST_MONTHS = 100
"""Tables of news are partitioned by month, and ClickHouse refuses a block that touches more partitions, however often it comes."""

FEW_MONTHS = timedelta(days=28 * (MOST_MONTHS - 2))
"""Less than this touches at most MOST_MONTHS months, wherever it begins."""

_SINCE_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_versions = threading.Lock()
_last = 0


def to_epoch(moment: datetime) -> int:
    """Whole seconds since 1970, rounded down."""
    return int(moment.timestamp())


def from_epoch(seconds: int) -> datetime:
    """Aware UTC."""
    return datetime.fromtimestamp(seconds, tz=UTC)


def to_us(moment: datetime) -> int:
    """Whole microseconds since 1970: for what is told apart within a second."""
    return (moment - _SINCE_1970) // timedelta(microseconds=1)


def from_us(us: int | str) -> datetime:
    """Aware UTC; a server may say a number of 64 bits in quotes."""
    return _SINCE_1970 + timedelta(microseconds=int(us))


def few_months(items: Sequence[ItemT], moment: Callable[[ItemT], datetime]) -> list[Sequence[ItemT]]:
    """The items in portions, each of MOST_MONTHS months at most: an archive that is in no order reaches over decades. Order is kept."""
    moments = [moment(item) for item in items]
    if items and max(moments) - min(moments) < FEW_MONTHS:  # the news of every day
        return [items]
    month_of = [each.astimezone(UTC).strftime("%Y%m") for each in moments]
    place = {month: n // MOST_MONTHS for n, month in enumerate(sorted(set(month_of)))}
    portions: dict[int, list[ItemT]] = {}
    for item, month in zip(items, month_of, strict=True):
        portions.setdefault(place[month], []).append(item)
    return list(portions.values())


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
