"""SQL of how the installation fares: how much is stored, how fast it came and how long it took, and what could not be used."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from storage.clickhouse import ClickHouse
from storage.timestamps import from_epoch, to_epoch, to_us

NEWS = timedelta(days=1)
"""What was fetched longer after its publication is an archive's, and tells nothing of how long the path takes."""
LETTERS, LETTER_CHARS = 1_000, 8_000
"""So many dead letters are looked into at most, those of the highest offsets, and so far: their bytes say which source they are of."""
_SOURCE = re.compile(rb'"source"\s*:\s*("(?:[^"\\]|\\.)*")')


class TableSize(NamedTuple):
    """A table on disk. rows: before replacement; parts: the files that it is in"""

    name: str
    rows: int
    size_bytes: int
    parts: int


class DiskSpace(NamedTuple):
    """The disk that the store lies on."""

    free_bytes: int
    total_bytes: int


class LatencyStage(NamedTuple):
    """How long a stage of the path took, seconds: for half of the articles, and for all but one in a hundred."""

    name: str
    p50_s: float
    p99_s: float


class Latency(NamedTuple):
    """The path from publication to the store. articles: how many it was measured with; 0: there are no stages either"""

    articles: int
    stages: tuple[LatencyStage, ...] = ()


class DeadReason(NamedTuple):
    """Records that were set aside for one reason. unsettled: of them, those of which nobody has made anything yet"""

    stage: str
    reason: str
    records: int
    unsettled: int
    last_at: datetime


class SourceHours(NamedTuple):
    """The hours of a source in which it published anything.

    counts: where an hour begins (seconds since 1970) to its articles, and the negative ones of them; in no order
    last_at, stored_at: when its newest article was published, and when that was stored
    """

    source: str
    counts: dict[int, tuple[int, int]]
    last_at: datetime
    stored_at: datetime


class HealthQueries:
    """Reads only."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def tables(self) -> list[TableSize]:
        """Every table of ours, the largest first. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT table, sum(rows), sum(bytes_on_disk), count() FROM system.parts
            WHERE active AND database = currentDatabase() GROUP BY table ORDER BY sum(bytes_on_disk) DESC, table
            """
        )
        return [TableSize(row[0], int(row[1]), int(row[2]), int(row[3])) for row in rows if len(row) == 4]

    def disk(self) -> DiskSpace | None:
        """The fullest of its disks; None: this server does not say. Raises StoreError."""
        known = self._client.query("SELECT count() FROM system.tables WHERE database = 'system' AND name = 'disks'")
        if not known or not int(known[0][0]):  # 18.16
            return None
        rows = self._client.query(
            "SELECT free_space, total_space FROM system.disks WHERE total_space > 0 ORDER BY free_space / total_space"
        )
        return DiskSpace(int(rows[0][0]), int(rows[0][1])) if rows else None

    def stored(self, since: datetime, until: datetime, width_s: int) -> list[tuple[datetime, int]]:
        """(start, articles) of the windows of [since, until) in which articles were stored, ascending. Raises StoreError.

        By the moment of writing: an archive that is loaded counts when it is loaded, one that is scored anew when it is.
        """
        rows = self._client.query(
            """
            SELECT intDiv(version, {width:UInt64}) AS place, count() FROM articles
            PREWHERE version >= {since:UInt64} AND version < {until:UInt64} GROUP BY place ORDER BY place
            """,
            width=width_s * 1_000_000,
            since=to_us(since),
            until=to_us(until),
        )
        return [(from_epoch(int(place) * width_s), int(count)) for place, count in rows]

    def latency(self, since: datetime) -> Latency:
        """Of news that was fetched since then, without archives. Raises StoreError.

        An article that was scored again counts with its first time. Publication, fetching and scoring are known to the second.
        """
        rows = self._client.query(
            """
            SELECT count(), quantiles(0.5, 0.99)(fetched - published), quantiles(0.5, 0.99)(scored - fetched),
                   quantiles(0.5, 0.99)(stored - scored), quantiles(0.5, 0.99)(stored - published)
            FROM (
                SELECT toFloat64(min(toUInt32(published_at))) AS published, toFloat64(min(toUInt32(fetched_at))) AS fetched,
                       toFloat64(min(toUInt32(scored_at))) AS scored, min(version) / 1000000 AS stored
                FROM articles WHERE published_at >= toDateTime({oldest:UInt32}) AND fetched_at >= toDateTime({since:UInt32})
                GROUP BY id
            )
            """,
            oldest=to_epoch(since - NEWS),
            since=to_epoch(since),
        )
        if not rows or not int(rows[0][0]):
            return Latency(0)
        names = ("fetch", "score", "write", "whole")
        return Latency(int(rows[0][0]), tuple(LatencyStage(name, *_seconds(pair)) for name, pair in zip(names, rows[0][1:], strict=True)))

    def dead_reasons(self, since: datetime, limit: int = 20) -> list[DeadReason]:
        """Why records were set aside since then, the most frequent reason first; numbers in a reason count as one. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT stage, said, count(), sum((topic, partition, offset) NOT IN (SELECT topic, partition, offset FROM dead_letter_states FINAL)),
                   toUInt32(max(failed_at))
            FROM (
                SELECT stage, topic, partition, offset, failed_at, substring(replaceRegexpAll(reason, '[0-9]+', '#'), 1, 160) AS said
                FROM dead_letters FINAL WHERE failed_at >= toDateTime({since:UInt32})
            )
            GROUP BY stage, said ORDER BY count() DESC, stage, said LIMIT {limit:UInt32}
            """,
            since=to_epoch(since),
            limit=limit,
        )
        return [DeadReason(row[0], row[1], int(row[2]), int(row[3]), from_epoch(int(row[4]))) for row in rows]

    def dead_by_source(self, since: datetime) -> dict[str, int]:
        """How many records of each source were set aside since then; those that do not say their source are left out. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT substring(value, 1, {chars:UInt32}) FROM dead_letters
            WHERE (topic, partition, offset) IN (
                SELECT topic, partition, offset FROM dead_letters WHERE failed_at >= toDateTime({since:UInt32})
                ORDER BY offset DESC LIMIT {limit:UInt32}
            )
            """,
            since=to_epoch(since),
            limit=LETTERS,
            chars=LETTER_CHARS,
        )
        return dict(Counter(name for row in rows if (name := _source(row[0]))))

    def source_hours(self, since: datetime, until: datetime) -> list[SourceHours]:
        """The hours of [since, until) of each source that published anything, by source. Raises StoreError.

        From the mentions of the market, which are narrow: each article has one, until it is replaced perhaps two.
        """
        rows = self._client.query(
            """
            SELECT source, groupArray(hour), groupArray(articles), groupArray(bad), max(last), argMax(stored, last)
            FROM (
                SELECT source, intDiv(toUInt32(published_at), 3600) * 3600 AS hour, count() AS articles, sum(negative) AS bad,
                       toUInt32(max(published_at)) AS last, argMax(version, published_at) AS stored
                FROM mentions
                WHERE series = 'market:all' AND published_at >= toDateTime({since:UInt32}) AND published_at < toDateTime({until:UInt32})
                GROUP BY source, hour
            )
            GROUP BY source ORDER BY source
            """,
            since=to_epoch(since),
            until=to_epoch(until),
        )
        return [_hours(row) for row in rows]

    def source_lags(self, since: datetime) -> dict[str, tuple[float, float]]:
        """Source to its seconds from publication to the store, (median, 95 %), of what was published since then. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT source, quantiles(0.5, 0.95)(lag) FROM (
                SELECT any(source) AS source, min(version) / 1000000 - min(toUInt32(published_at)) AS lag
                FROM articles WHERE published_at >= toDateTime({since:UInt32}) AND fetched_at < published_at + {news:UInt32} GROUP BY id
            )
            GROUP BY source
            """,
            since=to_epoch(since),
            news=int(NEWS.total_seconds()),
        )
        return {row[0]: _seconds(row[1]) for row in rows}


def _seconds(pair: Sequence[Any]) -> tuple[float, float]:
    """What a clock that runs behind makes negative is none."""
    return max(0.0, float(pair[0])), max(0.0, float(pair[1]))


def _source(letter: str) -> str:
    """The source that the beginning of a record names; "" where it names none. letter: in base 64, as dead letters are kept"""
    try:
        found = _SOURCE.search(base64.b64decode(letter))
        return str(msgspec.json.decode(found[1], type=str)) if found else ""
    except (ValueError, msgspec.MsgspecError):
        return ""


def _hours(row: Sequence[Any]) -> SourceHours:
    source, starts, articles, negative, last, stored = row
    counts = {int(start): (int(count), int(bad)) for start, count, bad in zip(starts, articles, negative, strict=True)}
    return SourceHours(source, counts, from_epoch(int(last)), from_epoch(int(stored) // 1_000_000))
