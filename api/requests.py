"""Request types of the API: query parameters and bodies. The OpenAPI document is made from them.

Times are ISO 8601 with a UTC offset. Unknown fields are rejected, so that a misspelled filter is an error and not an unfiltered result.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from core.records import MAX_TEXT_CHARS, NEWEST, OLDEST, Genre, Instant, Severity
from domain.alert_lifecycle import EventKind
from domain.tokens import Scope
from storage.tables.labels import Task

MAX_PAGE_SIZE = 500
MAX_ARTICLES, MAX_TEXTS, MAX_LABELS = 500, 64, 100
"""Items in the body of one request."""
MAX_POINTS = 2_000

Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE_SIZE, description="maximum number of items on the page")]
Cursor = Annotated[str, Meta(max_length=1_000, description="value of `next` on the previous page; all other parameters must be the same")]
AsOf = Annotated[Instant, Meta(description="return what was known at this time")]
Since = Annotated[Instant, Meta(description="at or after this time")]
Until = Annotated[Instant, Meta(description="before this time")]
SeriesKey = Annotated[str, Meta(max_length=300, description='a series, such as "topic:credit", "company:AAPL" or "watchlist:NAME"')]
SeriesKind = Literal["topic", "company", "sector", "market", "language", "genre", "watchlist"]


class RequestModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of queries and bodies. Rejects times that the store cannot hold."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, datetime) and not OLDEST <= value < NEWEST:
                raise ValueError(f"Expected a time from {OLDEST.year} to {NEWEST.year} - at `$.{name}`")


class NoQuery(RequestModel, frozen=True, kw_only=True):
    """No parameters."""


class AsOfQuery(RequestModel, frozen=True, kw_only=True):
    """One object, now or at a time in the past."""

    as_of: AsOf | None = None


class ArticlesQuery(RequestModel, frozen=True, kw_only=True):
    """Filter of articles; newest first."""

    series: SeriesKey = "market:all"
    language: Annotated[Literal["zh", "en"] | None, Meta(description="only articles in this language")] = None
    source: Annotated[str, Meta(max_length=200, description="only articles of this source")] = ""
    min_materiality: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="only articles with at least this probability of relevance to prices (`materiality.relevant`); over 0, articles "
            "without the prediction are left out",
        ),
    ] = 0.0
    since: Since | None = None
    until: Until | None = None
    text: Annotated[Literal["lead", "full"], Meta(description="the first 300 characters of each text, or the whole text")] = "lead"
    limit: Limit = 50
    cursor: Cursor = ""
    as_of: AsOf | None = None


class SeriesQuery(RequestModel, frozen=True, kw_only=True):
    """Filter of series with an article in [since, until), by default the last 24 hours; ordered by name."""

    kind: Annotated[SeriesKind | None, Meta(description="only series of this kind")] = None
    since: Since | None = None
    until: Until | None = None
    limit: Limit = 100
    cursor: Cursor = ""
    as_of: AsOf | None = None


class SeriesHistoryQuery(RequestModel, frozen=True, kw_only=True):
    """Period of a series, by default the last 24 hours, and the width of a point."""

    since: Since | None = None
    until: Until | None = None
    step_s: Annotated[
        int, Meta(ge=60, le=7 * 86_400, description=f"width of a point in seconds; the period may have at most {MAX_POINTS:,} points")
    ] = 3600
    as_of: AsOf | None = None


class AlertsQuery(RequestModel, frozen=True, kw_only=True):
    """Filter of alerts; newest first."""

    series: Annotated[SeriesKey | None, Meta(description="only alerts on this series")] = None
    state: Annotated[
        Literal["pending", "firing", "acknowledged", "resolved"] | None,
        Meta(description="only alerts in this state; a page may then have fewer than `limit` items and still have a `next`"),
    ] = None
    since: Annotated[Instant, Meta(description="detected at or after this time")] | None = None
    until: Annotated[Instant, Meta(description="detected before this time")] | None = None
    limit: Limit = 50
    cursor: Cursor = ""
    as_of: AsOf | None = None


class SilencesQuery(RequestModel, frozen=True, kw_only=True):
    """Filter of silences; newest first."""

    include_expired: Annotated[bool, Meta(description="include expired silences")] = False
    limit: Limit = 100
    cursor: Cursor = ""
    as_of: AsOf | None = None


class LabelsQuery(RequestModel, frozen=True, kw_only=True):
    """Page of labels; newest first."""

    limit: Limit = 100
    cursor: Cursor = ""
    as_of: AsOf | None = None


class StreamQuery(RequestModel, frozen=True, kw_only=True):
    """Filter of the event stream."""

    events: Annotated[Literal["all", "score", "alert"], Meta(description="only scores, or only alerts")] = "all"
    series: Annotated[
        str, Meta(max_length=300, description='only events of series that match this pattern, such as "company:AAPL" or "topic:*"')
    ] = "*"


class EventIn(RequestModel, frozen=True, kw_only=True):
    """An action on an alert.

    Attributes:
        text: the note; for "assigned" the assignee ("" removes it); otherwise an optional reason
    """

    kind: EventKind
    text: Annotated[str, Meta(max_length=4_000)] = ""


class SilenceIn(RequestModel, frozen=True, kw_only=True):
    """A new silence, as `tocsin alerts silence` makes one. `starts_at` is now by default."""

    series: Annotated[tuple[str, ...], Meta(min_length=1, max_length=100, description='patterns, such as "topic:*" or "company:AAPL"')]
    rules: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    least: Severity = "info"
    most: Severity = "critical"
    starts_at: Instant | None = None
    ends_at: Instant
    comment: Annotated[str, Meta(max_length=4_000, description="why the alerts are silenced")]


class LabelIn(RequestModel, frozen=True, kw_only=True):
    """The correct labels of an article. `company` is the target of the sentiment; "" for the whole text."""

    id: Annotated[str, Meta(min_length=1, max_length=64, description="id of the article")]
    task: Task
    labels: Annotated[tuple[str, ...], Meta(max_length=40)]
    company: Annotated[str, Meta(max_length=64)] = ""


class LabelsIn(RequestModel, frozen=True, kw_only=True):
    """Labels; all are stored, or none."""

    labels: Annotated[tuple[LabelIn, ...], Meta(min_length=1, max_length=MAX_LABELS)]


class TextsIn(RequestModel, frozen=True, kw_only=True):
    """Texts to classify."""

    texts: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=MAX_TEXT_CHARS)], ...], Meta(min_length=1, max_length=MAX_TEXTS)]


class ArticleIn(RequestModel, frozen=True, kw_only=True):
    """An article to process like a crawled one. It needs a title or a text; the same article pushed again has the same id.

    Attributes:
        guid: id of the source itself; with a URL, both identify the article
        companies: company codes that the source attached, such as "00700.HK"
    """

    source: Annotated[str, Meta(min_length=1, max_length=200)]
    url: Annotated[str, Meta(max_length=4_000)] = ""
    guid: Annotated[str, Meta(max_length=1_000)] = ""
    title: Annotated[str, Meta(max_length=10_000)] = ""
    text: Annotated[str, Meta(max_length=400_000, description=f"truncated to {MAX_TEXT_CHARS:,} characters")] = ""
    published_at: Instant | None = None
    language: Literal["zh", "en"] | None = None
    genre: Genre = "news"
    companies: Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=100)] = ()


class ArticlesIn(RequestModel, frozen=True, kw_only=True):
    """Articles. Invalid ones are rejected with a reason each; the others are accepted."""

    articles: Annotated[tuple[ArticleIn, ...], Meta(min_length=1, max_length=MAX_ARTICLES)]


class UncheckedArticlesIn(RequestModel, frozen=True, kw_only=True):
    """ArticlesIn whose items are still raw JSON, so that an invalid item does not fail the whole request."""

    articles: Annotated[tuple[msgspec.Raw, ...], Meta(min_length=1, max_length=MAX_ARTICLES)]


class TokenIn(RequestModel, frozen=True, kw_only=True):
    """A new token."""

    name: Annotated[str, Meta(min_length=1, max_length=100, description="actions made with the token are recorded under this name")]
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)]
    expires_at: Instant | None = None
