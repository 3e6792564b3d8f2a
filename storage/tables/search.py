"""SQL of the article search, and of all stored versions of an article."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from core.chunks import chunks
from core.records import MaterialityScore
from storage.clickhouse import ClickHouse, Value
from storage.search_terms import search_patterns
from storage.tables.articles import FIRST_SEARCH, ArticleRow, article_of, materiality_of
from storage.timestamps import from_epoch, to_epoch

LEAD_CHARS = 300
"""Maximum length of the text of a found article, characters."""
BUDGET_S = 3.0
"""A search stops after so long and reports how far back it reached, seconds."""
MAX_S = 10
"""Maximum execution time of one query, seconds."""


class Criteria(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of a search; "" matches anything.

    Attributes:
        words: a query of storage.search_terms
        company: key of a company, or its name in the text
        sentiment: the likeliest sentiment
        materiality: "relevant": bears on prices (level 2 or more); "urgent": likely to move prices (level 3)
    """

    words: str = ""
    language: str = ""
    source: str = ""
    genre: str = ""
    topic: str = ""
    company: str = ""
    sentiment: str = ""
    materiality: str = ""


class SearchCursor(NamedTuple):
    """The last article of a page. Later pages have articles published before `at` (seconds since 1970), or at it with a higher id."""

    at: int
    id: str


class SearchPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of search results, newest first, with texts cut to LEAD_CHARS.

    Attributes:
        then: cursor of the next page; None: this is the last page
        reached: how far back the search went before it ran out of time; None: it is complete
    """

    articles: list[ArticleRow]
    then: SearchCursor | None = None
    reached: datetime | None = None


class ArticleVersion(msgspec.Struct, frozen=True, kw_only=True):
    """An article with the score of one model. surfaces: company key to the words that name it"""

    url: str
    title: str
    text: str
    fetched_at: datetime
    flags: tuple[str, ...]
    surfaces: dict[str, str]
    p_negative: float
    p_neutral: float
    p_positive: float
    materiality: MaterialityScore | None
    model: str
    scored_at: datetime
    trust: str = ""


_SENTIMENTS = {
    "negative": "p_negative > p_neutral AND p_negative > p_positive",
    "positive": "NOT (p_negative > p_neutral AND p_negative > p_positive) AND p_positive > p_neutral",
    "neutral": "NOT (p_negative > p_neutral AND p_negative > p_positive) AND p_positive <= p_neutral",
}
"""The same rule as in dashboard.figures.palette."""

_MATERIALITY = {"relevant": "materiality[2] >= 0.5", "urgent": "materiality[3] >= 0.5"}
"""Without the prediction the column is empty, its elements are 0, and the condition is false."""
MATERIALITY_FILTERS = tuple(_MATERIALITY)

_PLAIN = {
    "language": "language = {language:String}",
    "source": "source = {source:String}",
    "genre": "genre = {genre:String}",
    "topic": "has(topics, {topic:String})",
    "company": "(has(companies, {company:String}) OR has(surfaces, {company:String}))",
}


def narrowed(criteria: Criteria) -> tuple[str, dict[str, Value]]:
    """A cheap SQL condition that all matches of the criteria fulfil, and its parameters.

    It looks for one word, or for up to three Chinese characters, without a regular expression, and rejects most articles. Articles
    with `latin_variants` may spell the word in another way; characters have few variants, which are all looked for.
    """
    patterns = search_patterns(criteria.words)
    if patterns.characters:
        wanted = {f"part{number}_{place}": char for number, chars in enumerate(patterns.characters) for place, char in enumerate(chars)}
        parts = [
            " OR ".join(_contains("position", f"part{number}_{place}") for place in range(len(chars)))
            for number, chars in enumerate(patterns.characters)
        ]
        return " AND ".join(f"({part})" for part in parts), dict(wanted)
    if patterns.word:
        return f"(latin_variants = 1 OR {_contains('positionCaseInsensitive', 'part')})", {"part": patterns.word}
    return "1", {}


def _contains(position: str, name: str) -> str:
    return f"{position}(title, {{{name}:String}}) > 0 OR {position}(text, {{{name}:String}}) > 0"


def conditions(criteria: Criteria) -> tuple[str, dict[str, Value]]:
    """The SQL condition of the criteria, and its parameters."""
    parts = [sql for name, sql in _PLAIN.items() if getattr(criteria, name)]
    values: dict[str, Value] = {name: getattr(criteria, name) for name in _PLAIN if getattr(criteria, name)}
    if criteria.sentiment:
        parts.append(f"({_SENTIMENTS.get(criteria.sentiment, '0')})")
    if criteria.materiality:
        parts.append(_MATERIALITY.get(criteria.materiality, "0"))
    all_of, none_of, *_ = search_patterns(criteria.words)
    for number, pattern in enumerate((*all_of, *none_of)):
        values[f"word{number}"] = pattern
        parts.append(
            f"{'' if number < len(all_of) else 'NOT '}(match(title, {{word{number}:String}}) OR match(text, {{word{number}:String}}))"
        )
    return " AND ".join(parts) or "1", values


class ArticleSearch:
    """Search of articles."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def find(
        self,
        criteria: Criteria,
        since: datetime,
        until: datetime,
        limit: int,
        *,
        before: SearchCursor | None = None,
        budget_s: float = BUDGET_S,
    ) -> SearchPage:
        """Up to `limit` matching articles of [since, until), newest first. Raises StoreError.

        Searches the last hour, then eight times as far back, and so on until the time budget is spent. before: cursor of the page
        """
        end = min(until, from_epoch(before.at + 1)) if before is not None and 0 <= before.at < 2**32 - 1 else until
        span, began = FIRST_SEARCH, time.monotonic()
        known: dict[str, int] = {}  # by id: an article may have been published at two times, and the later one counts
        start = end
        while True:
            last, start = start, max(since, end - span)
            for at, ident in self._candidates(criteria, start, last, limit + 1, before):
                known.setdefault(ident, at)
            found = [(at, ident) for ident, at in known.items()]
            if len(found) > limit or start == since:
                break
            if time.monotonic() - began >= budget_s:
                return SearchPage(articles=self._fetch(criteria, found), then=SearchCursor(to_epoch(start) - 1, ""), reached=start)
            span *= 8
        page = found[:limit]
        return SearchPage(articles=self._fetch(criteria, page), then=SearchCursor(*page[-1]) if len(found) > limit else None)

    def _candidates(
        self, criteria: Criteria, since: datetime, until: datetime, limit: int, before: SearchCursor | None
    ) -> list[tuple[int, str]]:
        """(published_at, id) of articles of which some version fits."""
        (may_fit, part), (fits, values) = narrowed(criteria), conditions(criteria)
        after = "AND (published_at < toDateTime({at:UInt32}) OR id > {after:String})" if before is not None else ""
        if before is not None:
            values |= {"at": max(0, min(before.at, 2**32 - 1)), "after": before.id}
        rows = self._client.query(
            f"""
            SELECT toUInt32(published_at), id FROM articles
            PREWHERE published_at >= toDateTime({{since:UInt32}}) AND published_at < toDateTime({{until:UInt32}}) {after} AND {may_fit}
            WHERE {fits}
            ORDER BY published_at DESC, id LIMIT 1 BY id LIMIT {{limit:UInt32}}
            SETTINGS max_execution_time = {MAX_S}
            """,
            since=to_epoch(since),
            until=to_epoch(until),
            limit=limit,
            **part,
            **values,
        )
        return [(int(row[0]), str(row[1])) for row in rows]

    def _fetch(self, criteria: Criteria, found: Sequence[tuple[int, str]]) -> list[ArticleRow]:
        """The articles, in order, without those whose latest version does not match."""
        fits, values = conditions(criteria)
        articles: dict[str, ArticleRow] = {}
        for some in chunks(found):
            rows = self._client.query(
                f"""
                SELECT id, url, source, language, title, substringUTF8(text, 1, {LEAD_CHARS}), toUInt32(published_at), story, topics,
                       companies, p_negative, p_neutral, p_positive, model, surfaces, materiality, flags, {fits} AS fits
                FROM articles
                WHERE published_at >= toDateTime({{last:UInt32}}) AND published_at <= toDateTime({{first:UInt32}})
                  AND id IN {{ids:Array(String)}}
                ORDER BY id, version DESC LIMIT 1 BY id
                """,
                ids=[ident for _, ident in some],
                first=some[0][0],
                last=some[-1][0],
                **values,
            )
            articles |= {row[0]: article_of(row) for row in rows if row[-1]}
        return [articles[ident] for _, ident in found if ident in articles]

    def versions(self, article_id: str, published_at: datetime, limit: int = 20) -> list[ArticleVersion]:
        """The latest version of the article by each model, newest first. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT url, title, text, toUInt32(fetched_at), flags, companies, surfaces, p_negative, p_neutral, p_positive, model,
                   toUInt32(scored_at), materiality, trust
            FROM articles WHERE published_at = toDateTime({at:UInt32}) AND id = {id:String}
            ORDER BY version DESC LIMIT 1 BY model LIMIT {limit:UInt32}
            """,
            at=to_epoch(published_at),
            id=article_id,
            limit=limit,
        )
        return [
            ArticleVersion(
                url=row[0],
                title=row[1],
                text=row[2],
                fetched_at=from_epoch(row[3]),
                flags=tuple(row[4]),
                surfaces=dict(zip(row[5], row[6], strict=True)) if len(row[5]) == len(row[6]) else {},
                p_negative=row[7],
                p_neutral=row[8],
                p_positive=row[9],
                materiality=materiality_of(row[12]),
                model=row[10],
                scored_at=from_epoch(row[11]),
                trust=row[13],
            )
            for row in rows
        ]
