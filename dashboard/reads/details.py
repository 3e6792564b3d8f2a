"""Reads of the pages of one article and one series. Callers cache them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
import numpy as np

from core.records import Alert, Score
from core.series import MARKET, company_series, key_of, kind_of
from dashboard.reads.usual import PAST, PAST_READ, Usual, make_fitter, step_of, usual_bands
from dashboard.time_ranges import Range, bounds, starts
from stats.minute_counts import EMPTY, HOUR_S, StoryCounts
from stats.seasonal_baseline import BaselineFitter
from storage.store import (
    ArticleRow,
    ArticleVersion,
    CompanyProfile,
    Revision,
    SentimentPoint,
    SentimentSeries,
    SeriesTotal,
    Store,
    StoryCoverage,
)
from storage.tables.rollups import KINDS
from storage.tables.search import LEAD_CHARS
from storage.tables.stories import COPIES_WITHIN

STORIES = 15
"""Maximum number of negative, and of positive, stories on a series' page."""
BESIDE = 16
"""Maximum number of related companies on a series' page."""
ALERTS = 500
CHOICES = 200
"""Maximum number of sources, and of companies, in a filter."""


class ArticleView(msgspec.Struct, frozen=True, kw_only=True):
    """One article with its data.

    Attributes:
        score: the latest one.
        versions: text and score of each model version, latest first.
        copies: other articles of its story, oldest first.
        revisions: earlier texts, newest first.
        counts: whether alerts and charts count it: not where its materiality is too low or its time unknown.
    """

    score: Score
    versions: list[ArticleVersion]
    copies: list[ArticleRow]
    counts: bool = True
    revisions: list[Revision] = []
    revision: str = ""


class StoryView(msgspec.Struct, frozen=True, kw_only=True):
    """A story by its first article, with the number of its articles and sources. last: publication of the last article"""

    article: ArticleRow
    articles: int
    sources: int
    last: datetime


class SeriesView(msgspec.Struct, frozen=True, kw_only=True):
    """One series over one range.

    points: per window, those without a story left out; new_negative: negative stories first published in each window, as alerts count them
    usual: of each window from `since` on, [] where the past is too short
    total, before: over the range, and the equally long one before it; None: no article, or (before) not followed for as long
    alerts: those with a window in the range, newest first; beside: companies named with it; names: of those, and of itself
    """

    series: str
    since: datetime
    until: datetime
    width_s: int
    points: list[SentimentPoint]
    usual: list[Usual]
    new_negative: list[int] = []
    total: SeriesTotal | None
    before: SeriesTotal | None
    alerts: list[Alert]
    negative: list[StoryView]
    positive: list[StoryView]
    beside: list[SeriesTotal]
    names: dict[str, CompanyProfile]
    revision: str = ""


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """Options of the search filters, most active first. companies: keys"""

    sources: list[str]
    companies: list[str]


def read_article(store: Store, article_id: str) -> ArticleView | None:
    """One article; None where there is none with this ID. Raises StoreError."""
    known = store.articles.keys([article_id]).get(article_id)
    if known is None:
        return None
    moment = known.published_at
    versions = store.search.versions(article_id, moment)
    scores = store.articles.scores([article_id], moment, moment + timedelta(seconds=1))
    if not versions or not scores:
        return None
    copies = [ident for ident in store.stories.copies(scores[0].story, moment) if ident != article_id]
    found = sorted(
        store.articles.by_id(copies, moment - COPIES_WITHIN, moment + COPIES_WITHIN), key=lambda article: (article.published_at, article.id)
    )
    counts = scores[0].counts_for(store.mentions.min_materiality)
    revisions = store.revisions.of(article_id)
    return ArticleView(score=scores[0], versions=versions, copies=[lead(article) for article in found], counts=counts, revisions=revisions)


def lead(article: ArticleRow) -> ArticleRow:
    """The article with its text truncated to the beginning."""
    return msgspec.structs.replace(article, text=article.text[:LEAD_CHARS])


class SeriesPast(NamedTuple):
    """Stories per minute of a series and of the whole feed, from PAST_READ before a range on.

    until: end, seconds since 1970; fitter: keeps the baselines of the series
    """

    counts: StoryCounts
    market: StoryCounts
    until: int
    fitter: BaselineFitter


def read_past(store: Store, series: str, width_s: int, since: datetime, until: datetime) -> SeriesPast:
    """The past of a series, for the band of its chart. Raises StoreError.

    Args:
        store: Where counts are read from.
        series: Name of the series.
        width_s: Width of the chart's windows in seconds.
        since, until: The chart, as far as it is over. The last hour is left out, as its stories may not have arrived.
    """
    last = int(until.timestamp()) // HOUR_S * HOUR_S - HOUR_S
    rows = store.mentions.minutes(sorted({series, MARKET}), since - PAST_READ, datetime.fromtimestamp(last, tz=since.tzinfo))
    found = {name: StoryCounts.of(*columns) for name, columns in rows.items()}
    return SeriesPast(found.get(series, EMPTY), found.get(MARKET, EMPTY), last, make_fitter(width_s))


def read_past_of(store: Store, series: Sequence[str], width_s: int, since: datetime) -> tuple[list[SentimentSeries], datetime, datetime]:
    """Windows of the past of several series before a range from `since` on, and the time [since, until) that they cover.

    Raises StoreError.
    """
    step_s = step_of(width_s)
    until = datetime.fromtimestamp(int(since.timestamp()) // step_s * step_s, tz=since.tzinfo)
    began = store.rollups.first_hour()
    first = max(until - PAST, began) if began is not None else until
    return (store.rollups.lines(series, until - PAST, until, step_s) if first < until else []), first, until


def read_series(store: Store, series: str, chosen: Range, now: datetime, past: SeriesPast, began: datetime | None) -> SeriesView:
    """One series over a range. past: as `read_past` returns it; began: since when the feed is followed. Raises StoreError."""
    since, until = bounds(chosen, now)
    span = until - since
    followed = began is not None and began <= since - span + timedelta(seconds=chosen.width_s)
    stories = store.stories  # every company is related to the market
    if series == MARKET:
        beside = store.rollups.busiest("company", since, until, BESIDE)
    else:
        beside = stories.co_mentioned(series, since, until, BESIDE)
    companies = [key_of(item.series) for item in beside] + ([key_of(series)] if kind_of(series) == "company" else [])
    negative, positive = _stories(store, series, since, until)
    recent = store.mentions.minutes([series], datetime.fromtimestamp(past.until, tz=since.tzinfo), max(until, now))
    counts = past.counts.then(StoryCounts.of(*recent[series]) if series in recent else EMPTY)
    windows = starts(since, until, chosen.width_s)
    edges = np.array([int(start.timestamp()) for start in windows], np.int64)
    return SeriesView(
        series=series,
        since=since,
        until=until,
        width_s=chosen.width_s,
        points=store.rollups.sentiment([series], since, until, chosen.width_s),
        new_negative=[int(n) for n in counts.count(edges, edges + chosen.width_s)],
        usual=usual_bands(counts, past.market, windows, chosen.width_s, now, past.fitter),
        total=_total(store, series, since, until),
        before=_total(store, series, since - span, since) if followed else None,
        alerts=[alert for alert in store.alerts.of_series(series, since, ALERTS) if alert.window_start < until],
        negative=negative,
        positive=positive,
        beside=beside,
        names=store.stories.company_profiles(companies, since, until),
    )


def read_choices(store: Store, since: datetime, until: datetime) -> Choices:
    """Raises StoreError."""
    companies = store.rollups.busiest("company", since, until, CHOICES)
    return Choices(sources=store.stories.sources(since, until, CHOICES), companies=[key_of(item.series) for item in companies])


def read_busiest(store: Store, since: datetime, until: datetime, limit: int) -> dict[str, list[SeriesTotal]]:
    """Kind to its most active series, for the kinds besides topics. Raises StoreError."""
    return {kind: store.rollups.busiest(kind, since, until, limit) for kind in ("company", "sector", "watchlist")}


def _total(store: Store, series: str, since: datetime, until: datetime) -> SeriesTotal | None:
    if kind_of(series) not in KINDS:
        return store.stories.total(series, since, until)
    return next((item for item in store.rollups.totals(since, until, (kind_of(series),)) if item.series == series), None)


def _stories(store: Store, series: str, since: datetime, until: datetime) -> tuple[list[StoryView], list[StoryView]]:
    """The negative and the positive stories, each with the most sources first."""
    bad = store.stories.of_series(series, "negative", since, until, STORIES)
    good = store.stories.of_series(series, "positive", since, until, STORIES)
    articles = {article.id: article for article in store.articles.at({story.first_id: story.first for story in (*bad, *good)})}

    def views(found: Sequence[StoryCoverage]) -> list[StoryView]:
        return [
            StoryView(article=lead(articles[story.first_id]), articles=story.articles, sources=story.sources, last=story.last)
            for story in found
            if story.first_id in articles
        ]

    return views(bad), views(good)


def company_of(series: str, names: dict[str, CompanyProfile]) -> tuple[str, str]:
    """(name, sector) of a company's series; "" where unknown, or where the series is not a company's."""
    about = names.get(key_of(series)) if series == company_series(key_of(series)) else None
    return (about.name, about.sector) if about else ("", "")


def negatives(view: SeriesView) -> list[int]:
    """Negative stories of each window of the range, counted as alerts count them: where they were first published."""
    if view.new_negative:
        return view.new_negative
    found = {point.start: point.negative for point in view.points}
    return [found.get(start, 0) for start in starts(view.since, view.until, view.width_s)]
