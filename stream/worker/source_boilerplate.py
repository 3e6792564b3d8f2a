"""The boilerplate of each source: learned from the stream, kept in the store, removed from what the model and the story grouping read.

    article ─▶ patterns ─▶ repeats of its source ─▶ canonical text ─▶ model, prediction cache
                  │                    │
                  │                    └─▶ LSH bands, lead ─▶ story
                  └─▶ learner, after the article is stored ─▶ source_repeats ─▶ all workers, dashboard

The stored article keeps its text. Several workers learn from their own partitions and use what any of them has learned.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from core import log, metrics
from core.records import Article, Score
from core.taxonomy import sentiment_of
from ingest.text.copies import Lead, lead_of
from ingest.text.near_duplicates import lsh_bands, without_frame
from models.inference.boilerplate import CleanedText, remove_boilerplate
from models.inference.canonical import model_text, without_patterns
from models.inference.repeats import NO_REPEATS, Repeat, RepeatLearner, Repeats, repeats_by_source
from storage.store import RepeatTable, StoredRepeat

POLL_INTERVAL = timedelta(seconds=30)
"""Interval in which what other workers learned is read."""
RENEW_INTERVAL = timedelta(hours=1)
"""Interval in which the share of a known repeat is stored again."""
SHARE_STEP = 0.05
"""Change of a share that is stored at once."""

_log = log.get_logger(__name__)


class ArticleText(NamedTuple):
    """How an article is read.

    plain: without the boilerplate that patterns recognise, from which repeats are learned
    model_text: what the model reads; copies with the same model_text get the same prediction
    lsh_bands: of the text without boilerplate
    repeats: the removed repeats of its source
    lead: without boilerplate, as copies are compared
    """

    plain: CleanedText
    model_text: str
    lsh_bands: tuple[int, ...]
    repeats: tuple[str, ...]
    lead: Lead


def read_article(article: Article, repeats: Repeats = NO_REPEATS) -> ArticleText:
    """The article without boilerplate. repeats: of its source"""
    plain = without_patterns(article.title, article.text)
    parts = remove_boilerplate(plain.title, plain.text, repeats) if repeats != NO_REPEATS else plain._replace(boilerplate=())
    removed = plain.boilerplate or parts.boilerplate
    return ArticleText(
        plain,
        model_text(parts.title, parts.text),
        lsh_bands(parts.title, parts.text) if removed and article.lsh_bands else article.lsh_bands,
        parts.boilerplate,
        lead_of(parts.title, without_frame(parts.text)),
    )


class SourceBoilerplate:
    """The repeats of all sources. `current` and `learn` may run in different threads.

    Args:
        table: retries its calls (stream.retry.retrying).
    """

    def __init__(self, table: RepeatTable) -> None:
        self._table, self._learner, self._lock = table, RepeatLearner(), threading.Lock()
        self._polled_at = datetime.min.replace(tzinfo=UTC)
        self._stored: dict[str, dict[tuple[str, str], StoredRepeat]] = {}
        self._repeats: dict[str, Repeats] = {}

    def current(self, now: datetime) -> Mapping[str, Repeats]:
        """Source to its repeats; the object returned does not change. Raises StoreError."""
        with self._lock:
            if now - self._polled_at >= POLL_INTERVAL:
                found: dict[str, dict[tuple[str, str], StoredRepeat]] = {}
                for each in self._table.all():
                    found.setdefault(each.source, {})[each.place, each.text] = each
                self._use(found)
                self._polled_at = now
            return self._repeats

    def learn(self, articles: Iterable[tuple[Score, ArticleText]], now: datetime) -> None:
        """Learns from articles after they are stored. Raises StoreError."""
        for score, text in articles:
            label, _ = sentiment_of(score.p_negative, score.p_neutral, score.p_positive)
            self._learner.add(score.source, text.plain.title, text.plain.text, label)
            if text.repeats:
                metrics.BOILERPLATE.labels(score.source).inc()
        for source in self._learner.due():
            with self._lock:
                self._learn(source, now)

    def _learn(self, source: str, now: datetime) -> None:
        before = self._stored.get(source, {})
        found, is_full = self._learner.learn(source, self._repeats.get(source, NO_REPEATS))
        after: dict[tuple[str, str], StoredRepeat] = {(each.place, each.text): _stored(source, each, now) for each in found}
        ended = [_ended(each, now) for key, each in before.items() if key not in after] if is_full else []
        if not is_full:
            after = before | after
        changed = [each for key, each in after.items() if _is_news(each, before.get(key))]
        if not (changed or ended):
            return
        self._table.put([*changed, *ended])
        for each in (*changed, *ended):
            if each.ended or (each.place, each.text) not in before:
                event = "boilerplate_ended" if each.ended else "boilerplate_learned"
                _log.info(event, source=source, place=each.place, text=each.example, share=round(each.share, 3))
        self._use(self._stored | {source: {key: each if each in changed else before[key] for key, each in after.items()}})

    def _use(self, stored: dict[str, dict[tuple[str, str], StoredRepeat]]) -> None:
        self._stored = {source: own for source, own in stored.items() if own}
        self._repeats = repeats_by_source((each.source, each.place, each.text) for own in self._stored.values() for each in own.values())
        for source, own in stored.items():
            metrics.BOILERPLATE_REPEATS.labels(source).set(len(own))


def _is_news(each: StoredRepeat, before: StoredRepeat | None) -> bool:
    """Whether a repeat is new, or differs enough from what is stored."""
    return before is None or abs(each.share - before.share) >= SHARE_STEP or each.at - before.at >= RENEW_INTERVAL


def _stored(source: str, each: Repeat, now: datetime) -> StoredRepeat:
    return StoredRepeat(source=source, place=each.place, text=each.text, example=each.example, texts=each.texts, total=each.total, at=now)


def _ended(each: StoredRepeat, now: datetime) -> StoredRepeat:
    return StoredRepeat(
        source=each.source, place=each.place, text=each.text, example=each.example, texts=0, total=each.total, at=now, ended=True
    )
