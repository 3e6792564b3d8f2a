"""SQL of stories: near-duplicate articles of a series, co-mentioned companies, and the busiest series and sources."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from core.records import MIN_MATERIALITY
from core.series import MARKET, company_series
from storage.clickhouse import ClickHouse
from storage.tables.mentions import SeriesTotal, counted, of_kinds
from storage.timestamps import from_epoch, to_epoch

Side = Literal["negative", "positive"]
_SIDES: dict[Side, str] = {"negative": "negative = 1", "positive": "negative = 0 AND tone + p_negative >= 0.5"}
"""Positive is counted like negative: at least as likely as the two others together."""
COPIES_WITHIN = timedelta(days=7)
"""Maximum time between two near-duplicates of a story."""


class StoryCoverage(NamedTuple):
    """A story: numbers of articles and distinct sources, id of the first article, and first and last publication."""

    story: str
    articles: int
    sources: int
    first_id: str
    first: datetime
    last: datetime


class CompanyProfile(NamedTuple):
    """The latest name of a company in the news, and its sector; each "" if unknown."""

    name: str
    sector: str


class StoryQueries:
    """Queries of stories. min_materiality: as in MentionTable; copies, sources and names are read whatever their materiality"""

    def __init__(self, client: ClickHouse, min_materiality: float = MIN_MATERIALITY) -> None:
        self._client = client
        self._counted = counted(min_materiality)

    def of_series(self, series: str, side: Side, since: datetime, until: datetime, limit: int = 20) -> list[StoryCoverage]:
        """Negative or positive stories of `series` in [since, until), those with most sources first. Raises StoreError."""
        rows = self._client.query(
            f"""
            SELECT story, count(), uniqExact(source) AS sources, argMin(id, (published_at, id)), toUInt32(min(published_at)),
                   toUInt32(max(published_at)) AS last
            FROM mentions FINAL
            WHERE series = {{series:String}} AND {_SIDES[side]} AND {self._counted}
              AND published_at >= toDateTime({{since:UInt32}}) AND published_at < toDateTime({{until:UInt32}})
            GROUP BY story ORDER BY sources DESC, last DESC, story LIMIT {{limit:UInt32}}
            """,
            series=series,
            since=to_epoch(since),
            until=to_epoch(until),
            limit=limit,
        )
        return [StoryCoverage(row[0], int(row[1]), int(row[2]), row[3], from_epoch(row[4]), from_epoch(row[5])) for row in rows]

    def copies(self, story: str, around: datetime, limit: int = 50) -> list[str]:
        """Ids of the articles of `story` published within COPIES_WITHIN of `around`, oldest first. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT id FROM mentions FINAL
            WHERE series = {series:String} AND story = {story:String}
              AND published_at >= toDateTime({since:UInt32}) AND published_at < toDateTime({until:UInt32})
            ORDER BY published_at, id LIMIT {limit:UInt32}
            """,
            series=MARKET,
            story=story,
            since=max(0, to_epoch(around - COPIES_WITHIN)),
            until=to_epoch(around + COPIES_WITHIN),
            limit=limit,
        )
        return [str(row[0]) for row in rows]

    def total(self, series: str, since: datetime, until: datetime) -> SeriesTotal | None:
        """Totals of a series over [since, until), each story once; None without articles. Raises StoreError."""
        rows = self._client.query(
            f"""
            SELECT count(), uniqExact(story), uniqExactIf(story, negative = 1), uniqExactIf(source, negative = 1), avg(tone)
            FROM mentions FINAL
            WHERE series = {{series:String}}
              AND {self._counted}
              AND published_at >= toDateTime({{since:UInt32}}) AND published_at < toDateTime({{until:UInt32}})
            """,
            series=series,
            since=to_epoch(since),
            until=to_epoch(until),
        )
        if not rows or not int(rows[0][0]):
            return None
        return SeriesTotal(series, int(rows[0][1]), int(rows[0][2]), int(rows[0][3]), float(rows[0][4]))

    def co_mentioned(self, series: str, since: datetime, until: datetime, limit: int = 12) -> list[SeriesTotal]:
        """Companies co-mentioned in articles of `series`, the one in most stories first; without sources and tone. Raises StoreError.

        PREWHERE filters by columns of the sorting key, so that only matching rows are read and merged by FINAL.
        """
        rows = self._client.query(
            f"""
            SELECT series, uniqExact(story) AS stories, uniqExactIf(story, negative = 1) AS negatives FROM mentions FINAL
            PREWHERE {of_kinds(["company"])} AND series != {{series:String}}
              AND published_at >= toDateTime({{since:UInt32}}) AND published_at < toDateTime({{until:UInt32}})
              AND id IN (
                SELECT id FROM mentions
                WHERE series = {{series:String}}
                  AND published_at >= toDateTime({{since:UInt32}}) AND published_at < toDateTime({{until:UInt32}})
              )
            WHERE {self._counted}
            GROUP BY series ORDER BY stories DESC, negatives DESC, series LIMIT {{limit:UInt32}}
            """,
            series=series,
            since=to_epoch(since),
            until=to_epoch(until),
            limit=limit,
        )
        return [SeriesTotal(row[0], int(row[1]), int(row[2]), 0, 0.0) for row in rows]

    def busiest(self, kind: str, since: datetime, until: datetime, limit: int) -> list[SeriesTotal]:
        """The series of one kind with most stories in [since, until); without sources and tone. Raises StoreError."""
        rows = self._client.query(
            f"""
            SELECT series, uniqExact(story) AS stories, uniqExactIf(story, negative = 1) FROM mentions FINAL
            WHERE {of_kinds([kind])} AND {self._counted}
              AND published_at >= toDateTime({{since:UInt32}}) AND published_at < toDateTime({{until:UInt32}})
            GROUP BY series ORDER BY stories DESC, series LIMIT {{limit:UInt32}}
            """,
            since=to_epoch(since),
            until=to_epoch(until),
            limit=limit,
        )
        return [SeriesTotal(row[0], int(row[1]), int(row[2]), 0, 0.0) for row in rows]

    def sources(self, since: datetime, until: datetime, limit: int) -> list[str]:
        """Sources in [since, until), the one with most articles first. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT source, count() AS n FROM mentions
            WHERE series = {series:String}
              AND published_at >= toDateTime({since:UInt32}) AND published_at < toDateTime({until:UInt32})
            GROUP BY source ORDER BY n DESC, source LIMIT {limit:UInt32}
            """,
            series=MARKET,
            since=to_epoch(since),
            until=to_epoch(until),
            limit=limit,
        )
        return [str(row[0]) for row in rows]

    def company_profiles(self, companies: Sequence[str], since: datetime, until: datetime) -> dict[str, CompanyProfile]:
        """Name and sector of `companies` in their last article of [since, until); companies without one are left out. Raises StoreError."""
        if not companies:
            return {}
        last = self._client.query(
            """
            SELECT toUInt32(max(published_at)), argMax(id, published_at) FROM mentions
            WHERE series IN {series:Array(String)}
              AND published_at >= toDateTime({since:UInt32}) AND published_at < toDateTime({until:UInt32})
            GROUP BY series
            """,
            series=[company_series(company) for company in companies],
            since=to_epoch(since),
            until=to_epoch(until),
        )
        if not last:
            return {}
        rows = self._client.query(
            """
            SELECT company, argMax(surface, published_at), argMaxIf(sector, published_at, sector != '')
            FROM (
                SELECT published_at, companies, sectors,
                       if(length(surfaces) = length(companies), surfaces, arrayMap(x -> '', companies)) AS names
                FROM articles
                WHERE published_at IN {moments:Array(UInt32)} AND id IN {ids:Array(String)}
            )
            ARRAY JOIN companies AS company, names AS surface, sectors AS sector
            WHERE company IN {companies:Array(String)} GROUP BY company
            """,
            moments=sorted({int(row[0]) for row in last}),
            ids=sorted({str(row[1]) for row in last}),
            companies=companies,
        )
        return {str(row[0]): CompanyProfile(str(row[1]), str(row[2])) for row in rows}
