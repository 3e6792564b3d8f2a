"""What is asked of the API: queries and bodies. docs/api.md and the OpenAPI document are made of it.

Times are ISO 8601 with a zone. A field that is not known is refused: a misspelled filter must not look like none.
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

MOST = 500
"""Items on a page."""
MOST_ARTICLES, MOST_TEXTS, MOST_LABELS = 500, 64, 100
"""In one request."""
MOST_POINTS = 2_000

Limit = Annotated[int, Meta(ge=1, le=MOST, description="items on the page at most")]
Cursor = Annotated[str, Meta(max_length=1_000, description="`next` of the page before; the other parameters must be the same")]
AsOf = Annotated[Instant, Meta(description="answer as it was known at this time")]
Since = Annotated[Instant, Meta(description="from this time on")]
Until = Annotated[Instant, Meta(description="before this time")]
SeriesKey = Annotated[str, Meta(max_length=300, description='a series, such as "topic:credit", "company:AAPL" or "watchlist:NAME"')]
Kind = Literal["topic", "company", "sector", "market", "language", "genre", "watchlist"]


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A query or a body. Its times are such as the store can hold."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, datetime) and not OLDEST <= value < NEWEST:
                raise ValueError(f"Expected a time from {OLDEST.year} to {NEWEST.year} - at `$.{name}`")


class NoQuery(Asked, frozen=True, kw_only=True):
    """No parameters."""


class AsOfQuery(Asked, frozen=True, kw_only=True):
    """One thing, at a time."""

    as_of: AsOf | None = None


class ArticlesQuery(Asked, frozen=True, kw_only=True):
    """Which articles, the newest first."""

    series: SeriesKey = "market:all"
    language: Annotated[Literal["zh", "en"] | None, Meta(description="only articles in this language")] = None
    source: Annotated[str, Meta(max_length=200, description="only articles of this source")] = ""
    since: Since | None = None
    until: Until | None = None
    text: Annotated[Literal["lead", "full"], Meta(description="how much of each text: its first 300 characters, or all of it")] = "lead"
    limit: Limit = 50
    cursor: Cursor = ""
    as_of: AsOf | None = None


class SeriesQuery(Asked, frozen=True, kw_only=True):
    """Which series, by name: those touched in [since, until), by default the last day."""

    kind: Annotated[Kind | None, Meta(description="only series of this kind")] = None
    since: Since | None = None
    until: Until | None = None
    limit: Limit = 100
    cursor: Cursor = ""
    as_of: AsOf | None = None


class MoodQuery(Asked, frozen=True, kw_only=True):
    """Which stretch of a series, by default the last day, in how long steps."""

    since: Since | None = None
    until: Until | None = None
    step_s: Annotated[int, Meta(ge=60, le=7 * 86_400, description=f"width of a point, seconds; at most {MOST_POINTS:,} points")] = 3600
    as_of: AsOf | None = None


class AlertsQuery(Asked, frozen=True, kw_only=True):
    """Which alerts, the newest first."""

    series: Annotated[SeriesKey | None, Meta(description="only alerts on this series")] = None
    state: Annotated[
        Literal["pending", "firing", "acknowledged", "resolved"] | None,
        Meta(description="only alerts in this state; a page may then hold fewer than `limit` and have a `next` all the same"),
    ] = None
    since: Annotated[Instant, Meta(description="detected from this time on")] | None = None
    until: Annotated[Instant, Meta(description="detected before this time")] | None = None
    limit: Limit = 50
    cursor: Cursor = ""
    as_of: AsOf | None = None


class SilencesQuery(Asked, frozen=True, kw_only=True):
    """Which silences, the newest first."""

    ended: Annotated[bool, Meta(description="those that are over too")] = False
    limit: Limit = 100
    cursor: Cursor = ""
    as_of: AsOf | None = None


class LabelsQuery(Asked, frozen=True, kw_only=True):
    """People's labels, the newest first."""

    limit: Limit = 100
    cursor: Cursor = ""
    as_of: AsOf | None = None


class StreamQuery(Asked, frozen=True, kw_only=True):
    """What to listen to."""

    events: Annotated[Literal["all", "score", "alert"], Meta(description="only scores, or only alerts")] = "all"
    series: Annotated[
        str, Meta(max_length=300, description='only what touches a series of this pattern, such as "company:AAPL" or "topic:*"')
    ] = "*"


class EventIn(Asked, frozen=True, kw_only=True):
    """What is done to an alert. text: the words of a note, the assignee of "assigned" ("": nobody), else a reason, which may be ""."""

    kind: EventKind
    text: Annotated[str, Meta(max_length=4_000)] = ""


class SilenceIn(Asked, frozen=True, kw_only=True):
    """A silence to be: as `tocsin alerts silence` has it. starts_at: default now."""

    series: Annotated[tuple[str, ...], Meta(min_length=1, max_length=100, description='patterns, such as "topic:*" or "company:AAPL"')]
    rules: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    least: Severity = "info"
    most: Severity = "critical"
    starts_at: Instant | None = None
    ends_at: Instant
    comment: Annotated[str, Meta(max_length=4_000, description="why, for those who wonder")]


class LabelIn(Asked, frozen=True, kw_only=True):
    """What an article's labels should be. company: whose sentiment it is, "" for the whole text."""

    id: Annotated[str, Meta(min_length=1, max_length=64, description="of the article")]
    task: Task
    labels: Annotated[tuple[str, ...], Meta(max_length=40)]
    company: Annotated[str, Meta(max_length=64)] = ""


class LabelsIn(Asked, frozen=True, kw_only=True):
    """Labels: all are kept, or none."""

    labels: Annotated[tuple[LabelIn, ...], Meta(min_length=1, max_length=MOST_LABELS)]


class TextsIn(Asked, frozen=True, kw_only=True):
    """Texts for the model."""

    texts: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=MAX_TEXT_CHARS)], ...], Meta(min_length=1, max_length=MOST_TEXTS)]


class ArticleIn(Asked, frozen=True, kw_only=True):
    """An article to be read as if it had been crawled. It needs a title or a text; the same one again has the same id.

    guid: the source's own id, for articles without a url; companies: codes that the source itself attached, such as "00700.HK"
    """

    source: Annotated[str, Meta(min_length=1, max_length=200)]
    url: Annotated[str, Meta(max_length=4_000)] = ""
    guid: Annotated[str, Meta(max_length=1_000)] = ""
    title: Annotated[str, Meta(max_length=10_000)] = ""
    text: Annotated[str, Meta(max_length=400_000, description=f"what goes beyond {MAX_TEXT_CHARS:,} characters is cut")] = ""
    published_at: Instant | None = None
    language: Literal["zh", "en"] | None = None
    genre: Genre = "news"
    companies: Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=100)] = ()


class ArticlesIn(Asked, frozen=True, kw_only=True):
    """Articles: those that cannot be used are rejected, each with its reason, and the others go on."""

    articles: Annotated[tuple[ArticleIn, ...], Meta(min_length=1, max_length=MOST_ARTICLES)]


class TokenIn(Asked, frozen=True, kw_only=True):
    """A token to be."""

    name: Annotated[str, Meta(min_length=1, max_length=100, description="signs what is done with it")]
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)]
    expires_at: Instant | None = None
