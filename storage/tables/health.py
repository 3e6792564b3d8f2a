"""SQL of changes of tables, from the names of their parts: no row is read.

SQL of operational figures: sizes, throughput, latency and dead letters.
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from core.records import MIN_MATERIALITY
from core.series import MARKET
from stats.source_shares import WINDOWS, ShareCount
from storage.clickhouse import ClickHouse
from storage.tables.mentions import counted
from storage.timestamps import from_epoch, to_epoch, to_us


class TableChanges:
    """Change detection for readers that poll every second."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def marks(self, tables: Sequence[str]) -> dict[str, int]:
        """A number for each table that changes with each insert and each dropped month, but not with merges; 0 for an empty table.

        It is a hash of the highest block numbers, as each insert takes the next block number of its partition. Raises StoreError.
        """
        rows = self._client.query(
            """
            SELECT table, sum(cityHash64(partition_id, block)) FROM (
                SELECT table, partition_id, max(max_block_number) AS block FROM system.parts
                WHERE active AND database = currentDatabase() AND table IN {tables:Array(String)} GROUP BY table, partition_id
            ) GROUP BY table
            """,
            tables=tables,
        )
        known = {row[0]: int(row[1]) for row in rows}
        return {table: known.get(table, 0) for table in tables}


NEWS = timedelta(days=1)
"""Articles fetched later than this after publication come from archives and do not count for latency."""
MAX_DEAD_LETTERS, DEAD_LETTER_CHARS = 1_000, 8_000
"""Maximum number of dead letters, with the highest offsets, and of their characters that are searched for the source."""
_SOURCE = re.compile(rb'"source"\s*:\s*("(?:[^"\\]|\\.)*")')


class TableSize(NamedTuple):
    """A table on disk. rows: before replacement; parts: number of its parts"""

    name: str
    rows: int
    size_bytes: int
    parts: int


class DiskSpace(NamedTuple):
    """Space on the disk of the store."""

    free_bytes: int
    total_bytes: int


class LatencyStage(NamedTuple):
    """Latency of one stage, seconds: median and 99 % quantile."""

    name: str
    p50_s: float
    p99_s: float


class Latency(NamedTuple):
    """Latency from publication to the store. articles: sample size; without any, there are no stages"""

    articles: int
    stages: tuple[LatencyStage, ...] = ()


class DeadReason(NamedTuple):
    """Dead letters with one reason. unsettled: those neither replayed nor dropped"""

    stage: str
    reason: str
    records: int
    unsettled: int
    last_at: datetime


class SourceHours(NamedTuple):
    """The hours in which a source published.

    Attributes:
        counts: start of an hour (seconds since 1970) to (articles, negative articles), unordered
        last_at, stored_at: when its newest article was published and stored
    """

    source: str
    counts: dict[int, tuple[int, int]]
    last_at: datetime
    stored_at: datetime


class HealthQueries:
    """Operational figures. min_materiality: as in MentionTable, of `left_out`"""

    def __init__(self, client: ClickHouse, min_materiality: float = MIN_MATERIALITY) -> None:
        self._client = client
        self._counted = counted(min_materiality)

    def tables(self) -> list[TableSize]:
        """All tables of the database, largest first. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT table, sum(rows), sum(bytes_on_disk), count() FROM system.parts
            WHERE active AND database = currentDatabase() GROUP BY table ORDER BY sum(bytes_on_disk) DESC, table
            """
        )
        return [TableSize(row[0], int(row[1]), int(row[2]), int(row[3])) for row in rows if len(row) == 4]

    def disk(self) -> DiskSpace | None:
        """The fullest disk; None if this server does not report disks. Raises StoreError."""
        known = self._client.query("SELECT count() FROM system.tables WHERE database = 'system' AND name = 'disks'")
        if not known or not int(known[0][0]):  # 18.16
            return None
        rows = self._client.query(
            "SELECT free_space, total_space FROM system.disks WHERE total_space > 0 ORDER BY free_space / total_space"
        )
        return DiskSpace(int(rows[0][0]), int(rows[0][1])) if rows else None

    def stored(self, since: datetime, until: datetime, width_s: int) -> list[tuple[datetime, int]]:
        """(start, articles stored) of the windows of [since, until) with any, ascending, by the time of writing. Raises StoreError."""
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
        """Latency of the news fetched since then, without archives. Raises StoreError.

        An article that was scored again counts with its first score. Publication, fetch and scoring have a resolution of one second.
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
        """Reasons of dead letters since then, most frequent first; reasons that differ in numbers only are one. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT stage, text, count(), sum((topic, partition, offset) NOT IN (
                       SELECT topic, partition, offset FROM dead_letter_states FINAL
                   )),
                   toUInt32(max(failed_at))
            FROM (
                SELECT stage, topic, partition, offset, failed_at, substring(replaceRegexpAll(reason, '[0-9]+', '#'), 1, 160) AS text
                FROM dead_letters FINAL WHERE failed_at >= toDateTime({since:UInt32})
            )
            GROUP BY stage, text ORDER BY count() DESC, stage, text LIMIT {limit:UInt32}
            """,
            since=to_epoch(since),
            limit=limit,
        )
        return [DeadReason(row[0], row[1], int(row[2]), int(row[3]), from_epoch(int(row[4]))) for row in rows]

    def dead_by_source(self, since: datetime) -> dict[str, int]:
        """Number of dead letters by source since then; those without a readable source are left out. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT substring(value, 1, {chars:UInt32}) FROM dead_letters
            WHERE (topic, partition, offset) IN (
                SELECT topic, partition, offset FROM dead_letters WHERE failed_at >= toDateTime({since:UInt32})
                ORDER BY offset DESC LIMIT {limit:UInt32}
            )
            """,
            since=to_epoch(since),
            limit=MAX_DEAD_LETTERS,
            chars=DEAD_LETTER_CHARS,
        )
        return dict(Counter(name for row in rows if (name := _source(row[0]))))

    def source_hours(self, since: datetime, until: datetime) -> list[SourceHours]:
        """The hours of [since, until) in which each source published, by source. Raises StoreError.

        Read from the mentions of the market, which has one row per article (two for a short time after a replacement).
        """
        rows = self._client.query(
            """
            SELECT source, groupArray(hour), groupArray(articles), groupArray(bad), max(last), argMax(stored, last)
            FROM (
                SELECT source, intDiv(toUInt32(published_at), 3600) * 3600 AS hour, count() AS articles, sum(negative * counts) AS bad,
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

    def left_out(self, since: datetime) -> dict[str, int]:
        """Source to its articles since then that alerts and charts do not count. Raises StoreError.

        They do not bear on prices, or have no trustworthy time. Sources without any are left out.
        """
        rows = self._client.query(
            f"""
            SELECT source, uniqExact(id) FROM mentions FINAL
            WHERE series = {{series:String}} AND published_at >= toDateTime({{since:UInt32}}) AND NOT {self._counted}
            GROUP BY source
            """,
            series=MARKET,
            since=to_epoch(since),
        )
        return {row[0]: int(row[1]) for row in rows}

    def undated(self, since: datetime) -> dict[str, int]:
        """Source to its articles since then without a trustworthy time; sources without any are left out. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT source, uniqExact(id) FROM mentions FINAL
            WHERE series = {series:String} AND published_at >= toDateTime({since:UInt32}) AND counts = 0
            GROUP BY source
            """,
            series=MARKET,
            since=to_epoch(since),
        )
        return {row[0]: int(row[1]) for row in rows}

    def source_sentiment(self, now: datetime) -> dict[str, list[ShareCount]]:
        """From each of WINDOWS that end now to the articles and negative articles of each source and language. Raises StoreError.

        Read as in `source_hours`.
        """
        day, week = (to_epoch(now - width) for width in WINDOWS.values())
        rows = self._client.query(
            """
            SELECT source, language, countIf(published_at >= toDateTime({day:UInt32})),
                   sumIf(negative, published_at >= toDateTime({day:UInt32})), count(), sum(negative)
            FROM mentions
            WHERE series = 'market:all' AND published_at >= toDateTime({week:UInt32}) AND published_at < toDateTime({until:UInt32})
            GROUP BY source, language ORDER BY source, language
            """,
            day=day,
            week=week,
            until=to_epoch(now) + 3600,
        )
        columns = ((2, 3), (4, 5))
        return {
            name: [ShareCount(row[0], row[1], int(row[articles]), int(row[negative])) for row in rows]
            for name, (articles, negative) in zip(WINDOWS, columns, strict=True)
        }

    def source_lags(self, since: datetime) -> dict[str, tuple[float, float]]:
        """Source to its latency from publication to the store, (median, 95 % quantile) in seconds. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT source, quantiles(0.5, 0.95)(lag) FROM (
                SELECT any(source) AS source, min(version) / 1000000 - min(toUInt32(published_at)) AS lag
                FROM articles WHERE NOT has(flags, 'date') AND published_at >= toDateTime({since:UInt32})
                    AND fetched_at < published_at + {news:UInt32}
                GROUP BY id
            )
            GROUP BY source
            """,
            since=to_epoch(since),
            news=int(NEWS.total_seconds()),
        )
        return {row[0]: _seconds(row[1]) for row in rows}


def _seconds(pair: Sequence[Any]) -> tuple[float, float]:
    """Quantiles as non-negative numbers: a slow clock can make them negative."""
    return max(0.0, float(pair[0])), max(0.0, float(pair[1]))


def _source(letter: str) -> str:
    """The source named in the beginning of a record, or "". letter: base64, as dead letters are stored"""
    try:
        found = _SOURCE.search(base64.b64decode(letter))
        return str(msgspec.json.decode(found[1], type=str)) if found else ""
    except (ValueError, msgspec.MsgspecError):
        return ""


def _hours(row: Sequence[Any]) -> SourceHours:
    source, starts, articles, negative, last, stored = row
    counts = {int(start): (int(count), int(bad)) for start, count, bad in zip(starts, articles, negative, strict=True)}
    return SourceHours(source, counts, from_epoch(int(last)), from_epoch(int(stored) // 1_000_000))
