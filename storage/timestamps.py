"""Conversion between aware UTC datetimes and the epoch numbers of the store, and row versions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

ItemT = TypeVar("ItemT")
MAX_MONTHS = 100
"""ClickHouse rejects an insert that touches more partitions; the tables of news are partitioned by month."""

FEW_MONTHS = timedelta(days=28 * (MAX_MONTHS - 2))
"""A shorter time touches at most MAX_MONTHS months, wherever it begins."""

_SINCE_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_versions = threading.Lock()
_last = 0


def to_epoch(moment: datetime) -> int:
    """Whole seconds since 1970, rounded down."""
    return int(moment.timestamp())


def from_epoch(seconds: int) -> datetime:
    """Aware UTC from seconds since 1970."""
    return datetime.fromtimestamp(seconds, tz=UTC)


def to_us(moment: datetime) -> int:
    """Whole microseconds since 1970."""
    return (moment - _SINCE_1970) // timedelta(microseconds=1)


def from_us(us: int | str) -> datetime:
    """Aware UTC from microseconds since 1970; 64-bit numbers may arrive as strings."""
    return _SINCE_1970 + timedelta(microseconds=int(us))


def split_by_months(items: Sequence[ItemT], moment: Callable[[ItemT], datetime]) -> list[Sequence[ItemT]]:
    """Split items into parts of at most MAX_MONTHS months each, in order; an unsorted archive may span decades."""
    moments = [moment(item) for item in items]
    if items and max(moments) - min(moments) < FEW_MONTHS:  # the usual case
        return [items]
    month_of = [each.astimezone(UTC).strftime("%Y%m") for each in moments]
    place = {month: n // MAX_MONTHS for n, month in enumerate(sorted(set(month_of)))}
    portions: dict[int, list[ItemT]] = {}
    for item, month in zip(items, month_of, strict=True):
        portions.setdefault(place[month], []).append(item)
    return list(portions.values())


def new_version() -> int:
    """A row version: microseconds since 1970, strictly increasing in this process whatever its clock does.

    Of two rows with one key, the higher version wins. Between processes and hosts the clocks decide: rows of a process whose clock was
    set back lose against older ones until the clock catches up. Keep hosts on NTP, which slews the clock instead of setting it back.
    """
    global _last  # noqa: PLW0603  one sequence a process
    with _versions:
        _last = max(_last + 1, time.time_ns() // 1000)
        return _last
