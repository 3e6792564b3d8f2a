"""API backends besides the store: pushing articles, classifying texts, active rules and watchlists.

tocsin up          pushed articles ─▶ the parent's outbox (SQLite) ─▶ publisher ─▶ broker;  texts ─▶ the worker's model
tocsin dashboard   pushed articles ─▶ Kafka, acknowledged;                                  texts ─▶ a model loaded on demand
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.context import Backends
from api.requests import ArticleIn
from api.types import (
    Classified,
    ClassifiedOut,
    CompanySentiment,
    PushResult,
    RuleOut,
    WatchlistOut,
    materiality_out,
    rounded,
    sentiment,
)
from core.errors import BadRecord, BrokerError, ModelError
from core.kafka_address import place_of
from core.records import Article, encode, token_owner
from core.series import watchlist_series
from core.settings import Settings
from domain.alert_lifecycle import inhibitions
from ingest.articles import RawArticle, Stock, build_article
from ingest.crawl.identity import NOT_GUIDS
from ingest.kafka.outbox import Outbox
from ingest.kafka.producer import BoundedProducer
from ingest.text import clean_text
from ingest.text.urls import canonical
from models.inference.classifier import Classifier, Document, current_model
from storage.store import Store
from tocsin import wiring

if TYPE_CHECKING:
    from ingest.companies.gazetteer import Gazetteer

TIMEOUT_S = 10.0
"""How long a push waits for Kafka before the request fails with a retryable error."""
MAX_WAITING_REQUESTS = 4
"""Requests that may wait for the model; further ones fail with a retryable error."""


@contextlib.contextmanager
def backends(
    settings: Settings, store: Store, *, outbox: Path | None = None, model: Future[Classifier] | None = None
) -> Iterator[Backends]:
    """The API backends of these settings, open while inside.

    Args:
        settings: of this installation.
        store: for rules and watchlists.
        outbox: outbox of the process that publishes; None to send articles to Kafka directly, if the settings name one.
        model: a thread-safe classifier, once it is loaded; None to load one on demand.
    """
    gazetteer = cache(lambda: wiring.make_gazetteer(settings))
    with contextlib.ExitStack() as stack:
        push: ArticlePusher | None = None
        if outbox is not None:
            push = ArticlePusher(gazetteer, OutboxTarget(outbox))
        elif settings.broker != "embedded":
            push = ArticlePusher(gazetteer, KafkaTarget(BoundedProducer(settings.broker, wiring.names(settings).articles)))
        if push is not None:
            stack.callback(push.close)

        def load() -> Classifier:
            from models.inference.classifier import LockedClassifier

            return LockedClassifier(stack.enter_context(wiring.following_classifier(settings)))

        yield Backends(
            classify=TextClassifier(load if model is None else lambda: _shared(model), gazetteer) if settings.api_classify else None,
            push=push,
            rules=lambda: rules(settings, store),
            watchlists=_watchlists(settings, store),
            inhibit=inhibitions(settings.alert_inhibit),
            per_minute=settings.api_per_minute,
            streams=settings.api_streams,
        )


def _shared(model: Future[Classifier]) -> Classifier:
    if not model.done():
        raise ModelError("the model is still loading")
    return model.result()


def rules(settings: Settings, store: Store) -> list[RuleOut]:
    """The active rules: the detector and the user-defined rules. Raises UserError, StoreError."""
    made = wiring.active_rules(settings, store)
    parameters: list[dict[str, Any]] = [{"kind": "spike", **asdict(made.detector)}, *map(asdict, made.limit_rules)]
    return [RuleOut(name=each.pop("name"), parameters=each) for each in parameters]


def _watchlists(settings: Settings, store: Store) -> Callable[[], list[WatchlistOut]]:
    from tocsin.services.watchlist_service import CurrentWatchlists

    loaded = CurrentWatchlists(settings, store)

    def read() -> list[WatchlistOut]:
        filled = store.watchlists.filled()
        return [
            WatchlistOut(
                name=each.name,
                series=watchlist_series(each.name),
                title_en=each.title_en,
                title_zh=each.title_zh,
                companies=each.companies,
                topics=each.topics,
                keywords=tuple(term.text for term in each.terms),
                backfilled=filled.get(each.name) == each.digest,
            )
            for each in loaded()
        ]

    return read


class TextClassifier:
    """Implements api.context.Classify. load: loads a thread-safe classifier, called at the first request."""

    def __init__(self, load: Callable[[], Classifier], gazetteer: Callable[[], Gazetteer]) -> None:
        self._load, self._gazetteer = load, gazetteer
        self._classifier: Classifier | None = None
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(MAX_WAITING_REQUESTS)

    def __call__(self, texts: Sequence[str]) -> Classified:
        """Classify texts, one item each, in order. Raises ModelError."""
        if not self._room.acquire(blocking=False):
            raise ModelError("the model is busy")
        try:
            return self._classify(texts)
        finally:
            self._room.release()

    def _classify(self, texts: Sequence[str]) -> Classified:
        from ingest.text.clean_text import language

        with self._lock:
            if self._classifier is None:
                self._classifier = self._load()
        model = current_model(self._classifier)
        found = [self._gazetteer().mentions(text) for text in texts]
        documents = [
            Document(title=text, text="", language=language(text), companies=tuple(mention.surface for mention in mentions))
            for text, mentions in zip(texts, found, strict=True)
        ]
        return Classified(
            model=model.version,
            items=tuple(
                ClassifiedOut(
                    language=document.language,
                    sentiment=sentiment(*made.sentiment),
                    tone=rounded(made.sentiment.tone),
                    topics={topic: rounded(p) for topic, p in made.topics.items()},
                    risks={risk: rounded(p) for risk, p in made.risks.items()},
                    companies=tuple(
                        CompanySentiment(company=mention.company, sector=mention.sector, role=mention.role, sentiment=sentiment(*own))
                        for mention, own in zip(mentions, made.companies, strict=True)
                    ),
                    materiality=materiality_out(made.materiality.level, *made.materiality) if made.materiality else None,
                )
                for document, mentions, made in zip(documents, found, model.classify(documents), strict=True)
            ),
        )


class ArticlePusher:
    """Implements api.context.Push. target: where articles go."""

    def __init__(self, gazetteer: Callable[[], Gazetteer], target: OutboxTarget | KafkaTarget) -> None:
        self._gazetteer, self._target = gazetteer, target

    def __call__(self, given: Sequence[ArticleIn], now: datetime, token: str) -> list[PushResult]:
        """Push articles; one result each. token: its name. Raises BrokerError, StoreError."""
        results: dict[int, PushResult] = {}
        built: dict[int, Article] = {}
        for index, each in enumerate(given):
            try:
                built[index] = build_article(_raw(each, token), fetched_at=now, zone=UTC, gazetteer=self._gazetteer())
                encode(built[index])
            except BadRecord as error:
                built.pop(index, None)
                results[index] = PushResult(index=index, accepted=False, reason=error.reason)
        rejected = self._target.send(built)
        for index, article in built.items():
            why = rejected.get(index, "")
            results[index] = (
                PushResult(index=index, accepted=False, reason=why)
                if why
                else PushResult(index=index, accepted=True, id=article.id, flags=article.flags)
            )
        return [results[index] for index in range(len(given))]

    def close(self) -> None:
        """Close the target. May be called twice."""
        self._target.close()


def _raw(given: ArticleIn, token: str) -> RawArticle:
    """A pushed article. With a guid and a URL both identify it: a program may push several articles of one page."""
    guid = "" if given.guid.strip().lower() in NOT_GUIDS else given.guid
    return RawArticle(
        source=given.source,
        url=given.url,
        guid=f"{guid} {canonical(given.url)}" if guid else "",
        guid_first=True,
        trust="push",
        owner=token_owner(token, clean_text.clean(given.source)),
        title=given.title,
        text=given.text,
        published=given.published_at or "",
        language=given.language or "",
        genre=given.genre,
        stocks=tuple(Stock(code, "") for code in given.companies),
    )


class OutboxTarget:
    """The outbox of the process that publishes; articles in it survive crashes and power failures."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._outbox: Outbox | None = None
        self._lock = threading.Lock()

    def send(self, articles: dict[int, Article]) -> dict[int, str]:
        """Store all articles or none. Raises StoreError, BrokerError if the outbox is full."""
        with self._lock:
            outbox = self._outbox = self._outbox or Outbox(self._path, durable_broker=True, append_only=True)
        if outbox.full:
            raise BrokerError(f"the outbox is full ({outbox.counts().size} bytes)")
        outbox.put(articles.values())
        return {}

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._outbox is not None:
                self._outbox.close()


class KafkaTarget:
    """The topic `articles`, acknowledged by all in-sync replicas. One request at a time, as the producer is for one thread."""

    def __init__(self, producer: BoundedProducer, timeout_s: float = TIMEOUT_S) -> None:
        self._producer, self._timeout_s = producer, timeout_s
        self._lock = threading.Lock()

    def send(self, articles: dict[int, Article]) -> dict[int, str]:
        """Send articles. Returns index to reason for those that Kafka rejects. Raises BrokerError; some may still have arrived."""
        if not self._lock.acquire(timeout=self._timeout_s):
            raise BrokerError("other requests are being sent to Kafka")
        try:
            return self._send(articles)
        except BrokerError:
            self._producer.reset()  # the client sends the articles again, with the same ids
            raise
        finally:
            self._lock.release()

    def _send(self, articles: dict[int, Article]) -> dict[int, str]:
        deadline = time.monotonic() + self._timeout_s
        rejected: dict[int, str] = {}
        for index, article in articles.items():
            self._producer.send(index, article.id.encode(), encode(article))
        while self._producer.in_flight:
            for done in self._producer.delivery_reports():
                if done.error and not done.fatal:
                    raise BrokerError(f"Kafka at {place_of(self._producer.bootstrap)}: {done.error}")
                if done.error:
                    rejected[done.token] = f"rejected by Kafka: {done.error}"
            if time.monotonic() > deadline:
                raise BrokerError(
                    f"Kafka at {place_of(self._producer.bootstrap)} has not acknowledged all articles within {self._timeout_s:.0f} s"
                )
            if self._producer.in_flight:
                self._producer.wake.wait(0.1)
        return rejected

    def close(self) -> None:
        """Close the producer."""
        self._producer.close()
