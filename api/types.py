"""What the API answers. docs/api.md and the OpenAPI document are made of it. Times are in UTC."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from core.records import Alert
from domain.alert_lifecycle import AlertEvent, Life, Silence
from domain.alert_lifecycle.silences import SilenceState
from domain.tokens import Scope
from storage.store import Delivery, Label, Withheld


class Sentiment(msgspec.Struct, frozen=True, kw_only=True):
    """Calibrated probabilities that sum to 1."""

    negative: float
    neutral: float
    positive: float


class CompanySentiment(msgspec.Struct, frozen=True, kw_only=True):
    """What an article says of a company."""

    company: str
    sector: str
    sentiment: Sentiment


class ArticleOut(msgspec.Struct, frozen=True, kw_only=True):
    """An article with its score.

    cut: whether `text` goes on; tone: positive less negative; story: id of the first of its near-duplicates
    """

    id: str
    url: str
    source: str
    genre: str
    language: str
    title: str
    text: str
    cut: bool
    published_at: datetime
    fetched_at: datetime
    story: str
    flags: tuple[str, ...]
    sentiment: Sentiment
    tone: float
    topics: dict[str, float]
    companies: tuple[CompanySentiment, ...]
    model: str
    scored_at: datetime


class Articles(msgspec.Struct, frozen=True, kw_only=True):
    """A page. next: the cursor of the next one; "": there is none."""

    items: tuple[ArticleOut, ...]
    next: str


class SeriesOut(msgspec.Struct, frozen=True, kw_only=True):
    """A series over a stretch of time: distinct stories, negative ones, sources of those, mean tone."""

    series: str
    name_en: str
    name_zh: str
    stories: int
    negative: int
    negative_sources: int
    tone: float


class SeriesPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page. next: the cursor of the next one; "": there is none."""

    since: datetime
    until: datetime
    items: tuple[SeriesOut, ...]
    next: str


class MoodPointOut(msgspec.Struct, frozen=True, kw_only=True):
    """Distinct stories and mean tone in [start, start + step_s)."""

    start: datetime
    stories: int
    negative: int
    tone: float


class Mood(msgspec.Struct, frozen=True, kw_only=True):
    """A series over time; points without an article are left out. Points start at multiples of step_s since 1970."""

    series: str
    name_en: str
    name_zh: str
    since: datetime
    until: datetime
    step_s: int
    points: tuple[MoodPointOut, ...]


class AlertOut(Alert, frozen=True, kw_only=True, omit_defaults=False):
    """An alert with what became of it."""

    life: Life


class Alerts(msgspec.Struct, frozen=True, kw_only=True):
    """A page. next: the cursor of the next one; "": there is none."""

    items: tuple[AlertOut, ...]
    next: str


class AlertStory(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of an alert: what was done to it, who was told, and who was not and why."""

    alert: AlertOut
    events: tuple[AlertEvent, ...]
    deliveries: tuple[Delivery, ...]
    withheld: tuple[Withheld, ...]


class SilenceOut(Silence, frozen=True, kw_only=True):
    """A silence. status: whether it silences anything now (or at as_of)."""

    status: SilenceState


class Silences(msgspec.Struct, frozen=True, kw_only=True):
    """A page. next: the cursor of the next one; "": there is none."""

    items: tuple[SilenceOut, ...]
    next: str


class RuleOut(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that rings, and by what figures."""

    name: str
    parameters: dict[str, Any]


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules in force."""

    items: tuple[RuleOut, ...]


class WatchlistOut(msgspec.Struct, frozen=True, kw_only=True):
    """A watchlist as its file has it. filled: whether its past has been counted."""

    name: str
    series: str
    title_en: str
    title_zh: str
    companies: tuple[str, ...]
    topics: tuple[str, ...]
    keywords: tuple[str, ...]
    filled: bool


class Watchlists(msgspec.Struct, frozen=True, kw_only=True):
    """The watchlists of the settings."""

    items: tuple[WatchlistOut, ...]


class Labelled(msgspec.Struct, frozen=True, kw_only=True):
    """How many labels were kept."""

    kept: int


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """A page. next: the cursor of the next one; "": there is none."""

    items: tuple[Label, ...]
    next: str


class ClassifiedOut(msgspec.Struct, frozen=True, kw_only=True):
    """What the model says of a text. companies: those that it names, with the sentiment towards each."""

    language: str
    sentiment: Sentiment
    tone: float
    topics: dict[str, float]
    risks: dict[str, float]
    companies: tuple[CompanySentiment, ...]


class Classified(msgspec.Struct, frozen=True, kw_only=True):
    """One item a text, in order."""

    model: str
    items: tuple[ClassifiedOut, ...]


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one article. id, flags: of the one that was accepted; reason: why it was not."""

    index: int
    accepted: bool
    id: str = ""
    flags: tuple[str, ...] = ()
    reason: str = ""


class PushedAll(msgspec.Struct, frozen=True, kw_only=True):
    """One result an article, in order. What is accepted is safe: it is scored sooner or later, whatever breaks meanwhile."""

    accepted: int
    rejected: int
    results: tuple[Pushed, ...]


class TokenOut(msgspec.Struct, frozen=True, kw_only=True):
    """A token, without its secret: that is kept nowhere."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    author: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str
    used_at: datetime | None


class NewTokenOut(TokenOut, frozen=True, kw_only=True):
    """A token with its secret, which is not shown again."""

    token: str


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """All tokens that there ever were, the newest first."""

    items: tuple[TokenOut, ...]


class ScoreEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An article was scored. series: those that it touches."""

    article: ArticleOut
    series: tuple[str, ...]


class GapEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Events between these times may have been missed: read them from /articles and /alerts."""

    since: datetime
    until: datetime


class FieldError(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with one field. field: its path, such as "labels[2].task"."""

    field: str
    reason: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no answer (RFC 9457, application/problem+json)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: tuple[FieldError, ...] = ()
