"""SQL of the earlier versions of articles, and of the links that several sources list."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from storage.clickhouse import ClickHouse
from storage.timestamps import from_us, new_version, to_epoch, to_us


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """An earlier version of an article, which its owner replaced.

    Attributes:
        id, source: of the article
        at: when it was replaced; aware UTC, to the microsecond
        fingerprint, title, text, p_negative, p_neutral, p_positive, model: of the replaced version
        sentiment, next_sentiment: the likeliest sentiment of this version, and of the one that replaced it
    """

    id: str
    source: str
    at: datetime
    fingerprint: int
    title: str
    text: str
    p_negative: float
    p_neutral: float
    p_positive: float
    model: str
    sentiment: str
    next_sentiment: str


class RevisionCounts(NamedTuple):
    """Articles of a source that were revised, and those of them whose sentiment changed."""

    revised: int
    sentiment_changed: int


class RevisionTable:
    """Earlier versions of articles. A batch that is processed twice may store one twice; it is returned and counted once."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def insert(self, revisions: Sequence[Revision]) -> None:
        """Store earlier versions, before the articles that replace them. Raises StoreError."""
        self._client.insert(
            "article_revisions",
            {
                "id": [each.id for each in revisions],
                "source": [each.source for each in revisions],
                "at_us": [to_us(each.at) for each in revisions],
                "fingerprint": [each.fingerprint for each in revisions],
                "title": [each.title for each in revisions],
                "text": [each.text for each in revisions],
                "p_negative": [each.p_negative for each in revisions],
                "p_neutral": [each.p_neutral for each in revisions],
                "p_positive": [each.p_positive for each in revisions],
                "model": [each.model for each in revisions],
                "sentiment": [each.sentiment for each in revisions],
                "next_sentiment": [each.next_sentiment for each in revisions],
                "version": [new_version()] * len(revisions),
            },
        )

    def of(self, article_id: str, limit: int = 20) -> list[Revision]:
        """The earlier versions of an article, newest first. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT id, source, at_us, fingerprint, title, text, p_negative, p_neutral, p_positive, model, sentiment, next_sentiment
            FROM article_revisions FINAL WHERE id = {id:String} ORDER BY at_us DESC LIMIT {limit:UInt32}
            """,
            id=article_id,
            limit=limit,
        )
        found: list[Revision] = []
        for row in rows:
            if found and found[-1].fingerprint == int(row[3]):  # stored twice: the first time of the two is right
                found.pop()
            found.append(
                Revision(
                    id=row[0],
                    source=row[1],
                    at=from_us(int(row[2])),
                    fingerprint=int(row[3]),
                    title=row[4],
                    text=row[5],
                    p_negative=row[6],
                    p_neutral=row[7],
                    p_positive=row[8],
                    model=row[9],
                    sentiment=row[10],
                    next_sentiment=row[11],
                )
            )
        return found

    def by_source(self, since: datetime) -> dict[str, RevisionCounts]:
        """Source to its articles revised since then; sources without any are left out. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT source, uniqExact(id), uniqExactIf(id, sentiment != next_sentiment)
            FROM article_revisions WHERE at_us >= {since:UInt64} GROUP BY source
            """,
            since=to_us(since),
        )
        return {row[0]: RevisionCounts(int(row[1]), int(row[2])) for row in rows}


class LinkedArticle(NamedTuple):
    """An article with its link.

    Attributes:
        link: 63-bit hash of the link
        owner: of the article, as a hash
        stands: whether others with the link join its story: it began the story, or it is of the link's own domain; and it counts in series
    """

    link: int
    id: str
    owner: int
    story: str
    published_at: int
    stands: bool


class LinkTable:
    """The links of articles, by which those of several sources are one story."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def insert(self, linked: Sequence[LinkedArticle]) -> None:
        """Store the links of articles. Raises StoreError."""
        self._client.insert(
            "article_links",
            {
                "link": [each.link for each in linked],
                "id": [each.id for each in linked],
                "owner": [each.owner for each in linked],
                "story": [each.story for each in linked],
                "published_at": [each.published_at for each in linked],
                "stands": [int(each.stands) for each in linked],
                "version": [new_version()] * len(linked),
            },
        )

    def find(self, links: Sequence[int], since: datetime, until: datetime) -> list[LinkedArticle]:
        """The articles with these links published in [since, until), by link and id. Raises StoreError."""
        if not links:
            return []
        rows = self._client.query(
            """
            SELECT link, id, owner, story, toUInt32(published_at), stands FROM article_links FINAL
            WHERE link IN {links:Array(UInt64)}
              AND published_at >= toDateTime({since:UInt32}) AND published_at < toDateTime({until:UInt32})
            ORDER BY link, id
            """,
            links=links,
            since=to_epoch(since),
            until=to_epoch(until),
        )
        return [LinkedArticle(int(row[0]), row[1], int(row[2]), row[3], int(row[4]), bool(row[5])) for row in rows]
