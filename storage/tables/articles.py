"""SQL of articles and scores, of article keys, and of the LSH bands that find near-duplicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from core.chunks import chunks
from core.records import OLDEST, UNCOUNTED_FLAGS, CompanyScore, MaterialityScore, Score, Scored, WatchlistScore
from core.text_folding import has_latin_variants
from storage.clickhouse import ClickHouse, Value
from storage.tables.mentions import counted, of_one, parameters_of
from storage.timestamps import from_epoch, new_version, split_by_months, to_epoch

FIRST_SEARCH = timedelta(hours=1)
MAX_STORIES_PER_BAND = 32
"""Stories returned for one LSH band, the newest first: thousands share that of a template, but a copy shares other bands too."""


class ArticleKey(NamedTuple):
    """The key of a stored article; published_at, story and owner never change after the first arrival."""

    published_at: datetime
    story: str
    fingerprint: int
    model: str
    owner: str = ""


class StoryLead(NamedTuple):
    """The publication time of a story's first article, and its lead (ingest.text.copies.Lead.stored)."""

    published_at: datetime
    lead: str


class ArticleRow(msgspec.Struct, frozen=True, kw_only=True):
    """A stored article with the probabilities of the latest model that scored it. surfaces: the words that name companies in it"""

    id: str
    url: str
    source: str
    language: str
    title: str
    text: str
    published_at: datetime
    story: str
    topics: tuple[str, ...]
    companies: tuple[str, ...]
    p_negative: float
    p_neutral: float
    p_positive: float
    model: str
    surfaces: tuple[str, ...] = ()
    materiality: MaterialityScore | None = None
    flags: tuple[str, ...] = ()

    @property
    def has_time(self) -> bool:
        """Whether `published_at` is trustworthy."""
        return not UNCOUNTED_FLAGS.intersection(self.flags)


class Totals(NamedTuple):
    """Numbers of distinct articles, rows before replacement, distinct stories and distinct sources."""

    articles: int
    rows: int
    stories: int
    sources: int


_COLUMNS = (
    "id, url, source, language, title, text, toUInt32(published_at), story, topics, companies, p_negative, p_neutral, p_positive, model, "
    "surfaces, materiality, flags"
)


def materiality_of(probabilities: Sequence[float]) -> MaterialityScore | None:
    """The materiality in a column of the store: three probabilities, none where the model did not predict it."""
    return MaterialityScore(**dict(zip(MaterialityScore.__struct_fields__, probabilities, strict=True))) if probabilities else None


def article_of(row: Sequence[Any]) -> ArticleRow:
    """An article from a row of _COLUMNS."""
    return ArticleRow(
        id=row[0],
        url=row[1],
        source=row[2],
        language=row[3],
        title=row[4],
        text=row[5],
        published_at=from_epoch(row[6]),
        story=row[7],
        topics=tuple(row[8]),
        companies=tuple(row[9]),
        p_negative=row[10],
        p_neutral=row[11],
        p_positive=row[12],
        model=row[13],
        surfaces=tuple(row[14]),
        materiality=materiality_of(row[15]),
        flags=tuple(row[16]),
    )


class ArticleTable:
    """Articles with their scores."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def insert(self, scored: Sequence[Scored]) -> None:
        """Store articles with scores; a row stored again replaces itself. Raises StoreError.

        `insert_keys` follows after everything else, so that an article with a key is stored completely.
        """
        for some in split_by_months(scored, lambda item: item.score.published_at):
            self._insert(some)

    def _insert(self, scored: Sequence[Scored]) -> None:
        version = new_version()
        articles = [item.article for item in scored]
        scores = [item.score for item in scored]
        self._client.insert(
            "articles",
            {
                "id": [article.id for article in articles],
                "url": [article.url for article in articles],
                "source": [article.source for article in articles],
                "genre": [article.genre for article in articles],
                "language": [article.language for article in articles],
                "title": [article.title for article in articles],
                "text": [article.text for article in articles],
                "latin_variants": [int(has_latin_variants(f"{article.title}\n{article.text}")) for article in articles],
                "published_at": [to_epoch(score.published_at) for score in scores],
                "fetched_at": [to_epoch(article.fetched_at) for article in articles],
                "story": [score.story for score in scores],
                "flags": [list(article.flags) for article in articles],
                "companies": [[company.company for company in score.companies] for score in scores],
                "surfaces": [[mention.surface for mention in article.mentions] for article in articles],
                "sectors": [[company.sector for company in score.companies] for score in scores],
                "roles": [[company.role for company in score.companies] for score in scores],
                "company_negative": [[company.p_negative for company in score.companies] for score in scores],
                "company_neutral": [[company.p_neutral for company in score.companies] for score in scores],
                "company_positive": [[company.p_positive for company in score.companies] for score in scores],
                "topics": [list(score.topics) for score in scores],
                "topic_p": [list(score.topics.values()) for score in scores],
                "risks": [list(score.risks) for score in scores],
                "risk_p": [list(score.risks.values()) for score in scores],
                "p_negative": [score.p_negative for score in scores],
                "p_neutral": [score.p_neutral for score in scores],
                "p_positive": [score.p_positive for score in scores],
                "materiality": [list(msgspec.structs.astuple(score.materiality)) if score.materiality else [] for score in scores],
                "model": [score.model for score in scores],
                "scored_at": [to_epoch(score.scored_at) for score in scores],
                "trust": [article.trust for article in articles],
                "version": [version] * len(scored),
            },
        )
        bands = [
            (band, to_epoch(item.score.published_at), item.score.story)
            for item in scored
            if item.score.counts
            for band in item.article.lsh_bands
        ]
        self._client.insert(
            "lsh_bands",
            {"band": [row[0] for row in bands], "published_at": [row[1] for row in bands], "story": [row[2] for row in bands]},
        )

    def insert_keys(self, scored: Sequence[Scored]) -> None:
        """Store the keys of articles, after everything else of them is stored. Raises StoreError."""
        self._client.insert(
            "article_keys",
            {
                "id": [item.article.id for item in scored],
                "published_at": [to_epoch(item.score.published_at) for item in scored],
                "story": [item.score.story for item in scored],
                "fingerprint": [item.article.fingerprint for item in scored],
                "model": [item.score.model for item in scored],
                "owner": [item.article.revised_by for item in scored],
                "version": [new_version()] * len(scored),
            },
        )

    def keys(self, ids: Sequence[str]) -> dict[str, ArticleKey]:
        """The keys of those of `ids` that are stored. Raises StoreError."""
        if not ids:
            return {}
        rows = self._client.query(
            "SELECT id, toUInt32(published_at), story, fingerprint, model, owner FROM article_keys FINAL WHERE id IN {ids:Array(String)}",
            ids=ids,
        )
        return {row[0]: ArticleKey(from_epoch(row[1]), row[2], int(row[3]), row[4], row[5]) for row in rows}

    def stories(self, bands: Sequence[int], since: datetime, until: datetime) -> dict[int, list[str]]:
        """The newest stories in [since, until) with each of these LSH bands; bands without one are left out. Raises StoreError."""
        if not bands:
            return {}
        rows = self._client.query(
            """
            SELECT band, story FROM lsh_bands
            WHERE band IN {bands:Array(UInt64)}
              AND published_at >= toDateTime({since:UInt32}) AND published_at < toDateTime({until:UInt32})
            GROUP BY band, story ORDER BY band, max(published_at) DESC, story LIMIT {limit:UInt32} BY band
            """,
            bands=bands,
            since=to_epoch(since),
            until=to_epoch(until),
            limit=MAX_STORIES_PER_BAND,
        )
        found: dict[int, list[str]] = {}
        for band, story in rows:
            found.setdefault(int(band), []).append(story)
        return found

    def insert_leads(self, leads: Mapping[str, StoryLead]) -> None:
        """Store the leads of stories, with which later articles are compared. Raises StoreError."""
        for some in split_by_months(list(leads.items()), lambda item: item[1].published_at):
            self._client.insert(
                "story_leads",
                {
                    "story": [story for story, _ in some],
                    "published_at": [to_epoch(lead.published_at) for _, lead in some],
                    "lead": [lead.lead for _, lead in some],
                    "version": [new_version()] * len(some),
                },
            )

    def leads(self, stories: Sequence[str], since: datetime, until: datetime) -> dict[str, StoryLead]:
        """The leads of those of `stories` that began in [since, until). Raises StoreError."""
        if not stories:
            return {}
        rows = self._client.query(
            """
            SELECT story, toUInt32(argMax(published_at, version)), argMax(lead, version) FROM story_leads
            WHERE story IN {stories:Array(String)}
              AND published_at >= toDateTime({since:UInt32}) AND published_at < toDateTime({until:UInt32})
            GROUP BY story
            """,
            stories=stories,
            since=to_epoch(since),
            until=to_epoch(until),
        )
        return {row[0]: StoryLead(from_epoch(row[1]), row[2]) for row in rows}

    def latest(
        self, limit: int = 100, *, since: datetime | None = None, until: datetime | None = None, language: str = ""
    ) -> list[ArticleRow]:
        """The newest articles of [since, until), newest first. Raises StoreError.

        Reads the last hour, then eight times as far back, and so on, as reading texts is expensive.
        """
        newest = until or self.newest()
        oldest = since or OLDEST
        if newest is None or newest < oldest:
            return []
        span = FIRST_SEARCH
        while True:
            start = max(oldest, newest - span)
            found = self._latest(limit, start, until, language)
            if len(found) == limit or start == oldest:
                return found
            span *= 8

    def newest(self) -> datetime | None:
        """Publication time of the newest article, or None. Raises StoreError."""
        rows = self._client.query("SELECT count(), toUInt32(max(published_at)) FROM articles")
        return from_epoch(int(rows[0][1])) if rows and int(rows[0][0]) else None

    def _latest(self, limit: int, since: datetime, until: datetime | None, language: str) -> list[ArticleRow]:
        rows = self._client.query(
            f"""
            SELECT {_COLUMNS} FROM articles
            WHERE published_at >= toDateTime({{since:UInt32}}) AND published_at < toDateTime({{until:UInt32}})
              AND ({{language:String}} = '' OR language = {{language:String}})
            ORDER BY published_at DESC, id, version DESC LIMIT 1 BY id LIMIT {{limit:UInt32}}
            """,
            limit=limit,
            since=to_epoch(since),
            until=to_epoch(until) if until else 2**32 - 1,
            language=language,
        )
        return [article_of(row) for row in rows]

    def between(self, since: datetime, until: datetime) -> list[ArticleRow]:
        """All articles published in [since, until), oldest first. Raises StoreError."""
        rows = self._client.query(
            f"""
            SELECT {_COLUMNS} FROM articles
            WHERE published_at >= toDateTime({{since:UInt32}}) AND published_at < toDateTime({{until:UInt32}})
            ORDER BY published_at, id, version DESC LIMIT 1 BY id
            """,
            since=to_epoch(since),
            until=to_epoch(until),
        )
        return [article_of(row) for row in rows]

    def of_series(
        self, series: str, since: datetime, until: datetime, limit: int = 100, *, min_materiality: float = 0.0
    ) -> list[ArticleRow]:
        """Articles of `series` in [since, until) that count, the most negative towards it first. Raises StoreError.

        min_materiality: as in MentionTable
        """
        rows = self._client.query(
            f"""
            SELECT id, p_negative FROM mentions FINAL
            WHERE {of_one(series)} AND {counted(min_materiality)}
              AND published_at >= toDateTime({{since:UInt32}}) AND published_at < toDateTime({{until:UInt32}})
            ORDER BY p_negative DESC, id LIMIT {{limit:UInt32}}
            """,
            limit=limit,
            **parameters_of(series),
            since=to_epoch(since),
            until=to_epoch(until),
        )
        rank = {str(row[0]): number for number, row in enumerate(rows)}
        found = self.by_id(list(rank), since, until)
        return sorted(found, key=lambda article: rank[article.id])

    def newest_of(self, series: str, since: datetime, until: datetime, limit: int) -> list[ArticleRow]:
        """The newest articles of `series` in [since, until), unordered. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT DISTINCT id, published_at FROM mentions
            WHERE series = {series:String}
              AND published_at >= toDateTime({since:UInt32}) AND published_at < toDateTime({until:UInt32})
            ORDER BY published_at DESC, id LIMIT {limit:UInt32}
            """,
            limit=limit,
            series=series,
            since=to_epoch(since),
            until=to_epoch(until),
        )
        return self.by_id([str(row[0]) for row in rows], since, until)

    def by_id(self, ids: Sequence[str], since: datetime | None = None, until: datetime | None = None) -> list[ArticleRow]:
        """The articles with these ids, unordered. A known range [since, until) of publication makes it faster. Raises StoreError."""
        within = "published_at >= toDateTime({since:UInt32}) AND published_at < toDateTime({until:UInt32})"
        return self._with_ids(ids, within, since=to_epoch(since) if since else 0, until=to_epoch(until) if until else 2**32 - 1)

    def at(self, moments: Mapping[str, datetime]) -> list[ArticleRow]:
        """The articles with these ids and publication times, unordered; nothing else is read. Raises StoreError."""
        epochs = sorted({to_epoch(moment) for moment in moments.values()})
        return self._with_ids(list(moments), "published_at IN {moments:Array(UInt32)}", moments=epochs)

    def _with_ids(self, ids: Sequence[str], published: str, **values: Value) -> list[ArticleRow]:
        if not ids:
            return []
        which = f"{published} AND id IN {{ids:Array(String)}}"  # in PREWHERE, or whole granules with their texts are read
        sql = f"SELECT {_COLUMNS} FROM articles PREWHERE {which} ORDER BY id, version DESC LIMIT 1 BY id"
        return [article_of(row) for row in self._client.query(sql, ids=ids, **values)]

    def scores(self, ids: Sequence[str], since: datetime, until: datetime) -> list[Score]:
        """The latest scores of the articles with these ids published in [since, until), unordered. Raises StoreError."""
        if not ids:
            return []
        rows = self._client.query(
            """
            SELECT id, source, language, toUInt32(published_at), story, p_negative, p_neutral, p_positive, topics, topic_p,
                   companies, sectors, company_negative, company_neutral, company_positive, model, toUInt32(scored_at), genre, risks,
                   risk_p, materiality, flags, roles
            FROM articles
            WHERE id IN {ids:Array(String)}
              AND published_at >= toDateTime({since:UInt32}) AND published_at < toDateTime({until:UInt32})
            ORDER BY id, version DESC LIMIT 1 BY id
            """,
            ids=ids,
            since=to_epoch(since),
            until=to_epoch(until),
        )
        watchlists = self._watchlists(ids, since, until)
        return [
            Score(
                id=row[0],
                source=row[1],
                genre=row[17] or "news",
                language=row[2],
                published_at=from_epoch(row[3]),
                story=row[4],
                p_negative=row[5],
                p_neutral=row[6],
                p_positive=row[7],
                topics=dict(zip(row[8], row[9], strict=True)),
                risks=dict(zip(row[18], row[19], strict=True)),
                companies=tuple(
                    CompanyScore(company=company, sector=sector, role=role, p_negative=negative, p_neutral=neutral, p_positive=positive)
                    for company, sector, negative, neutral, positive, role in zip(*row[10:15], row[22], strict=True)
                ),
                watchlists=tuple(watchlists.get(row[0], ())),
                materiality=materiality_of(row[20]),
                counts=not UNCOUNTED_FLAGS.intersection(row[21]),
                model=row[15],
                scored_at=from_epoch(row[16]),
            )
            for row in rows
        ]

    def scores_with_risks(self, since: datetime, until: datetime) -> list[Score]:
        """The latest scores with risk events of articles published in [since, until), oldest first. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT DISTINCT id FROM articles WHERE notEmpty(risks)
              AND published_at >= toDateTime({since:UInt32}) AND published_at < toDateTime({until:UInt32})
            """,
            since=to_epoch(since),
            until=to_epoch(until),
        )
        ids = [row[0] for row in rows]
        found: list[Score] = []
        for some in chunks(ids):
            found += self.scores(some, since, until)
        return sorted((score for score in found if score.risks), key=lambda score: (score.published_at, score.id))

    def _watchlists(self, ids: Sequence[str], since: datetime, until: datetime) -> dict[str, list[WatchlistScore]]:
        """Article id to the watchlists it matches, which only the mentions have, as watchlists are backfilled there."""
        rows = self._client.query(
            """
            SELECT id, substring(series, 11), p_negative, tone FROM mentions FINAL
            WHERE series >= 'watchlist:' AND series < 'watchlist;' AND id IN {ids:Array(String)}
              AND published_at >= toDateTime({since:UInt32}) AND published_at < toDateTime({until:UInt32})
            ORDER BY id, series
            """,
            ids=ids,
            since=to_epoch(since),
            until=to_epoch(until),
        )
        found: dict[str, list[WatchlistScore]] = {}
        for ident, name, negative, tone in rows:
            positive = min(1.0, max(0.0, tone + negative))
            neutral = max(0.0, 1.0 - negative - positive)
            found.setdefault(ident, []).append(WatchlistScore(name=name, p_negative=negative, p_neutral=neutral, p_positive=positive))
        return found

    def sectors(self, companies: Sequence[str], since: datetime, until: datetime) -> dict[str, str]:
        """Company to sector, from the articles published in [since, until); unknown ones are left out. Raises StoreError."""
        if not companies:
            return {}
        rows = self._client.query(
            """
            SELECT company, argMax(sector, published_at) FROM articles ARRAY JOIN companies AS company, sectors AS sector
            WHERE published_at >= toDateTime({since:UInt32}) AND published_at < toDateTime({until:UInt32})
              AND company IN {companies:Array(String)} AND sector != '' GROUP BY company
            """,
            companies=companies,
            since=to_epoch(since),
            until=to_epoch(until),
        )
        return {row[0]: row[1] for row in rows}

    def count(self) -> int:
        """Approximate number of articles, from table metadata: one that two models scored may count twice. Raises StoreError."""
        rows = self._client.query("SELECT sum(rows) FROM system.parts WHERE active AND database = currentDatabase() AND table = 'articles'")
        return int(rows[0][0] or 0)

    def totals(self) -> Totals:
        """Exact totals of the store; reads the whole table. Raises StoreError."""
        row = self._client.query("SELECT uniqExact(id), count(), uniqExact(story), uniqExact(source) FROM articles")[0]
        return Totals(*(int(value) for value in row))

    def duplicates(self) -> int:
        """Number of articles that appear more than once, which is 0 unless keys are broken. Raises StoreError."""
        row = self._client.query(
            "SELECT count() - uniqExact(id) FROM (SELECT id, model FROM articles FINAL GROUP BY id, model, published_at)"
        )
        return int(row[0][0])
