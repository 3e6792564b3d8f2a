"""SQL of as-of queries: pages of articles, articles with their scores, and sentiment, as known at a given time.

A row is known at T if it was written by T: its `version` is the time of writing in microseconds. A row that was replaced (the same
model scored the article again, for example after a change of its text) is lost, so that the state in between is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from core.records import MIN_MATERIALITY, OLDEST, CompanyScore, MaterialityScore
from core.series import ALERTING, MARKET
from storage.clickhouse import ClickHouse
from storage.tables.articles import materiality_of
from storage.tables.mentions import SentimentPoint, SeriesTotal, counted, of_kinds
from storage.timestamps import from_epoch, to_epoch

FIRST_SEARCH_S = 3600
_MAX_VERSION = 2**63 - 1


class ArticlePosition(NamedTuple):
    """Position of an article in time: publication time (seconds since 1970) and id."""

    at: int
    id: str


class StoredArticle(NamedTuple):
    """An article in the order of writing. version: time of writing, microseconds since 1970; at: publication, seconds since 1970"""

    version: int
    id: str
    at: int


class ArticleAsOf(msgspec.Struct, frozen=True, kw_only=True):
    """An article with the prediction of the latest model known at the time."""

    id: str
    url: str
    source: str
    genre: str
    language: str
    title: str
    text: str
    published_at: datetime
    fetched_at: datetime
    story: str
    flags: tuple[str, ...]
    topics: dict[str, float]
    companies: tuple[CompanyScore, ...]
    p_negative: float
    p_neutral: float
    p_positive: float
    materiality: MaterialityScore | None
    model: str
    scored_at: datetime


_COLUMNS = """id, url, source, genre, language, title, text, toUInt32(published_at), toUInt32(fetched_at), story, flags, topics, topic_p,
    companies, sectors, company_negative, company_neutral, company_positive, p_negative, p_neutral, p_positive, model,
    toUInt32(scored_at), materiality, roles"""


def _article(row: Sequence[Any]) -> ArticleAsOf:
    return ArticleAsOf(
        id=row[0],
        url=row[1],
        source=row[2],
        genre=row[3] or "news",
        language=row[4],
        title=row[5],
        text=row[6],
        published_at=from_epoch(row[7]),
        fetched_at=from_epoch(row[8]),
        story=row[9],
        flags=tuple(row[10]),
        topics=dict(zip(row[11], row[12], strict=True)),
        companies=tuple(
            CompanyScore(company=company, sector=sector, role=role, p_negative=negative, p_neutral=neutral, p_positive=positive)
            for company, sector, negative, neutral, positive, role in zip(*row[13:18], row[24], strict=True)
        ),
        p_negative=row[18],
        p_neutral=row[19],
        p_positive=row[20],
        materiality=materiality_of(row[23]),
        model=row[21],
        scored_at=from_epoch(row[22]),
    )


def _micros(as_of: datetime | None) -> int:
    """The highest row version known at that time."""
    return _MAX_VERSION if as_of is None else int(as_of.timestamp() * 1_000_000)


class AsOfQueries:
    """Queries of the state at a time; `as_of` None: now. min_materiality: as in MentionTable, of `sentiment` and `totals`"""

    def __init__(self, client: ClickHouse, min_materiality: float = MIN_MATERIALITY) -> None:
        self._client = client
        self._counted = counted(min_materiality, "_")

    def places(
        self,
        limit: int,
        *,
        series: str = MARKET,
        since: datetime | None = None,
        until: datetime | None = None,
        after: ArticlePosition | None = None,
        language: str = "",
        source: str = "",
        min_materiality: float = 0.0,
        as_of: datetime | None = None,
    ) -> list[ArticlePosition]:
        """A page of the articles of `series` published in [since, until), newest first. Raises StoreError.

        Consecutive pages neither repeat nor miss an article, whatever is stored meanwhile.

        Args:
            after: last article of the previous page
            min_materiality: least P(level >= 2); over 0, articles without the prediction are left out
        """
        rows = self._client.query("SELECT count(), toUInt32(max(published_at)) FROM mentions WHERE series = {series:String}", series=series)
        if not rows or not int(rows[0][0]):
            return []
        top = int(rows[0][1]) + 1
        top = min(top, to_epoch(until) if until else top, after.at + 1 if after else top)
        floor, span = to_epoch(since or OLDEST), FIRST_SEARCH_S
        while True:  # most pages lie within a few hours
            start = max(floor, top - span)
            found = self._places(limit, series, start, top, after, language, source, min_materiality, as_of) if start < top else []
            if len(found) == limit or start <= floor:
                return found
            span *= 8

    def _places(
        self,
        limit: int,
        series: str,
        start: int,
        end: int,
        after: ArticlePosition | None,
        language: str,
        source: str,
        min_materiality: float,
        as_of: datetime | None,
    ) -> list[ArticlePosition]:
        material = f"HAVING argMax(materiality, version) >= toFloat32({float(min_materiality)!r})" if min_materiality > 0 else ""
        rows = self._client.query(
            f"""
            SELECT toUInt32(published_at) AS at, id FROM mentions
            WHERE series = {{series:String}} AND published_at >= toDateTime({{start:UInt32}})
              AND published_at < toDateTime({{end:UInt32}})
              AND version <= {{version:UInt64}} AND (toUInt32(published_at) < {{at:UInt32}} OR id > {{id:String}})
              AND ({{language:String}} = '' OR language = {{language:String}})
              AND ({{source:String}} = '' OR source = {{source:String}})
            GROUP BY at, id {material} ORDER BY at DESC, id LIMIT {{limit:UInt32}}
            """,
            limit=limit,
            series=series,
            start=start,
            end=end,
            version=_micros(as_of),
            at=after.at if after else 2**32 - 1,
            id=after.id if after else "",
            language=language,
            source=source,
        )
        return [ArticlePosition(int(row[0]), row[1]) for row in rows]

    def articles(self, places: Sequence[ArticlePosition], as_of: datetime | None = None) -> list[ArticleAsOf]:
        """The articles at these positions as known at the time, in the same order; unknown ones are left out. Raises StoreError."""
        if not places:
            return []
        rows = self._client.query(
            f"""
            SELECT {_COLUMNS} FROM articles
            WHERE id IN {{ids:Array(String)}} AND version <= {{version:UInt64}}
              AND published_at >= toDateTime({{since:UInt32}}) AND published_at <= toDateTime({{until:UInt32}})
            ORDER BY id, version DESC LIMIT 1 BY id
            """,
            ids=[place.id for place in places],
            version=_micros(as_of),
            since=min(place.at for place in places),
            until=max(place.at for place in places),
        )
        rank = {place.id: number for number, place in enumerate(places)}
        return sorted(map(_article, rows), key=lambda article: rank[article.id])

    def sentiment(self, series: str, since: datetime, until: datetime, width_s: int, as_of: datetime | None = None) -> list[SentimentPoint]:
        """As MentionTable.sentiment, of one series. Raises StoreError."""
        rows = self._client.query(
            f"""
            SELECT intDiv(toUInt32(published_at), {{width:UInt32}}) AS w, avg(tone_), uniqExact(story_), uniqExactIf(story_, negative_ = 1)
            FROM ({_mentions(as_of, "series = {series:String}")}) WHERE {self._counted}
            GROUP BY w ORDER BY w
            """,
            series=series,
            since=to_epoch(since),
            until=to_epoch(until),
            width=width_s,
            version=_micros(as_of),
        )
        return [SentimentPoint(series, from_epoch(int(row[0]) * width_s), float(row[1]), int(row[2]), int(row[3])) for row in rows]

    def totals(
        self,
        since: datetime,
        until: datetime,
        limit: int,
        *,
        kinds: Sequence[str] = ALERTING,
        after: str = "",
        as_of: datetime | None = None,
    ) -> list[SeriesTotal]:
        """A page of the series of these kinds in [since, until), by name. after: last name of the previous page. Raises StoreError."""
        rows = self._client.query(
            f"""
            SELECT series, uniqExact(story_), uniqExactIf(story_, negative_ = 1), uniqExactIf(source_, negative_ = 1), avg(tone_)
            FROM ({_mentions(as_of, of_kinds(kinds) + " AND series > {after:String}")}) WHERE {self._counted}
            GROUP BY series ORDER BY series LIMIT {{limit:UInt32}}
            """,
            after=after,
            since=to_epoch(since),
            until=to_epoch(until),
            limit=limit,
            version=_micros(as_of),
        )
        return [SeriesTotal(row[0], int(row[1]), int(row[2]), int(row[3]), float(row[4])) for row in rows]

    def written(self, version: int, since: datetime, limit: int, after: StoredArticle | None = None) -> list[StoredArticle]:
        """A page of the articles published since then whose scores were written after `version`, in that order. Raises StoreError.

        Their other mentions are readable by then, as they are written together. after: last article of the previous page
        """
        rows = self._client.query(
            """
            SELECT version, id, toUInt32(published_at) FROM mentions
            WHERE series = {series:String} AND published_at >= toDateTime({since:UInt32}) AND version > {version:UInt64}
              AND (version > {last:UInt64} OR (version = {last:UInt64} AND id > {id:String}))
            ORDER BY version, id LIMIT {limit:UInt32}
            """,
            series=MARKET,
            since=to_epoch(since),
            version=version,
            last=after.version if after else 0,
            id=after.id if after else "",
            limit=limit,
        )
        return [StoredArticle(int(row[0]), row[1], int(row[2])) for row in rows]


def _mentions(as_of: datetime | None, where: str) -> str:
    """Subquery with one row per series and article published in [since, until), the last one known at the time."""
    where += " AND published_at >= toDateTime({since:UInt32}) AND published_at < toDateTime({until:UInt32}) AND version <= {version:UInt64}"
    if as_of is None:
        return f"""
            SELECT series, published_at, story AS story_, source AS source_, tone AS tone_, negative AS negative_,
                   materiality AS materiality_, counts AS counts_
            FROM mentions FINAL WHERE {where}
            """
    return f"""
        SELECT series, published_at, argMax(story, version) AS story_, argMax(source, version) AS source_, argMax(tone, version) AS tone_,
               argMax(negative, version) AS negative_, argMax(materiality, version) AS materiality_,
               argMax(counts, version) AS counts_
        FROM mentions WHERE {where} GROUP BY series, published_at, id
        """
