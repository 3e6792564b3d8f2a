"""SQL of feeds: those that people added on the dashboard, and how the crawler fares with each source.

SQL of sources: when each of them was heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from storage.clickhouse import ClickHouse
from storage.timestamps import from_epoch, from_us, new_version, to_epoch, to_us

Outcome = Literal["", "ok", "not_modified", "failed"]
Origin = Literal["file", "dashboard"]
MAX_ERROR_CHARS = 300


class Feed(msgspec.Struct, frozen=True, kw_only=True):
    """A feed that somebody added. body: the fields of a [[sources]] table, as JSON; at: aware UTC, to the microsecond"""

    name: str
    url: str
    body: str
    actor: str
    at: datetime
    removed: bool = False


class SourceVisit(msgspec.Struct, frozen=True, kw_only=True):
    """A source that a crawler has on its list, and its last visit.

    at: of that visit; None: there was none yet; outcome: "" then
    entries: what the feed held; published: of them, how many were new or changed
    refused: entries of the last seven days that no article could be made of
    failures: visits in a row that failed; ok_at: the last one that did not; next_at: when it is due again
    listed: whether it still is on the list
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
    refused: int = 0
    failures: int = 0
    ok_at: datetime | None = None
    next_at: datetime | None = None
    listed: bool = True


class FeedTable:
    """Feeds that were added, by name; one that was removed keeps its row, and its name may be used again."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def put(self, feed: Feed) -> None:
        """Add a feed, or note that it is removed. Raises StoreError."""
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
        """Those that are to be crawled, by name. Raises StoreError."""
        rows = self._client.query("SELECT name, url, body, actor, at_us FROM feeds FINAL WHERE removed = 0 ORDER BY name")
        return [Feed(name=row[0], url=row[1], body=row[2], actor=row[3], at=from_us(row[4])) for row in rows]


class SourceVisitTable:
    """The last visit to each source: one row each, however often it is visited."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def put(self, visits: Sequence[SourceVisit]) -> None:
        """Note visits, each in place of the one before it. Raises StoreError."""
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
                "refused": [each.refused for each in visits],
                "failures": [each.failures for each in visits],
                "ok_at": [_epoch(each.ok_at) for each in visits],
                "next_at": [_epoch(each.next_at) for each in visits],
                "listed": [int(each.listed) for each in visits],
                "version": [new_version()] * len(visits),
            },
        )

    def all(self) -> list[SourceVisit]:
        """Every source that is on a crawler's list, by name. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT source, url, origin, interval_s, toUInt32(at), outcome, error, entries, published, refused, failures,
                   toUInt32(ok_at), toUInt32(next_at)
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
                refused=int(row[9]),
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


USUAL_SHARE = 0.95


class SourceActivity(NamedTuple):
    """When a source was heard.

    stretches: those of width_s, counted since 1970, in which it published anything, ascending
    last: when it published last, seconds since 1970; fetched: when anything of it was fetched last, likewise
    late_s: its articles are here so long after they are published, but for one in twenty; archives that were loaded left out
    """

    stretches: list[int]
    last: int
    fetched: int = 0
    late_s: int = 0


class SourceQueries:
    """Who was heard, and when."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def activity(self, since: datetime, until: datetime, width_s: int, late_s: int = 3_600) -> dict[str, SourceActivity]:
        """Every source of articles published in [since, until). Raises StoreError.

        late_s: what was fetched longer after its publication was history by then, and tells nothing of how late news comes
        """
        rows = self._client.query(
            f"""
            SELECT source, arraySort(groupUniqArray(intDiv(toUInt32(published_at), {{width:UInt32}}))),
                   toUInt32(max(published_at)), toUInt32(max(fetched_at)),
                   quantileExactIf({USUAL_SHARE})(greatest(late, 0), late <= {{late_s:UInt32}})
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
