"""A batch as it comes from Kafka, and what becomes of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar

import msgspec

from core.errors import BadRecord
from core.records import Article, CompanyScore, Score, decode
from models.inference.classifier import Prediction
from storage.store import DeadLetter, ArticleKey

RecordT = TypeVar("RecordT")


class Raw(NamedTuple):
    """One message as Kafka holds it. key and value may be None; a value of None is a tombstone."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


class Batch(NamedTuple):
    """What `score` made of a batch: the scores to publish, the records set aside, and how many articles were scored or known already."""

    scores: list[Score]
    dead: list[DeadLetter]
    scored: int
    repeated: int


def dead_letter(raw: Raw, stage: str, reason: str, now: datetime) -> DeadLetter:
    """`raw` set aside."""
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


def read(messages: Iterable[Raw], kind: type[RecordT], now: datetime) -> tuple[list[tuple[Raw, RecordT]], list[DeadLetter]]:
    """The records of a batch, in order, and the messages that hold none."""
    good: list[tuple[Raw, RecordT]] = []
    dead: list[DeadLetter] = []
    for raw in messages:
        try:
            good.append((raw, decode(raw.value, kind)))
        except BadRecord as error:
            dead.append(dead_letter(raw, error.stage, error.reason, now))
    return good, dead


def latest_versions(articles: Sequence[tuple[Raw, Article]]) -> list[tuple[Raw, Article]]:
    """The last version of each article, at the place of its first; as when they came one by one, the first one's time stays."""
    versions: dict[str, tuple[Raw, Article]] = {}
    for raw, article in articles:
        first = versions.get(article.id)
        if first is not None:
            article = msgspec.structs.replace(article, published_at=first[1].published_at)  # noqa: PLW2901
        versions[article.id] = (raw, article)
    return list(versions.values())


def as_known(article: Article, known: ArticleKey | None) -> Article:
    """The article with the time at which it was first published: the rows that replace each other are keyed by it."""
    if known is None:
        return article
    return msgspec.structs.replace(article, published_at=known.published_at)


def mentioned(article: Article) -> dict[str, tuple[str, str]]:
    """Company to (surface, sector), each company once."""
    companies: dict[str, tuple[str, str]] = {}
    for mention in article.mentions:
        companies.setdefault(mention.company, (mention.surface, mention.sector))
    return companies


def score_of(article: Article, prediction: Prediction, story: str, model: str, now: datetime) -> Score:
    """The record of what `model` said of `article`."""
    companies = tuple(
        CompanyScore(company=company, sector=sector, p_negative=_share(own[0]), p_neutral=_share(own[1]), p_positive=_share(own[2]))
        for (company, (_, sector)), own in zip(mentioned(article).items(), prediction.companies, strict=True)
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
        model=model,
        scored_at=now,
    )


def _share(p: float) -> float:
    """Into [0, 1]: single precision may end a hair outside."""
    return min(1.0, max(0.0, float(p)))
