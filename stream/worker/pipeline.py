"""The three steps from articles to delivered alerts, as blocking functions that do not know Kafka:

    messages ─▶ score (classify_batch, store_batch) ─▶ scores ─▶ watch ─▶ alerts ─▶ notify ─▶ deliveries
                                                       (clock) ─▶ check_outages ─┘

Delivery is at least once, so each step may receive anything twice, in other batches, after a crash at any point. Therefore stored rows
replace themselves, the keys of articles (`store.articles.insert_keys`) are written last, and what is known already is not processed again
but is passed on again. State in memory only saves work; a restart does not need it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple, TypeVar

import msgspec

from core import log, metrics
from core.chunks import chunks
from core.records import Alert, Article, Score, Scored, is_material, text_fingerprint
from core.settings import Settings
from core.taxonomy import sentiment_of
from models.inference.classifier import Classifier, Document, Prediction, current_model, run_smoke_test
from models.inference.repeats import NO_REPEATS
from storage.store import ArticleKey, DeadLetter, Delivery, Revision, Store, StoryLead
from stream.delivery.delivery_scheduler import DeliveryScheduler
from stream.delivery.group_planner import GroupPlanner
from stream.delivery.suppression import SuppressionPolicy, Suppressor
from stream.delivery.webhooks import Webhooks
from stream.detection.auto_resolve import AutoResolver
from stream.detection.evaluator import AlertEvaluator
from stream.detection.limit_rule import LimitRule
from stream.detection.outage import OutageRule
from stream.detection.outage_monitor import OutageMonitor
from stream.detection.rules import AlertRules
from stream.detection.sentiment_guard import SentimentGuard
from stream.detection.spike_rule import SpikeRule
from stream.retry import DutyCycle, RetryPolicy, isolate, retry_each, retrying
from stream.watchlists.matcher import Matcher, MatcherUpdates, NoMatcherUpdates
from stream.worker.batches import (
    BatchResult,
    RawMessage,
    dead_letter,
    decode_batch,
    latest_versions,
    mentioned_companies,
    score_of,
    with_stored_time,
)
from stream.worker.circuit_breaker import CircuitBreaker, load_circuit_breaker
from stream.worker.dead_letters import DeadLetterWriter, is_rejection
from stream.worker.ownership import link_of, linked_article, separate_owners
from stream.worker.prediction_cache import PredictionCache
from stream.worker.progress import LostMessages
from stream.worker.source_boilerplate import ArticleText, SourceBoilerplate, read_article
from stream.worker.stories import find_stories

RULE_POLL_INTERVAL = timedelta(seconds=30)

RecordT = TypeVar("RecordT", Article, Score, Alert)
_log = log.get_logger(__name__)


class ClassifiedBatch(NamedTuple):
    """A batch of articles that are classified but not stored.

    articles: the last version of each
    messages: the message of each article, by its id
    known: the stored keys of the articles
    overlapping: ids that the previous batch has too; their stored keys may have changed since
    predictions: by article id, of all articles that were new or changed
    texts: by article id, how these articles are read
    dead: dead letters
    model: version of the model
    topic, message_count: of the batch
    """

    articles: list[Article]
    messages: dict[str, RawMessage]
    known: dict[str, ArticleKey]
    overlapping: list[str]
    predictions: dict[str, Prediction]
    texts: dict[str, ArticleText]
    dead: list[DeadLetter]
    model: str
    topic: str
    message_count: int


class Pipeline:
    """The steps over one store. Each step belongs to one thread; different steps may run at the same time."""

    def __init__(
        self,
        classifier: Classifier,
        store: Store,
        rule: SpikeRule,
        webhooks: Webhooks | None = None,
        *,
        retry: RetryPolicy | None = None,
        duty_cycle: DutyCycle | None = None,
        circuit_breaker: CircuitBreaker | None = None,
        matcher: Matcher | None = None,
        broker_run: str = "",
        suppression: SuppressionPolicy | None = None,
        resolve_after_s: float = 3600.0,
        limit_rules: Sequence[LimitRule] = (),
        outage_rule: OutageRule | None = None,
        rule_updates: Callable[[], AlertRules | None] = lambda: None,
        matcher_updates: MatcherUpdates | None = None,
    ) -> None:
        """Connects the steps.

        Args:
            classifier: scores articles.
            store: articles, scores, alerts and deliveries.
            rule: of the spike detector.
            webhooks: the endpoints; None for none.
            retry: of calls to the store.
            duty_cycle: limits the share of time of evaluation.
            circuit_breaker: stops the worker when too many records are unusable; None never does.
            matcher: of the watchlists.
            broker_run: see DeadLetterWriter.
            suppression: quiet hours and inhibition.
            resolve_after_s: time without a breach after which an alert is resolved.
            limit_rules: rules with fixed limits.
            outage_rule: of source outages.
            rule_updates: polled for changed rules; returns None while there are none.
            matcher_updates: polled for changed watchlists.
        """
        self._classifier = classifier
        self._store = store = retrying(store, retry or RetryPolicy())
        self._rule = rule
        self._webhooks = webhooks or Webhooks(())
        suppressor = Suppressor(store, suppression or SuppressionPolicy())
        planner = GroupPlanner(store, suppressor, self._webhooks.groupings)
        self._scheduler = DeliveryScheduler(self._webhooks, store.alerts, suppressor, planner=planner, replays=store.replays)
        self._resolver = AutoResolver(store, resolve_after_s)
        self._prediction_cache, self._boilerplate = PredictionCache(), SourceBoilerplate(store.repeats)
        self._matcher, self._matcher_updates = matcher or Matcher(), matcher_updates or NoMatcherUpdates()
        self._previous_owners: dict[str, str] = {}
        self._rule_updates, self._rules_polled_at = rule_updates, datetime.min.replace(tzinfo=UTC)
        self._duty_cycle = duty_cycle or DutyCycle()
        self._new_evaluator = partial(AlertEvaluator, store, rule, self._duty_cycle, limit_rules)
        self._evaluator = self._new_evaluator()
        self._new_outage_monitor = partial(OutageMonitor, store, outage_rule or OutageRule())
        self._outage_monitor = self._new_outage_monitor()
        self._sentiment_guard = SentimentGuard(store.health)
        self._dead_letters = DeadLetterWriter(store, circuit_breaker or CircuitBreaker(max_ratio=1.0), broker_run)
        self._last_stored: Scored | None = None

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        store: Store,
        classifier: Classifier,
        *,
        matcher: Matcher | None = None,
        rules: AlertRules | None = None,
        broker_run: str = "",
        rule_updates: Callable[[], AlertRules | None] = lambda: None,
        matcher_updates: MatcherUpdates | None = None,
    ) -> Pipeline:
        """The pipeline of the settings. rules: None for the spike detector alone; the other arguments as in __init__.

        Raises:
            SettingsError: an endpoint cannot work.
            StoreError: the store is unavailable.
        """
        rules = rules or AlertRules(SpikeRule.from_settings(settings))
        circuit_breaker = load_circuit_breaker(settings.dead_letter_max_ratio, store, datetime.now(UTC))
        webhooks = Webhooks(settings.webhooks, link_base=settings.dashboard_url)
        return cls(
            classifier,
            store,
            rules.detector,
            webhooks,
            circuit_breaker=circuit_breaker,
            matcher=matcher,
            broker_run=broker_run,
            suppression=SuppressionPolicy.from_settings(settings, webhooks.labels),
            resolve_after_s=settings.alert_resolve_after_s,
            limit_rules=rules.limit_rules,
            outage_rule=OutageRule.from_settings(settings),
            rule_updates=rule_updates,
            matcher_updates=matcher_updates,
        )

    def close(self) -> None:
        """Closes the connections to the endpoints; the store belongs to the caller."""
        self._matcher_updates.close()
        self._webhooks.close()

    # articles ─▶ scores

    def score(self, messages: Sequence[RawMessage], now: datetime) -> BatchResult:
        """Scores and stores a batch of `articles`; the result may be published. Raises as `classify_batch` and `store_batch`."""
        return self.store_batch(self.classify_batch(messages, now), now)

    def classify_batch(self, messages: Sequence[RawMessage], now: datetime) -> ClassifiedBatch:
        """Decodes a batch and classifies the articles that may be new. The previous batch need not be stored yet.

        Raises:
            StoreUnavailable: the store did not answer in time.
            ModelError: the model fails on every article.
        """
        began = time.monotonic()
        good, dead = decode_batch(messages, Article, now)
        known = self._known(list({article.id for _, article in good}))
        previous = self._previous_owners
        good, copies = separate_owners(good, previous | {key: found.owner for key, found in known.items()})
        known |= self._known(list({article.id for article in copies}))
        for article in copies:
            metrics.COPIES.labels(article.source).inc()
        sources = {article.id: raw for raw, article in good}
        self._previous_owners = {article.id: article.revised_by for _, article in good}
        articles = [article for _, article in latest_versions(good)]
        model = current_model(self._classifier)  # one version scores the whole batch, even if another is promoted meanwhile
        changed = [a for a in articles if a.id in previous or not _is_unchanged(a, known.get(a.id), model.version)]
        texts: dict[str, ArticleText] = {}
        repeats = self._boilerplate.current(now)

        def classify(some: Sequence[Article]) -> list[Prediction]:
            texts.update((article.id, read_article(article, repeats.get(article.source, NO_REPEATS))) for article in some)
            return _classify(self._prediction_cache, model, some, texts)

        predicted, failed = isolate(changed, classify, lambda error: isinstance(error, Exception))
        if failed:
            run_smoke_test(model)  # an article is at fault only if the model works without it and fails with it again
            recovered, failed = retry_each(failed, classify)
            predicted += recovered
        dead += [dead_letter(sources[article.id], "model", f"{type(error).__name__}: {error}", now) for article, error in failed]
        failed_ids = {article.id for article, _ in failed}
        predictions = {article.id: prediction for article, prediction in predicted}
        _observe("classify", began)
        return ClassifiedBatch(
            articles=[_with_bands(article, texts) for article in articles if article.id not in failed_ids],
            messages=sources,
            known=known,
            overlapping=sorted(previous.keys() & sources.keys()),
            predictions=predictions,
            texts=texts,
            dead=dead,
            model=model.version,
            topic=messages[0].topic if messages else "",
            message_count=len(messages),
        )

    def store_batch(self, batch: ClassifiedBatch, now: datetime) -> BatchResult:
        """Stores a batch after the previous one is stored; the result may be published.

        Raises:
            StoreUnavailable: the store did not answer in time.
            StoreError: the store accepts no row at all.
            CircuitOpen: too many records are unusable.

        After any of these, nothing of the batch may be acknowledged.
        """
        began = time.monotonic()
        known = batch.known | self._known(batch.overlapping)
        version, dead = batch.model, list(batch.dead)
        articles = [with_stored_time(article, known.get(article.id)) for article in batch.articles]
        repeated = {a.id: known[a.id] for a in articles if _is_unchanged(a, known.get(a.id), version)}
        changed = [article for article in articles if article.id not in repeated]
        stories = self._stories(batch, changed, known)
        scored = [Scored(article=a, score=score_of(a, batch.predictions[a.id], stories[a.id], version, now)) for a in changed]
        self._matcher = self._matcher_updates() or self._matcher
        self._store_revisions(scored, known, now)
        stored, rejected = self._store_scored(self._matcher.add_watchlists(scored), batch.texts)
        dead += [dead_letter(batch.messages[item.article.id], "store", str(error), now) for item, error in rejected]
        self._dead_letters.write(dead, batch.topic, batch.message_count)
        self._store.articles.insert_keys(stored)
        self._boilerplate.learn([(item.score, batch.texts[item.article.id]) for item in stored], now)
        _observe("store", began)

        self._count(stored, len(repeated), known, now)
        scores = [item.score for item in stored] + self._stored_scores(repeated, now)
        return BatchResult(scores, dead, len(stored), len(repeated))

    def _known(self, ids: Sequence[str]) -> dict[str, ArticleKey]:
        found: dict[str, ArticleKey] = {}
        for some in chunks(ids):
            found |= self._store.articles.keys(some)
        return found

    def _stories(self, batch: ClassifiedBatch, articles: Sequence[Article], known: Mapping[str, ArticleKey]) -> dict[str, str]:
        """From article id to story: its stored story, else that of a copy, else its own id."""
        new = [article for article in articles if article.id not in known]
        found = find_stories(self._store, new, {article.id: batch.texts[article.id].lead for article in new})
        return found | {article.id: known[article.id].story for article in articles if article.id in known}

    def _store_revisions(self, scored: Sequence[Scored], known: Mapping[str, ArticleKey], now: datetime) -> None:
        """Stores the versions that new texts are about to replace. One whose replacement is stored already was stored before it."""
        revised = {item.article.id: item for item in scored if item.article.id in known}
        revised = {key: item for key, item in revised.items() if known[key].fingerprint != item.article.fingerprint}
        for some in chunks(list(revised)):
            rows = self._store.articles.at({key: known[key].published_at for key in some})
            replaced = [row for row in rows if text_fingerprint(row.title, row.text) == known[row.id].fingerprint]
            revisions = [
                Revision(
                    id=row.id,
                    source=row.source,
                    at=now,
                    fingerprint=known[row.id].fingerprint,
                    title=row.title,
                    text=row.text,
                    p_negative=row.p_negative,
                    p_neutral=row.p_neutral,
                    p_positive=row.p_positive,
                    model=row.model,
                    sentiment=sentiment_of(row.p_negative, row.p_neutral, row.p_positive)[0],
                    next_sentiment=sentiment_of(after.p_negative, after.p_neutral, after.p_positive)[0],
                )
                for row in replaced
                for after in (revised[row.id].score,)
            ]
            self._store.revisions.insert(revisions)
            for each in revisions:
                if each.sentiment != each.next_sentiment:
                    metrics.SENTIMENT_CHANGES.labels(each.sentiment, each.next_sentiment).inc()

    def _store_scored(
        self, scored: Sequence[Scored], texts: Mapping[str, ArticleText]
    ) -> tuple[list[Scored], list[tuple[Scored, Exception]]]:
        """Stores articles and mentions; returns those that were stored and those that the store rejects permanently."""

        def write(items: Sequence[Scored]) -> Sequence[Scored]:
            self._store.articles.insert(items)
            first = [item for item in items if item.score.story == item.article.id and item.article.id in texts and item.score.counts]
            self._store.articles.insert_leads(
                {each.score.id: StoryLead(each.score.published_at, texts[each.score.id].lead.stored()) for each in first}
            )
            self._store.mentions.insert([item.score for item in items])
            self._store.links.insert([linked_article(item.article, item.score.story) for item in items if link_of(item.article)])
            return items

        stored, rejected = isolate(scored, write, is_rejection)
        if stored:
            self._last_stored = stored[-1][0]
        elif rejected and self._last_stored is None:
            raise rejected[0][1]  # there is no evidence that the store accepts any row
        elif rejected and self._last_stored is not None:
            write([self._last_stored])  # the rows are at fault only if the store still accepts one that it accepted before
        return [item for item, _ in stored], rejected

    def _stored_scores(self, repeated: dict[str, ArticleKey], now: datetime) -> list[Score]:
        """The stored scores of repeated articles: a crash may have happened between storing and publishing them.

        Only of articles recent enough for `watch`, so that loading an archive again costs nothing.
        """
        oldest = now - timedelta(seconds=self._rule.max_age_s)
        recent = {key: known.published_at for key, known in repeated.items() if known.published_at >= oldest}
        found: list[Score] = []
        for some in chunks(list(recent)):
            since, until = min(recent.values()), max(recent.values()) + timedelta(seconds=1)
            found += self._store.articles.scores(some, since, until)
        return found

    def _count(self, stored: Sequence[Scored], repeated: int, known: dict[str, ArticleKey], now: datetime) -> None:
        elapsed_s = (datetime.now(UTC) - now).total_seconds()
        metrics.REPEATED.inc(repeated)
        before = [(item.article, known[item.article.id]) for item in stored if item.article.id in known]
        metrics.UPDATED.inc(sum(article.fingerprint != key.fingerprint for article, key in before))
        for item in stored:
            metrics.SCORED.labels(item.article.language).inc()
            if not item.score.counts:
                metrics.UNDATED.labels(item.article.source).inc()
            if not is_material(item.score.materiality, self._rule.min_materiality):
                metrics.NOT_MATERIAL.labels(item.article.language).inc()
            metrics.FETCH_TO_STORE_SECONDS.observe(max(0.0, (now - item.article.fetched_at).total_seconds() + elapsed_s))

    def record_lost(self, lost: Sequence[LostMessages], now: datetime) -> None:
        """Logs and stores that messages were deleted before they were read. Raises StoreUnavailable."""
        self._dead_letters.write_lost(lost, now)

    # scores ─▶ alerts

    def read(self, messages: Sequence[RawMessage], kind: type[RecordT], now: datetime) -> list[RecordT]:
        """Decodes a batch; other messages become dead letters. Raises StoreUnavailable, CircuitOpen."""
        good, dead = decode_batch(messages, kind, now)
        self._dead_letters.write(dead, messages[0].topic if messages else "", len(messages))
        self._dead_letters.remember_batch(kind, {record.id: raw for raw, record in good})
        return [record for _, record in good]

    def watch(self, scores: Sequence[Score], now: datetime) -> list[Alert]:
        """Evaluates the rules for the series of these scores; returns the alerts, stored. All counts are read from the store.

        After a restart, alerts of an ongoing episode are returned again, as they may not have been published; `notify` knows what was
        delivered. A score that cannot be processed becomes a dead letter, if the store works without it.

        Raises:
            StoreUnavailable: the store did not answer in time.
            StoreError: another error of the store.
            CircuitOpen: too many records are unusable.
        """
        began = time.monotonic()
        self._poll_rules(now)

        def evaluate(some: Sequence[Score]) -> list[list[Alert]]:
            try:
                return [self._evaluator.evaluate(some, now), *([] for _ in some[1:])]
            except Exception:
                self._evaluator = self._new_evaluator()  # as after a restart: its alerts are returned again
                raise

        done, failed = isolate(scores, evaluate, self._dead_letters.is_record_fault)
        self._dead_letters.write_failed("watch", failed, now)
        _observe("watch", began)
        return [alert for _, alerts in done for alert in alerts]

    def _poll_rules(self, now: datetime) -> None:
        """Uses changed rules, if there are any."""
        if now - self._rules_polled_at < RULE_POLL_INTERVAL:
            return
        self._rules_polled_at, rules = now, self._rule_updates()
        if rules is not None:
            self._new_evaluator = partial(AlertEvaluator, self._store, rules.detector, self._duty_cycle, rules.limit_rules)
            self._evaluator = self._new_evaluator()

    def catch_up(self, now: datetime) -> list[Alert]:
        """The alerts of the last hour in the store, for a worker that starts to watch. Raises as `watch`."""
        self._outage_monitor = self._new_outage_monitor()  # its alerts may not have been published
        self._poll_rules(now)
        return self._evaluator.catch_up(now)

    def check_outages(self, now: datetime) -> list[Alert]:
        """The alerts of source outages, stored; returned again after a restart, as in `watch`. Raises StoreError."""
        return self._outage_monitor.poll(now)

    def check_source_sentiment(self, now: datetime) -> None:
        """Compares the negative shares of the sources, and logs those that stand out."""
        self._sentiment_guard.poll(now)

    # alerts ─▶ deliveries

    def notify(self, alert: Alert) -> list[Delivery]:
        """Makes the first attempt at every endpoint; returns the attempts, logged in the store.

        The message only says which alert to send: what is sent is read from the store, where `watch` has put it. An alert that is
        not there or cannot be processed becomes a dead letter, if the store works without it.

        Raises:
            StoreUnavailable: the store did not answer in time.
            StoreError: another error of the store.
            CircuitOpen: too many records are unusable.
        """
        began = time.monotonic()
        deliveries: list[Delivery] = []
        try:
            stored = self._store.alerts.get(alert.id)
            if stored is None:
                raise LookupError("the alert is not in the store, so no worker raised it")
            deliveries = self._scheduler.notify(stored)
        except Exception as error:
            if not self._dead_letters.is_record_fault(error):
                raise
            self._dead_letters.write_failed("notify", [(alert, error)], datetime.now(UTC))
        _observe("notify", began)
        return deliveries

    def resolve_alerts(self, now: datetime) -> None:
        """Resolves alerts whose series has been below the threshold for long enough. Raises StoreError."""
        self._resolver.resolve(now)

    def send_due(self, now: datetime) -> list[Delivery]:
        """Makes the attempts that are due by `now`. Raises StoreError."""
        return self._scheduler.send_due(now)


def _classify(cache: PredictionCache, model: Classifier, articles: Sequence[Article], texts: Mapping[str, ArticleText]) -> list[Prediction]:
    """One prediction per article. Raises ModelError for invalid predictions, and any error of the model."""
    documents = [
        Document("", texts[a.id].model_text, a.language, tuple(surface for surface, _ in mentioned_companies(a).values()), a.genre)
        for a in articles
    ]
    return cache.classify(model, documents)


def _with_bands(article: Article, texts: Mapping[str, ArticleText]) -> Article:
    """The article with the MinHash bands of its text without boilerplate."""
    read = texts.get(article.id)
    return article if read is None or read.lsh_bands == article.lsh_bands else msgspec.structs.replace(article, lsh_bands=read.lsh_bands)


def _is_unchanged(article: Article, known: ArticleKey | None, model: str) -> bool:
    """Whether the stored version has the same text and was scored by this version of the model."""
    return known is not None and known.model == model and known.fingerprint == article.fingerprint


def _observe(step: str, began: float) -> None:
    metrics.BATCH_SECONDS.labels(step).observe(time.monotonic() - began)
