"""What the store holds -> what the API answers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec

from api import types
from core.records import Alert
from core.series import series_name
from core.untrusted_text import safe_url
from domain.alert_lifecycle import Life, Silence
from domain.tokens import Token
from storage.store import KnownArticle, MoodPoint, SeriesTotal

LEAD_CHARS = 300


def share(value: float) -> float:
    """A probability, or a difference of two, to what single precision has of it."""
    return round(value, 6)


def sentiment(negative: float, neutral: float, positive: float) -> types.Sentiment:
    """Three probabilities."""
    return types.Sentiment(negative=share(negative), neutral=share(neutral), positive=share(positive))


def article_out(article: KnownArticle, text: Literal["lead", "full"]) -> types.ArticleOut:
    """An article. A url that cannot be followed safely is left out."""
    cut = text == "lead" and len(article.text) > LEAD_CHARS
    return types.ArticleOut(
        id=article.id,
        url=safe_url(article.url),
        source=article.source,
        genre=article.genre,
        language=article.language,
        title=article.title,
        text=article.text[:LEAD_CHARS] if cut else article.text,
        cut=cut,
        published_at=article.published_at,
        fetched_at=article.fetched_at,
        story=article.story,
        flags=article.flags,
        sentiment=sentiment(article.p_negative, article.p_neutral, article.p_positive),
        tone=share(article.p_positive - article.p_negative),
        topics={topic: share(p) for topic, p in article.topics.items()},
        companies=tuple(
            types.CompanySentiment(
                company=each.company, sector=each.sector, sentiment=sentiment(each.p_negative, each.p_neutral, each.p_positive)
            )
            for each in article.companies
        ),
        model=article.model,
        scored_at=article.scored_at,
    )


def series_out(total: SeriesTotal) -> types.SeriesOut:
    """A series with its names."""
    return types.SeriesOut(
        series=total.series,
        name_en=series_name(total.series, "en"),
        name_zh=series_name(total.series, "zh"),
        stories=total.stories,
        negative=total.negative,
        negative_sources=total.negative_sources,
        tone=share(total.tone),
    )


def mood_out(series: str, since: datetime, until: datetime, step_s: int, points: Sequence[MoodPoint]) -> types.Mood:
    """A series over time."""
    return types.Mood(
        series=series,
        name_en=series_name(series, "en"),
        name_zh=series_name(series, "zh"),
        since=since.astimezone(UTC),
        until=until.astimezone(UTC),
        step_s=step_s,
        points=tuple(
            types.MoodPointOut(start=point.start, stories=point.stories, negative=point.negative, tone=share(point.tone))
            for point in points
        ),
    )


def alert_out(alert: Alert, life: Life) -> types.AlertOut:
    """An alert with its life."""
    return types.AlertOut(**msgspec.structs.asdict(alert), life=life)


def silence_out(silence: Silence, at: datetime) -> types.SilenceOut:
    """A silence with its state at a time."""
    return types.SilenceOut(**msgspec.structs.asdict(silence), status=silence.state(at))


def token_out(token: Token) -> types.TokenOut:
    """A token without the digest of its secret."""
    values = msgspec.structs.asdict(token)
    del values["digest"]
    return types.TokenOut(**values)
