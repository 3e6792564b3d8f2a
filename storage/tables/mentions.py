"""SQL of mentions: one row per article and series. Counts are of distinct stories, so that copies and replays add nothing."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from core.records import MIN_MATERIALITY, Score
from core.series import ALERTING, MARKET, SOURCE, facts, is_negative, key_of, kind_of
from storage.clickhouse import ClickHouse
from storage.timestamps import from_epoch, new_version, split_by_months, to_epoch


@dataclass(frozen=True, slots=True)
class WindowCount:
    """Numbers of distinct stories of one series in [start, start + width_s); negative <= total."""

    start: datetime
    width_s: int
    negative: int
    total: int


class SeriesTotal(NamedTuple):
    """A series over a time range: distinct stories, negative stories, distinct sources of negative stories, mean tone in [-1, 1]."""

    series: str
    stories: int
    negative: int
    negative_sources: int
    tone: float


class MinuteCounts(NamedTuple):
    """New stories by minute, as columns of equal length.

    Attributes:
        minute: starts of the minutes with any story, seconds since 1970, ascending
        negative, stories: numbers of negative and of all new stories
        tone: sum of the tones in 1/10,000, as integers, whose sum does not depend on the order
    """

    minute: list[int]
    negative: list[int]
    stories: list[int]
    tone: list[int]


class SourceStories(NamedTuple):
    """Distinct negative stories of one source: those it published first, and all."""

    first: int
    total: int


class SeriesArticle(NamedTuple):
    """An article of a series. It is the first of its story if id == story.

    Attributes:
        at: publication time, seconds since 1970
        p_negative: probability of a negative sentiment towards the series
    """

    at: int
    id: str
    story: str
    source: str
    p_negative: float = 1.0


class SentimentPoint(NamedTuple):
    """Mean tone of a series' articles in one window, with numbers of distinct and of negative stories."""

    series: str
    start: datetime
    tone: float
    stories: int
    negative: int


class SentimentSeries(NamedTuple):
    """All windows in which a series had articles, as unordered columns. start: seconds since 1970"""

    series: str
    start: list[int]
    tone: list[float]
    stories: list[int]
    negative: list[int]

    def points(self) -> list[SentimentPoint]:
        """The windows in order of time."""
        rows = sorted(zip(self.start, self.tone, self.stories, self.negative, strict=True))
        return [SentimentPoint(self.series, from_epoch(start), tone, stories, negative) for start, tone, stories, negative in rows]

    def __or__(self, other: SentimentSeries) -> SentimentSeries:
        """Joined with windows of the same series of another time range."""
        start, tone = self.start + other.start, self.tone + other.tone
        return SentimentSeries(self.series, start, tone, self.stories + other.stories, self.negative + other.negative)


def of_kinds(kinds: Sequence[str]) -> str:
    """SQL condition that a series is of one of these kinds, as ranges of the sorting key. Raises ValueError for a malformed kind."""
    if not kinds or not all(kind.isalpha() and kind.isascii() for kind in kinds):
        message = f"kinds of series: {list(kinds)}"
        raise ValueError(message)
    return "(" + " OR ".join(f"(series >= '{kind}:' AND series < '{kind};')" for kind in kinds) + ")"


def of_one(series: str) -> str:
    """SQL condition of one series, with the parameters of `parameters_of`. Articles of a source are selected from the market."""
    if kind_of(series) == SOURCE:
        return "series = {series:String} AND source = {source:String}"
    return "series = {series:String}"


def parameters_of(series: str) -> dict[str, str]:
    """Query parameters of `of_one`."""
    return {"series": MARKET, "source": key_of(series)} if kind_of(series) == SOURCE else {"series": series}


UNKNOWN_MATERIALITY = -1.0
"""Value of the column `materiality`, P(level >= 2), where the model did not predict it."""


def counted(min_materiality: float, suffix: str = "") -> str:
    """SQL condition of the mentions that count: of articles that may count, with P(level >= 2) of at least so much, or unknown.

    suffix: of the columns in a subquery.
    """
    value = f"materiality{suffix}"
    material = f" AND ({value} < 0 OR {value} >= toFloat32({float(min_materiality)!r}))" if min_materiality > 0 else ""
    return f"(counts{suffix} = 1{material})"


def sentiment_series_of(row: Sequence[Any]) -> SentimentSeries:
    """A SentimentSeries from a row; 64-bit numbers may arrive as strings."""
    series, starts, tones, stories, negative = row
    return SentimentSeries(series, [*map(int, starts)], [*map(float, tones)], [*map(int, stories)], [*map(int, negative)])


class MentionTable:
    """Mentions of series in articles. All mentions are stored; the reads count those of a known time with enough materiality.

    Args:
        client: Connection to the store.
        min_materiality: P(level >= 2) that an article needs to count; 0: all count. Without the prediction, it counts.
    """

    def __init__(self, client: ClickHouse, min_materiality: float = MIN_MATERIALITY) -> None:
        self._client = client
        self.min_materiality = min_materiality
        self._counted = counted(min_materiality)

    def counting(self, min_materiality: float) -> MentionTable:
        """The same table with another limit, for a rule that has its own."""
        return self if min_materiality == self.min_materiality else MentionTable(self._client, min_materiality)

    def insert(self, scores: Sequence[Score]) -> None:
        """Store one row for each series of each score; a row stored again replaces itself. Raises StoreError."""
        for some in split_by_months(scores, lambda score: score.published_at):
            self._insert(some)

    def _insert(self, scores: Sequence[Score]) -> None:
        rows = [(score, series, p) for score in scores for series, *p in facts(score)]
        self._client.insert(
            "mentions",
            {
                "series": [series for _, series, _ in rows],
                "published_at": [to_epoch(score.published_at) for score, _, _ in rows],
                "id": [score.id for score, _, _ in rows],
                "story": [score.story for score, _, _ in rows],
                "source": [score.source for score, _, _ in rows],
                "language": [score.language for score, _, _ in rows],
                "p_negative": [p[0] for _, _, p in rows],
                "tone": [p[2] - p[0] for _, _, p in rows],
                "negative": [int(is_negative(*p)) for _, _, p in rows],
                "materiality": [score.materiality.p_relevant if score.materiality else UNKNOWN_MATERIALITY for score, _, _ in rows],
                "counts": [int(score.counts) for score, _, _ in rows],
                "version": [new_version()] * len(rows),
            },
        )
        hours = sorted({to_epoch(score.published_at) // 3600 * 3600 for score in scores})
        marks = [1 + secrets.randbits(32) for _ in hours]  # random: a server that deduplicates equal inserts must keep these
        self._client.insert("dirty_hours", {"hour": hours, "n": marks})  # the roll-ups of these hours are out of date

    def window_counts(self, series: str, since: datetime, until: datetime, width_s: int) -> list[WindowCount]:
        """Numbers of distinct stories per window of [since, until), oldest first, without empty windows. Raises StoreError.

        Windows start at `since` + k * width_s.
        """
        rows = self._client.query(
            f"""
            SELECT intDiv(toUInt32(published_at) - {{since:UInt32}}, {{width:UInt32}}) AS w,
                   uniqExactIf(story, negative = 1), uniqExact(story)
            FROM mentions FINAL
            WHERE {of_one(series)}
              AND {self._counted}
              AND published_at >= toDateTime({{since:UInt32}}) AND published_at < toDateTime({{until:UInt32}})
            GROUP BY w ORDER BY w
            """,
            **parameters_of(series),
            since=to_epoch(since),
            until=to_epoch(until),
            width=width_s,
        )
        origin = to_epoch(since)
        return [WindowCount(from_epoch(origin + int(row[0]) * width_s), width_s, int(row[1]), int(row[2])) for row in rows]

    def minutes(self, series: Sequence[str] | None, since: datetime, until: datetime) -> dict[str, MinuteCounts]:
        """New stories by minute of each of `series` (None: of all kinds of ALERTING) in [since, until). Raises StoreError.

        A story counts in the minute of its first article, so that counts of minutes may be added. Series without any are left out.
        """
        if series is not None and not series:
            return {}
        rows = self._client.query(
            f"""
            SELECT series, intDiv(toUInt32(published_at), 60) * 60 AS minute, sum(negative), count(),
                   sum(toInt64(round(tone * 10000)))
            FROM mentions FINAL
            WHERE {of_kinds(ALERTING) if series is None else "series IN {series:Array(String)}"} AND id = story
              AND {self._counted}
              AND published_at >= toDateTime({{since:UInt32}}) AND published_at < toDateTime({{until:UInt32}})
            GROUP BY series, minute ORDER BY series, minute
            """,
            since=to_epoch(since),
            until=to_epoch(until),
            **({} if series is None else {"series": series}),
        )
        found: dict[str, MinuteCounts] = {}
        for name, minute, negative, stories, tone in rows:
            counts = found.setdefault(name, MinuteCounts([], [], [], []))
            counts.minute.append(int(minute))
            counts.negative.append(int(negative))
            counts.stories.append(int(stories))
            counts.tone.append(int(tone))
        return found

    def negative_sources(self, series: str, since: datetime, until: datetime) -> dict[str, SourceStories]:
        """Negative stories of `series` in [since, until) by source. Raises StoreError."""
        rows = self._client.query(
            f"""
            SELECT source, uniqExactIf(story, id = story), uniqExact(story) FROM mentions FINAL
            WHERE series = {{series:String}} AND negative = 1
              AND {self._counted}
              AND published_at >= toDateTime({{since:UInt32}}) AND published_at < toDateTime({{until:UInt32}})
            GROUP BY source
            """,
            series=series,
            since=to_epoch(since),
            until=to_epoch(until),
        )
        return {row[0]: SourceStories(int(row[1]), int(row[2])) for row in rows}

    def articles_of(self, series: str, since: datetime, until: datetime, limit: int, *, every: bool = False) -> list[SeriesArticle]:
        """The negative articles (every: all articles) of `series` in [since, until), most negative first. Raises StoreError."""
        rows = self._client.query(
            f"""
            SELECT toUInt32(published_at), id, story, source, p_negative FROM mentions FINAL
            WHERE series = {{series:String}} AND negative >= {{least:UInt8}}
              AND {self._counted}
              AND published_at >= toDateTime({{since:UInt32}}) AND published_at < toDateTime({{until:UInt32}})
            ORDER BY p_negative DESC, id LIMIT {{limit:UInt32}}
            """,
            series=series,
            least=0 if every else 1,
            since=to_epoch(since),
            until=to_epoch(until),
            limit=limit,
        )
        return [SeriesArticle(*row) for row in rows]

    def source_count(self, series: str, since: datetime, until: datetime, *, negative: bool) -> int:
        """Number of distinct sources of (negative: negative) articles of `series` in [since, until). Raises StoreError."""
        rows = self._client.query(
            f"""
            SELECT uniqExact(source) FROM mentions FINAL
            WHERE series = {{series:String}} AND negative >= {{least:UInt8}}
              AND {self._counted}
              AND published_at >= toDateTime({{since:UInt32}}) AND published_at < toDateTime({{until:UInt32}})
            """,
            series=series,
            least=int(negative),
            since=to_epoch(since),
            until=to_epoch(until),
        )
        return int(rows[0][0])

    def negative_articles(self, since: datetime, until: datetime, kinds: Sequence[str] = ALERTING) -> dict[str, list[SeriesArticle]]:
        """All negative articles of [since, until) by series, oldest first. Raises StoreError."""
        rows = self._client.query(
            f"""
            SELECT series, toUInt32(published_at), id, story, source, p_negative FROM mentions FINAL
            WHERE {self._counted} AND published_at >= toDateTime({{since:UInt32}}) AND published_at < toDateTime({{until:UInt32}})
              AND negative = 1 AND {of_kinds(kinds)}
            ORDER BY series, published_at, id
            """,
            since=to_epoch(since),
            until=to_epoch(until),
        )
        found: dict[str, list[SeriesArticle]] = {}
        for name, *mention in rows:
            found.setdefault(name, []).append(SeriesArticle(*mention))
        return found

    def sources(self, since: datetime, until: datetime) -> int:
        """Number of distinct sources in [since, until). Raises StoreError."""
        rows = self._client.query(
            f"""
            SELECT uniqExact(source) FROM mentions
            WHERE series = {{series:String}}
              AND {self._counted}
              AND published_at >= toDateTime({{since:UInt32}}) AND published_at < toDateTime({{until:UInt32}})
            """,
            series=MARKET,
            since=to_epoch(since),
            until=to_epoch(until),
        )
        return int(rows[0][0])

    def first_seen(self, series: Sequence[str]) -> dict[str, datetime]:
        """Publication time of the first article of each series; series without any are left out. Raises StoreError."""
        if not series:
            return {}
        rows = self._client.query(
            "SELECT series, toUInt32(min(published_at)) FROM mentions WHERE series IN {series:Array(String)} GROUP BY series",
            series=series,
        )
        return {row[0]: from_epoch(row[1]) for row in rows}

    def series_count(self, since: datetime, until: datetime) -> int:
        """Number of distinct series in [since, until). Raises StoreError."""
        rows = self._client.query(
            f"""
            SELECT uniqExact(series) FROM mentions
            WHERE {self._counted} AND published_at >= toDateTime({{since:UInt32}}) AND published_at < toDateTime({{until:UInt32}})
            """,
            since=to_epoch(since),
            until=to_epoch(until),
        )
        return int(rows[0][0])

    def totals(self, since: datetime, until: datetime, kinds: Sequence[str] = ALERTING) -> list[SeriesTotal]:
        """All series of these kinds in [since, until), the one with most negative stories first. Raises StoreError."""
        rows = self._client.query(
            f"""
            SELECT series, uniqExact(story) AS stories, uniqExactIf(story, negative = 1) AS negatives,
                   uniqExactIf(source, negative = 1), avg(tone)
            FROM mentions FINAL
            WHERE {self._counted} AND published_at >= toDateTime({{since:UInt32}}) AND published_at < toDateTime({{until:UInt32}})
              AND {of_kinds(kinds)}
            GROUP BY series ORDER BY negatives DESC, stories DESC, series
            """,
            since=to_epoch(since),
            until=to_epoch(until),
        )
        return [SeriesTotal(row[0], int(row[1]), int(row[2]), int(row[3]), float(row[4])) for row in rows]

    def negative(self, since: datetime, width_s: int, kinds: Sequence[str] = ALERTING) -> dict[str, list[datetime]]:
        """Series of these kinds to the times of negative stories since then, the last one per window of width_s. Raises StoreError."""
        rows = self._client.query(
            f"""
            SELECT series, toUInt32(max(published_at)) AS last
            FROM mentions FINAL
            WHERE {self._counted} AND published_at >= toDateTime({{since:UInt32}}) AND negative = 1 AND {of_kinds(kinds)}
            GROUP BY series, intDiv(toUInt32(published_at), {{width:UInt32}}) ORDER BY series, last
            """,
            since=to_epoch(since),
            width=width_s,
        )
        found: dict[str, list[datetime]] = {}
        for series, last in rows:
            found.setdefault(series, []).append(from_epoch(last))
        return found

    def sentiment(self, series: Sequence[str], since: datetime, until: datetime, width_s: int) -> list[SentimentPoint]:
        """Sentiment of each of `series` per window of [since, until), by series and time. Raises StoreError.

        Windows start at k * width_s.
        """
        return [point for line in self.lines(series, since, until, width_s) for point in line.points()]

    def lines(self, series: Sequence[str], since: datetime, until: datetime, width_s: int) -> list[SentimentSeries]:
        """As `sentiment`, in columns by series, which is several times as fast for thousands of windows. Raises StoreError."""
        if not series:
            return []
        rows = self._client.query(
            f"""
            SELECT series, groupArray(start), groupArray(mean), groupArray(stories), groupArray(negatives)
            FROM (
                SELECT series, toUInt32(intDiv(toUInt32(published_at), {{width:UInt32}}) * {{width:UInt32}}) AS start, avg(tone) AS mean,
                       uniqExact(story) AS stories, uniqExactIf(story, negative = 1) AS negatives
                FROM mentions FINAL
                WHERE series IN {{series:Array(String)}}
                  AND {self._counted}
                  AND published_at >= toDateTime({{since:UInt32}}) AND published_at < toDateTime({{until:UInt32}})
                GROUP BY series, start
            )
            GROUP BY series ORDER BY series
            """,
            series=series,
            since=to_epoch(since),
            until=to_epoch(until),
            width=width_s,
        )
        return [sentiment_series_of(row) for row in rows]
