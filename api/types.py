"""Response types of the API, and their construction from stored records. The OpenAPI document is made from them. Times are UTC."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from core.records import Alert, Role
from core.series import series_name
from core.untrusted_text import safe_url
from domain.alert_lifecycle import AlertEvent, AlertLifecycle, Silence
from domain.alert_lifecycle.silences import SilenceState
from domain.tokens import Scope, Token
from storage.store import ArticleAsOf, Delivery, Label, SentimentPoint, SeriesTotal, SuppressedDelivery

LEAD_CHARS = 300
"""Length of the text of an article in a list."""


class Sentiment(msgspec.Struct, frozen=True, kw_only=True):
    """Calibrated class probabilities; they sum to 1."""

    negative: float
    neutral: float
    positive: float


class CompanySentiment(msgspec.Struct, frozen=True, kw_only=True):
    """Sentiment of an article towards one company.

    Attributes:
        role: "subject"; "speaker" for a bank, an agency or a newspaper that only speaks about others, which counts for no series;
            "comparison" for a company that others are only compared with
    """

    company: str
    sector: str
    role: Role = "subject"
    sentiment: Sentiment


class Materiality(msgspec.Struct, frozen=True, kw_only=True):
    """Relevance to prices: calibrated probabilities that the level is at least 1, 2 and 3.

    Attributes:
        level: the highest level with a probability of 0.5 or more, 0 to 3
        background: P(level >= 1): a company or a market is concerned
        relevant: P(level >= 2): it bears on prices; alerts count articles from `alert_min_materiality` on
        urgent: P(level 3): it is likely to move prices at once
    """

    level: int
    background: float
    relevant: float
    urgent: float


class ArticleOut(msgspec.Struct, frozen=True, kw_only=True):
    """An article with its score.

    Attributes:
        story: id of the first article of its group of near-duplicates
        truncated: whether `text` is only the beginning
        tone: P(positive) - P(negative), in [-1, 1]
        materiality: null from a model that does not predict it
    """

    id: str
    url: str
    source: str
    genre: str
    language: str
    title: str
    text: str
    truncated: bool
    published_at: datetime
    fetched_at: datetime
    story: str
    flags: tuple[str, ...]
    sentiment: Sentiment
    tone: float
    topics: dict[str, float]
    companies: tuple[CompanySentiment, ...]
    materiality: Materiality | None
    model: str
    scored_at: datetime


class Articles(msgspec.Struct, frozen=True, kw_only=True):
    """A page of articles. `next` is the cursor of the next page, "" on the last one."""

    items: tuple[ArticleOut, ...]
    next: str


class SeriesOut(msgspec.Struct, frozen=True, kw_only=True):
    """Totals of a series over a period.

    Attributes:
        stories: distinct stories
        negative: distinct negative stories
        negative_sources: sources of the negative stories
        tone: mean tone, in [-1, 1]
    """

    series: str
    name_en: str
    name_zh: str
    stories: int
    negative: int
    negative_sources: int
    tone: float


class SeriesPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of series. `next` is the cursor of the next page, "" on the last one."""

    since: datetime
    until: datetime
    items: tuple[SeriesOut, ...]
    next: str


class SeriesPoint(msgspec.Struct, frozen=True, kw_only=True):
    """Distinct stories and mean tone in [start, start + step_s)."""

    start: datetime
    stories: int
    negative: int
    tone: float


class SeriesHistory(msgspec.Struct, frozen=True, kw_only=True):
    """A series over time. Points start at multiples of step_s since 1970; points without an article are left out."""

    series: str
    name_en: str
    name_zh: str
    since: datetime
    until: datetime
    step_s: int
    points: tuple[SeriesPoint, ...]


class AlertOut(Alert, frozen=True, kw_only=True, omit_defaults=False):
    """An alert with its state and history."""

    lifecycle: AlertLifecycle


class Alerts(msgspec.Struct, frozen=True, kw_only=True):
    """A page of alerts. `next` is the cursor of the next page, "" on the last one."""

    items: tuple[AlertOut, ...]
    next: str


class AlertDetail(msgspec.Struct, frozen=True, kw_only=True):
    """An alert with its events, its deliveries, and the deliveries that were suppressed, each with the cause."""

    alert: AlertOut
    events: tuple[AlertEvent, ...]
    deliveries: tuple[Delivery, ...]
    suppressed: tuple[SuppressedDelivery, ...]


class SilenceOut(Silence, frozen=True, kw_only=True):
    """A silence. `status` is its state now, or at as_of."""

    status: SilenceState


class Silences(msgspec.Struct, frozen=True, kw_only=True):
    """A page of silences. `next` is the cursor of the next page, "" on the last one."""

    items: tuple[SilenceOut, ...]
    next: str


class RuleOut(msgspec.Struct, frozen=True, kw_only=True):
    """An alert rule and its parameters."""

    name: str
    parameters: dict[str, Any]


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The alert rules in force."""

    items: tuple[RuleOut, ...]


class WatchlistOut(msgspec.Struct, frozen=True, kw_only=True):
    """A watchlist. `backfilled` is whether stored articles have been counted for it."""

    name: str
    series: str
    title_en: str
    title_zh: str
    companies: tuple[str, ...]
    topics: tuple[str, ...]
    keywords: tuple[str, ...]
    backfilled: bool


class Watchlists(msgspec.Struct, frozen=True, kw_only=True):
    """The watchlists in force."""

    items: tuple[WatchlistOut, ...]


class LabelsStored(msgspec.Struct, frozen=True, kw_only=True):
    """Number of labels that were stored."""

    stored: int


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """A page of labels. `next` is the cursor of the next page, "" on the last one."""

    items: tuple[Label, ...]
    next: str


class ClassifiedOut(msgspec.Struct, frozen=True, kw_only=True):
    """Prediction of the model for one text.

    Attributes:
        tone: P(positive) - P(negative), in [-1, 1]
        topics, risks: probabilities by name
        companies: companies that the text names, with the sentiment towards each
        materiality: null from a model that does not predict it
    """

    language: str
    sentiment: Sentiment
    tone: float
    topics: dict[str, float]
    risks: dict[str, float]
    companies: tuple[CompanySentiment, ...]
    materiality: Materiality | None


class Classified(msgspec.Struct, frozen=True, kw_only=True):
    """Predictions, one per text, in the order of the request."""

    model: str
    items: tuple[ClassifiedOut, ...]


class PushResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result for one article.

    Attributes:
        index: position in the request
        id, flags: of an accepted article
        reason: why an article was rejected
    """

    index: int
    accepted: bool
    id: str = ""
    flags: tuple[str, ...] = ()
    reason: str = ""


class PushResults(msgspec.Struct, frozen=True, kw_only=True):
    """Results, one per article, in the order of the request. An accepted article is durable: it will be scored, even after a crash."""

    accepted: int
    rejected: int
    results: tuple[PushResult, ...]


class TokenOut(msgspec.Struct, frozen=True, kw_only=True):
    """A token without its secret, which is stored nowhere."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    author: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str
    used_at: datetime | None
    parent: str


class NewTokenOut(TokenOut, frozen=True, kw_only=True):
    """A token with its secret, which is shown only here."""

    token: str


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """All tokens, expired and revoked ones included, newest first."""

    items: tuple[TokenOut, ...]


class ScoreEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An article was scored. `series` are the series that it counts in."""

    article: ArticleOut
    series: tuple[str, ...]


class GapEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Events between these times may be missing from the stream: read them from /articles and /alerts."""

    since: datetime
    until: datetime


class FieldError(msgspec.Struct, frozen=True, kw_only=True):
    """An invalid field. `field` is its path, such as "labels[2].task"."""

    field: str
    reason: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Problem details of an error (RFC 9457, application/problem+json)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: tuple[FieldError, ...] = ()


def rounded(value: float) -> float:
    """A probability, or a difference of two, rounded to what single precision holds."""
    return round(value, 6)


def sentiment(negative: float, neutral: float, positive: float) -> Sentiment:
    """Three rounded probabilities."""
    return Sentiment(negative=rounded(negative), neutral=rounded(neutral), positive=rounded(positive))


def materiality_out(level: int, background: float, relevant: float, urgent: float) -> Materiality:
    """A materiality with rounded probabilities."""
    return Materiality(level=level, background=rounded(background), relevant=rounded(relevant), urgent=rounded(urgent))


def article_out(article: ArticleAsOf, text: Literal["lead", "full"]) -> ArticleOut:
    """A stored article as the API returns it.

    Args:
        article: the stored article
        text: "lead" truncates the text to LEAD_CHARS characters

    Returns:
        The article; its URL is "" unless it is an http or https link.
    """
    truncated = text == "lead" and len(article.text) > LEAD_CHARS
    return ArticleOut(
        id=article.id,
        url=safe_url(article.url),
        source=article.source,
        genre=article.genre,
        language=article.language,
        title=article.title,
        text=article.text[:LEAD_CHARS] if truncated else article.text,
        truncated=truncated,
        published_at=article.published_at,
        fetched_at=article.fetched_at,
        story=article.story,
        flags=article.flags,
        sentiment=sentiment(article.p_negative, article.p_neutral, article.p_positive),
        tone=rounded(article.p_positive - article.p_negative),
        topics={topic: rounded(p) for topic, p in article.topics.items()},
        companies=tuple(
            CompanySentiment(
                company=each.company,
                sector=each.sector,
                role=each.role,
                sentiment=sentiment(each.p_negative, each.p_neutral, each.p_positive),
            )
            for each in article.companies
        ),
        materiality=materiality_out(article.materiality.level, *msgspec.structs.astuple(article.materiality))
        if article.materiality
        else None,
        model=article.model,
        scored_at=article.scored_at,
    )


def series_out(total: SeriesTotal) -> SeriesOut:
    """Totals of a series with its names in both languages."""
    return SeriesOut(
        series=total.series,
        name_en=series_name(total.series, "en"),
        name_zh=series_name(total.series, "zh"),
        stories=total.stories,
        negative=total.negative,
        negative_sources=total.negative_sources,
        tone=rounded(total.tone),
    )


def history_out(series: str, since: datetime, until: datetime, step_s: int, points: Sequence[SentimentPoint]) -> SeriesHistory:
    """A series over time with its names in both languages."""
    return SeriesHistory(
        series=series,
        name_en=series_name(series, "en"),
        name_zh=series_name(series, "zh"),
        since=since.astimezone(UTC),
        until=until.astimezone(UTC),
        step_s=step_s,
        points=tuple(
            SeriesPoint(start=point.start, stories=point.stories, negative=point.negative, tone=rounded(point.tone)) for point in points
        ),
    )


def alert_out(alert: Alert, lifecycle: AlertLifecycle) -> AlertOut:
    """An alert with its lifecycle."""
    return AlertOut(**msgspec.structs.asdict(alert), lifecycle=lifecycle)


def silence_out(silence: Silence, at: datetime) -> SilenceOut:
    """A silence with its state at a time."""
    return SilenceOut(**msgspec.structs.asdict(silence), status=silence.state(at))


def token_out(token: Token) -> TokenOut:
    """A token without the digest of its secret."""
    values = msgspec.structs.asdict(token)
    del values["digest"]
    return TokenOut(**values)
