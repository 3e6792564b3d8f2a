"""SQL of feeds: feeds added on the dashboard, the crawler's visits to each source, and when each source published."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple, get_args

import msgspec

from core.records import Trust
from storage.clickhouse import ClickHouse
from storage.timestamps import from_epoch, from_us, new_version, to_epoch, to_us

TRUSTS: tuple[Trust, ...] = get_args(Trust)
Outcome = Literal["", "ok", "not_modified", "failed"]
Origin = Literal["file", "dashboard"]
SkipReason = Literal["repeated", "empty", "unusable", "passed_over"]
"""Why an entry has no article: it repeats another one of its document; neither title nor text; another error; newer ones were read."""
SKIP_REASONS: tuple[SkipReason, ...] = get_args(SkipReason)
MAX_ERROR_CHARS = 300


class Feed(msgspec.Struct, frozen=True, kw_only=True):
    """A feed added on the dashboard. body: the fields of a [[sources]] table as JSON; at: aware UTC, to the microsecond"""

    name: str
    url: str
    body: str
    actor: str
    at: datetime
    removed: bool = False


class SourceVisit(msgspec.Struct, frozen=True, kw_only=True):
    """A source of the crawler and the last visit to it.

    Attributes:
        at: time of the visit; None before the first one
        outcome: "" before the first visit
        entries: number of entries in the feed
        published: number of new or changed entries
        skipped: entries of the last seven days without an article, by reason, each counted once
        failures: number of consecutive failed visits
        ok_at: last successful visit
        next_at: when the next visit is due
        listed: whether the crawler still has it
    """

    source: str
    url: str
    origin: Origin = "file"
    interval_s: float = 0.0
    at: datetime | None = None
    outcome: Outcome = ""
    error: str = ""
    entries: int = 0
    published: int = 0
    skipped: dict[SkipReason, int] = {}
    failures: int = 0
    ok_at: datetime | None = None
    next_at: datetime | None = None
    listed: bool = True

    @property
    def refused(self) -> int:
        """Entries of the last seven days that could not be converted to an article."""
        return self.skipped.get("empty", 0) + self.skipped.get("unusable", 0)


class FeedTable:
    """Feeds added on the dashboard, by name. A removed feed keeps its row, and its name may be used again."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def put(self, feed: Feed) -> None:
        """Store a feed, or its removal. Raises StoreError."""
        self._client.insert(
            "feeds",
            {
                "name": [feed.name],
                "url": [feed.url],
                "body": [feed.body],
                "actor": [feed.actor],
                "at_us": [to_us(feed.at)],
                "removed": [int(feed.removed)],
                "version": [new_version()],
            },
        )

    def all(self) -> list[Feed]:
        """Feeds that are not removed, by name. Raises StoreError."""
        rows = self._client.query("SELECT name, url, body, actor, at_us FROM feeds FINAL WHERE removed = 0 ORDER BY name")
        return [Feed(name=row[0], url=row[1], body=row[2], actor=row[3], at=from_us(row[4])) for row in rows]


class SourceVisitTable:
    """The last visit to each source, one row each."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def put(self, visits: Sequence[SourceVisit]) -> None:
        """Store visits, each replacing the previous one of its source. Raises StoreError."""
        self._client.insert(
            "source_visits",
            {
                "source": [each.source for each in visits],
                "url": [each.url for each in visits],
                "origin": [each.origin for each in visits],
                "interval_s": [each.interval_s for each in visits],
                "at": [_epoch(each.at) for each in visits],
                "outcome": [each.outcome for each in visits],
                "error": [_text(each.error) for each in visits],
                "entries": [each.entries for each in visits],
                "published": [each.published for each in visits],
                "skip_reasons": [list(each.skipped) for each in visits],
                "skip_counts": [list(each.skipped.values()) for each in visits],
                "failures": [each.failures for each in visits],
                "ok_at": [_epoch(each.ok_at) for each in visits],
                "next_at": [_epoch(each.next_at) for each in visits],
                "listed": [int(each.listed) for each in visits],
                "version": [new_version()] * len(visits),
            },
        )

    def all(self) -> list[SourceVisit]:
        """All sources that a crawler has, by name. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT source, url, origin, interval_s, toUInt32(at), outcome, error, entries, published, skip_reasons, failures,
                   toUInt32(ok_at), toUInt32(next_at), skip_counts
            FROM source_visits FINAL WHERE listed = 1 ORDER BY source
            """
        )
        return [
            SourceVisit(
                source=row[0],
                url=row[1],
                origin=row[2],
                interval_s=float(row[3]),
                at=_moment(row[4]),
                outcome=row[5],
                error=row[6],
                entries=int(row[7]),
                published=int(row[8]),
                skipped={reason: int(count) for reason, count in zip(row[9], row[13], strict=True)},
                failures=int(row[10]),
                ok_at=_moment(row[11]),
                next_at=_moment(row[12]),
            )
            for row in rows
        ]


def _epoch(moment: datetime | None) -> int:
    return to_epoch(moment) if moment else 0


def _moment(seconds: int) -> datetime | None:
    return from_epoch(int(seconds)) if int(seconds) else None


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode()[:MAX_ERROR_CHARS]


LATENESS_QUANTILE = 0.95


class SourceActivity(NamedTuple):
    """When a source published.

    Attributes:
        slots: numbers of the intervals of width_s since 1970 in which it published, ascending
        last: last publication, seconds since 1970
        fetched: last fetch of an article, seconds since 1970
        late_s: 95 % quantile of the time from publication to fetch, seconds, without loaded archives
    """

    slots: list[int]
    last: int
    fetched: int = 0
    late_s: int = 0


class SourceQueries:
    """Publication times of sources."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def trusts(self, since: datetime) -> dict[str, tuple[Trust, ...]]:
        """Source to how far it speaks for the links of its articles published since then. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT source, arraySort(groupUniqArray(trust)) FROM articles WHERE published_at >= toDateTime({since:UInt32}) GROUP BY source
            """,
            since=to_epoch(since),
        )
        return {row[0]: tuple(each for each in TRUSTS if each in row[1]) for row in rows}

    def activity(self, since: datetime, until: datetime, width_s: int, late_s: int = 3_600) -> dict[str, SourceActivity]:
        """Publication times of each source with articles in [since, until).

        Args:
            width_s: width of the intervals, seconds
            late_s: articles fetched later than this after publication are history and do not count for the lateness

        Raises:
            StoreError
        """
        rows = self._client.query(
            f"""
            SELECT source, arraySort(groupUniqArray(intDiv(toUInt32(published_at), {{width:UInt32}}))),
                   toUInt32(max(published_at)), toUInt32(max(fetched_at)),
                   quantileExactIf({LATENESS_QUANTILE})(greatest(late, 0), late <= {{late_s:UInt32}})
            FROM (
                SELECT source, published_at, fetched_at, toInt64(toUInt32(fetched_at)) - toInt64(toUInt32(published_at)) AS late
                FROM articles WHERE published_at >= toDateTime({{since:UInt32}}) AND published_at < toDateTime({{until:UInt32}})
            )
            GROUP BY source ORDER BY source
            """,
            since=to_epoch(since),
            until=to_epoch(until),
            width=width_s,
            late_s=late_s,
        )
        return {row[0]: SourceActivity([int(at) for at in row[1]], int(row[2]), int(row[3]), int(row[4])) for row in rows}
