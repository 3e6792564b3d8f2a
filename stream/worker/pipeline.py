"""The three steps from `articles` to a delivered alert, as blocking functions that know no Kafka:

    messages ─▶ score (draft, keep) ─▶ scores ─▶ watch ─▶ alerts ─▶ notify ─▶ deliveries
                                      (none) ─▶ listen ─┘

Delivery is at least once, so each step may see anything twice, in other batches, after a crash at any point. Therefore:
what is stored replaces itself; identity (`store.articles.remember`) is written last; what is known already is not worked on
again but is handed on again; what is remembered here only spares work, and a restart does not miss it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple, TypeVar

from core import log, metrics
from core.chunks import chunks
from core.records import Alert, Article, Score, Scored
from core.settings import Settings
from models.inference.classifier import Classifier, Document, Prediction, current_model, run_smoke_test
from storage.store import DeadLetter, Delivery, ArticleKey, Store
from stream.delivery.delivery_scheduler import Courier
from stream.delivery.group_planner import Planner
from stream.delivery.suppression import Gate, Muting
from stream.delivery.webhooks import Webhooks
from stream.detection.auto_resolve import AutoResolver
from stream.detection.evaluator import AlertEvaluator
from stream.detection.limit_rule import LimitRule
from stream.detection.outage import OutageRule
from stream.detection.outage_monitor import OutageMonitor
from stream.detection.rules import AlertRules
from stream.detection.spike_rule import SpikeRule
from stream.watchlists.matcher import MatcherUpdates, Matcher, NoMatcherUpdates
from stream.worker import stories
from stream.worker.batches import Batch, Raw, as_known, dead_letter, latest_versions, mentioned, read, score_of
from stream.worker.circuit_breaker import Flood
from stream.worker.dead_letters import Aside, flood_of, is_refusal
from stream.worker.lost_messages import Missed
from stream.worker.prediction_cache import Memo
from stream.worker.retry import DutyCycle, RetryPolicy, isolate, once_more, retrying

STORY_REACH = timedelta(hours=72)
"""A copy of a story comes within three days of it, before or after: sources report late."""
ASK_FOR_RULES = timedelta(seconds=30)

RecordT = TypeVar("RecordT", Article, Score, Alert)
_log = log.get_logger(__name__)


class Drafts(NamedTuple):
    """A batch of articles, read but not stored.

    articles: the last version of each; arrived: the message of each, by its id
    known: what the store knew of them; again: ids that the batch before has too, of which it may know more by now
    predictions: by article id, of all that were not known and unchanged
    topic, messages: where the batch came from, and how many messages it was
    """

    articles: list[Article]
    arrived: dict[str, Raw]
    known: dict[str, ArticleKey]
    again: list[str]
    predictions: dict[str, Prediction]
    dead: list[DeadLetter]
    model: str
    topic: str
    messages: int


class Pipeline:
    """The steps over one store. Each step belongs to one thread; different steps may run at the same time.

    limit_rules: the analysts' own rules; written: asked every half a minute for rules that were written since, None: none were
    matcher: of the watchlists; following: asked before each batch for other ones; era: as Aside has it
    """

    def __init__(
        self,
        classifier: Classifier,
        store: Store,
        rule: SpikeRule,
        webhooks: Webhooks | None = None,
        *,
        retry: RetryPolicy | None = None,
        duty_cycle: DutyCycle | None = None,
        flood: Flood | None = None,
        matcher: Matcher | None = None,
        era: str = "",
        muting: Muting | None = None,
        resolve_after_s: float = 3600.0,
        limit_rules: Sequence[LimitRule] = (),
        outage_rule: OutageRule | None = None,
        written: Callable[[], AlertRules | None] = lambda: None,
        following: MatcherUpdates | None = None,
    ) -> None:
        self._classifier = classifier
        self._store = store = retrying(store, retry or RetryPolicy())
        self._rule = rule
        self._webhooks = webhooks or Webhooks(())
        gate = Gate(store, muting or Muting())
        planner = Planner(store, gate, self._webhooks.groupings)
        self._courier = Courier(self._webhooks, store.alerts, gate, planner=planner, replays=store.replays)
        self._resolver = AutoResolver(store, resolve_after_s)
        self._memo = Memo()
        self._matcher, self._following = matcher or Matcher(), following or NoMatcherUpdates()
        self._drafted: frozenset[str] = frozenset()
        self._written, self._asked, self._duty_cycle = written, datetime.min.replace(tzinfo=UTC), duty_cycle or DutyCycle()
        self._new_evaluator = partial(AlertEvaluator, store, rule, self._duty_cycle, limit_rules)
        self._evaluator = self._new_evaluator()
        self._new_outage_monitor = partial(OutageMonitor, store, outage_rule or OutageRule())
        self._outage_monitor = self._new_outage_monitor()
        self._aside = Aside(store, flood or Flood(share=1.0), era)
        self._taken: Scored | None = None

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        store: Store,
        classifier: Classifier,
        *,
        matcher: Matcher | None = None,
        rules: AlertRules | None = None,
        era: str = "",
        written: Callable[[], AlertRules | None] = lambda: None,
        following: MatcherUpdates | None = None,
    ) -> Pipeline:
        """The pipeline that the settings describe; rules: those in force, None: the detector's alone.

        Raises SettingsError for a webhook that cannot work, StoreError.
        """
        rules = rules or AlertRules(SpikeRule.from_settings(settings))
        flood = flood_of(settings.dead_share, store, datetime.now(UTC))
        webhooks = Webhooks(settings.webhooks, link_base=settings.dashboard_url)
        return cls(
            classifier,
            store,
            rules.detector,
            webhooks,
            flood=flood,
            matcher=matcher,
            era=era,
            muting=Muting.from_settings(settings, webhooks.labels),
            resolve_after_s=settings.alert_resolve_after_s,
            limit_rules=rules.limit_rules,
            outage_rule=OutageRule.from_settings(settings),
            written=written,
            following=following,
        )

    def close(self) -> None:
        """Release the connections to the webhooks; the store belongs to the caller."""
        self._following.close()
        self._webhooks.close()

    # articles ─▶ scores

    def score(self, messages: Sequence[Raw], now: datetime) -> Batch:
        """Score and store a batch of `articles`; what comes back may be published. Raises what `draft` and `keep` raise."""
        return self.keep(self.draft(messages, now), now)

    def draft(self, messages: Sequence[Raw], now: datetime) -> Drafts:
        """The articles of a batch, those that may be new classified. The batch before it may not be stored yet.

        Raises StoreUnavailable when the store does not answer for too long, ModelError when the model fails on any article.
        """
        began = time.monotonic()
        good, dead = read(messages, Article, now)
        arrived = {article.id: raw for raw, article in good}
        articles = [article for _, article in latest_versions(good)]
        known = self._known(list(arrived))
        model = current_model(self._classifier)  # one version scores the whole batch, whatever is promoted meanwhile
        before, self._drafted = self._drafted, frozenset(arrived)
        fresh = [a for a in articles if a.id in before or not _same(a, known.get(a.id), model.version)]
        classify = partial(_classify, self._memo, model)
        predicted, failed = isolate(fresh, classify, lambda error: isinstance(error, Exception))
        if failed:
            run_smoke_test(model)  # an article is to blame only where the model still works without it, and fails with it again
            mended, failed = once_more(failed, classify)
            predicted += mended
        dead += [dead_letter(arrived[article.id], "model", f"{type(error).__name__}: {error}", now) for article, error in failed]
        blamed = {article.id for article, _ in failed}
        predictions = {article.id: prediction for article, prediction in predicted}
        _timed("draft", began)
        left = [article for article in articles if article.id not in blamed]
        again, topic = sorted(before & arrived.keys()), messages[0].topic if messages else ""
        return Drafts(left, arrived, known, again, predictions, dead, model.version, topic, len(messages))

    def keep(self, drafts: Drafts, now: datetime) -> Batch:
        """Store a batch, when the one before it is stored; what comes back may be published.

        Raises StoreUnavailable when the store does not answer for too long, StoreError when it takes no row at all:
        then nothing of the batch must be acknowledged; so it is with Flooded.
        """
        began = time.monotonic()
        known = drafts.known | self._known(drafts.again)
        version, dead = drafts.model, list(drafts.dead)
        articles = [as_known(article, known.get(article.id)) for article in drafts.articles]
        repeated = {a.id: known[a.id] for a in articles if _same(a, known.get(a.id), version)}
        fresh = [article for article in articles if article.id not in repeated]
        story_of = self._stories(fresh, known)
        scored = [Scored(article=a, score=score_of(a, drafts.predictions[a.id], story_of[a.id], version, now)) for a in fresh]
        self._matcher = self._following() or self._matcher
        kept, refused = self._keep(self._matcher.add_watchlists(scored))
        dead += [dead_letter(drafts.arrived[item.article.id], "store", str(error), now) for item, error in refused]
        self._aside.keep(dead, drafts.topic, drafts.messages)
        self._store.articles.remember(kept)
        _timed("keep", began)

        self._count(kept, len(repeated), known, now)
        scores = [item.score for item in kept] + self._stored_scores(repeated, now)
        return Batch(scores, dead, len(kept), len(repeated))

    def _known(self, ids: Sequence[str]) -> dict[str, ArticleKey]:
        found: dict[str, ArticleKey] = {}
        for some in chunks(ids):
            found |= self._store.articles.known(some)
        return found

    def _stories(self, articles: Sequence[Article], known: dict[str, ArticleKey]) -> dict[str, str]:
        """Article id to story: the one it had when it was first seen, else that of a near-duplicate, else its own id."""
        stored: dict[int, str] = {}
        new = [article for article in articles if article.id not in known]
        days: dict[datetime, list[Article]] = {}
        for article in new:
            days.setdefault(article.published_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0), []).append(article)
        for day in sorted(days, reverse=True):  # the earliest day has the last word: it has the earlier stories
            since, until = day - STORY_REACH, day + timedelta(days=1) + STORY_REACH
            for some in chunks(sorted({band for article in days[day] for band in article.bands})):
                stored |= self._store.articles.stories(some, since, until)
        began = {key: value.published_at for key, value in self._known(sorted(stories.candidates(new, stored))).items()}
        return stories.assign(new, stored, began) | {a.id: known[a.id].story for a in articles if a.id in known}

    def _keep(self, scored: Sequence[Scored]) -> tuple[list[Scored], list[tuple[Scored, Exception]]]:
        """Store articles and mentions: those that the store has now, and those that it refuses for good."""

        def write(items: Sequence[Scored]) -> Sequence[Scored]:
            self._store.articles.insert(items)
            self._store.mentions.insert([item.score for item in items])
            return items

        kept, refused = isolate(scored, write, is_refusal)
        if kept:
            self._taken = kept[-1][0]
        elif refused and self._taken is None:
            raise refused[0][1]  # nothing shows that the store takes any row
        elif refused and self._taken is not None:
            write([self._taken])  # rows are to blame only where the store still takes one that it took before
        return [item for item, _ in kept], refused

    def _stored_scores(self, repeated: dict[str, ArticleKey], now: datetime) -> list[Score]:
        """The scores of articles that came again: a crash may have come between storing and publishing them.

        Only those that `watch` would still look at, so that an archive that is loaded again costs nothing.
        """
        oldest = now - timedelta(seconds=self._rule.max_age_s)
        recent = {key: known.published_at for key, known in repeated.items() if known.published_at >= oldest}
        found: list[Score] = []
        for some in chunks(list(recent)):
            since, until = min(recent.values()), max(recent.values()) + timedelta(seconds=1)
            found += self._store.articles.scores(some, since, until)
        return found

    def _count(self, kept: Sequence[Scored], repeated: int, known: dict[str, ArticleKey], now: datetime) -> None:
        late_s = (datetime.now(UTC) - now).total_seconds()
        metrics.REPEATED.inc(repeated)
        before = [(item.article, known[item.article.id]) for item in kept if item.article.id in known]
        metrics.UPDATED.inc(sum(article.fingerprint != it.fingerprint for article, it in before))
        for item in kept:
            metrics.SCORED.labels(item.article.language).inc()
            metrics.DELAY_SECONDS.observe(max(0.0, (now - item.article.fetched_at).total_seconds() + late_s))

    def missed(self, gaps: Sequence[Missed], now: datetime) -> None:
        """Make known that messages were gone before they were read. Raises StoreUnavailable."""
        self._aside.missed(gaps, now)

    # scores ─▶ alerts

    def read(self, messages: Sequence[Raw], kind: type[RecordT], now: datetime) -> list[RecordT]:
        """The records of a batch; messages that hold none are set aside. Raises StoreUnavailable, Flooded."""
        good, dead = read(messages, kind, now)
        self._aside.keep(dead, messages[0].topic if messages else "", len(messages))
        self._aside.came(kind, {record.id: raw for raw, record in good})
        return [record for _, record in good]

    def watch(self, scores: Sequence[Score], now: datetime) -> list[Alert]:
        """The alerts that these scores raise, stored. Scores only say where to look: the store says what is there.

        An alert of an episode that goes on is handed on once more after a restart, as its publication may have been lost;
        `notify` knows what was delivered. A score that cannot be worked on is set aside, if the store still answers without it.
        Raises StoreUnavailable when the store does not answer for too long, StoreError, Flooded.
        """
        began = time.monotonic()
        self._take_up(now)

        def look(some: Sequence[Score]) -> list[list[Alert]]:
            try:
                return [self._evaluator.evaluate(some, now), *([] for _ in some[1:])]
            except Exception:
                self._evaluator = self._new_evaluator()  # as after a restart: what it had raised is handed on again
                raise

        done, blamed = isolate(scores, look, self._aside.is_a_records_fault)
        self._aside.blame("watch", blamed, now)
        _timed("watch", began)
        return [alert for _, alerts in done for alert in alerts]

    def _take_up(self, now: datetime) -> None:
        """Watch by the rules that were written since, if any were."""
        if now - self._asked < ASK_FOR_RULES:
            return
        self._asked, found = now, self._written()
        if found is not None:
            self._new_evaluator = partial(AlertEvaluator, self._store, found.detector, self._duty_cycle, found.limit_rules)
            self._evaluator = self._new_evaluator()

    def catch_up(self, now: datetime) -> list[Alert]:
        """The alerts of what is stored since an hour: for who begins to watch. Raises as `watch` does."""
        self._outage_monitor = self._new_outage_monitor()  # what it had raised may not have been published
        self._take_up(now)
        return self._evaluator.catch_up(now)

    def listen(self, now: datetime) -> list[Alert]:
        """The alerts of sources that are silent, stored; handed on once more after a restart, as `watch` does. Raises StoreError."""
        return self._outage_monitor.poll(now)

    # alerts ─▶ deliveries

    def notify(self, alert: Alert) -> list[Delivery]:
        """A first attempt at every webhook; what came of each, logged in the store.

        An alert that cannot be handed on is set aside, if the store still answers without it. Raises StoreUnavailable, StoreError, Flooded.
        """
        began = time.monotonic()
        made: list[Delivery] = []
        try:
            made = self._courier.notify(alert)
        except Exception as error:
            if not self._aside.is_a_records_fault(error):
                raise
            self._aside.blame("notify", [(alert, error)], datetime.now(UTC))
        _timed("notify", began)
        return made

    def remind(self, now: datetime) -> list[Delivery]:
        """The attempts at webhooks that are due by now, after alerts that are over were resolved. Raises StoreError."""
        self._resolver.resolve(now)
        return self._courier.due(now)


def _classify(memo: Memo, model: Classifier, articles: Sequence[Article]) -> list[Prediction]:
    """One prediction per article. Raises ModelError when they are not what any model may say, and what the model raises."""
    documents = [Document(a.title, a.text, a.language, tuple(surface for surface, _ in mentioned(a).values()), a.genre) for a in articles]
    return memo.classify(model, documents)


def _same(article: Article, known: ArticleKey | None, model: str) -> bool:
    """Whether nothing of the article has changed since this model scored it."""
    return known is not None and known.model == model and known.fingerprint == article.fingerprint


def _timed(step: str, began: float) -> None:
    metrics.BATCH_SECONDS.labels(step).observe(time.monotonic() - began)
