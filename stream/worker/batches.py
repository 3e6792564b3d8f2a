"""Batches of Kafka messages, and what becomes of them: records, dead letters, stories and scores. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar

import msgspec

from core.errors import BadRecord
from core.records import Article, CompanyScore, MaterialityScore, Score, decode
from models.inference.classifier import Materiality, Prediction
from storage.store import ArticleKey, DeadLetter

RecordT = TypeVar("RecordT")


class RawMessage(NamedTuple):
    """A message as Kafka holds it. key and value may be None; a value of None is a tombstone."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


class BatchResult(NamedTuple):
    """The result of scoring a batch.

    scores: to publish
    dead: messages that became dead letters
    scored, repeated: numbers of articles that were scored, and that were stored unchanged before
    """

    scores: list[Score]
    dead: list[DeadLetter]
    scored: int
    repeated: int


def dead_letter(raw: RawMessage, stage: str, reason: str, now: datetime) -> DeadLetter:
    """The dead letter of a message."""
    return DeadLetter(
        topic=raw.topic,
        partition=raw.partition,
        offset=raw.offset,
        failed_at=now,
        stage=stage,
        reason=reason[:1000],
        key=raw.key or b"",
        value=raw.value or b"",
    )


def decode_batch(
    messages: Iterable[RawMessage], kind: type[RecordT], now: datetime
) -> tuple[list[tuple[RawMessage, RecordT]], list[DeadLetter]]:
    """Decodes a batch: the messages with their records, in order, and dead letters for those that cannot be decoded."""
    good: list[tuple[RawMessage, RecordT]] = []
    dead: list[DeadLetter] = []
    for raw in messages:
        try:
            good.append((raw, decode(raw.value, kind)))
        except BadRecord as error:
            dead.append(dead_letter(raw, error.stage, error.reason, now))
    return good, dead


def latest_versions(articles: Sequence[tuple[RawMessage, Article]]) -> list[tuple[RawMessage, Article]]:
    """The last version of each article, at the position and with the publication time of the first."""
    versions: dict[str, tuple[RawMessage, Article]] = {}
    for raw, article in articles:
        first = versions.get(article.id)
        if first is not None:
            article = msgspec.structs.replace(article, published_at=first[1].published_at)  # noqa: PLW2901
        versions[article.id] = (raw, article)
    return list(versions.values())


def with_stored_time(article: Article, known: ArticleKey | None) -> Article:
    """The article with the publication time of its stored version, which is part of the key of its rows."""
    if known is None:
        return article
    return msgspec.structs.replace(article, published_at=known.published_at)


def mentioned_companies(article: Article) -> dict[str, tuple[str, str]]:
    """From company to (surface form, sector) of its first mention."""
    companies: dict[str, tuple[str, str]] = {}
    for mention in article.mentions:
        companies.setdefault(mention.company, (mention.surface, mention.sector))
    return companies


def score_of(article: Article, prediction: Prediction, story: str, model: str, now: datetime) -> Score:
    """The score record of an article. model: version of the model"""
    roles = {mention.company: mention.role for mention in reversed(article.mentions)}
    companies = tuple(
        CompanyScore(
            company=company,
            sector=sector,
            role=roles[company],
            p_negative=_share(own[0]),
            p_neutral=_share(own[1]),
            p_positive=_share(own[2]),
        )
        for (company, (_, sector)), own in zip(mentioned_companies(article).items(), prediction.companies, strict=True)
    )
    negative, neutral, positive = prediction.sentiment
    return Score(
        id=article.id,
        source=article.source,
        genre=article.genre,
        language=article.language,
        published_at=article.published_at,
        story=story,
        p_negative=_share(negative),
        p_neutral=_share(neutral),
        p_positive=_share(positive),
        topics={topic: _share(p) for topic, p in prediction.topics.items()},
        risks={risk: _share(p) for risk, p in prediction.risks.items()},
        companies=companies,
        materiality=_materiality(prediction.materiality),
        counts=article.counts,
        model=model,
        scored_at=now,
    )


def _materiality(levels: Materiality | None) -> MaterialityScore | None:
    if levels is None:
        return None
    return MaterialityScore(p_background=_share(levels.background), p_relevant=_share(levels.relevant), p_urgent=_share(levels.urgent))


def _share(p: float) -> float:
    """Clamped to [0, 1]: single precision may be slightly outside."""
    return min(1.0, max(0.0, float(p)))
