"""Build the worker's pipeline from the settings, the store and a classifier."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from core.settings import Settings
from models.inference.classifier import Classifier
from storage.store import Store
from stream.watchlists.matcher import Matcher
from stream.watchlists.watchlist_backfill import backfill_watchlists
from stream.worker.pipeline import Pipeline
from tocsin.services.rule_service import RuleUpdates
from tocsin.services.watchlist_service import WatchlistUpdates
from tocsin.wiring import active_rules, active_watchlists, register_watchlist_names


def make_pipeline(settings: Settings, store: Store, classifier: Classifier, *, broker_run: str = "") -> Pipeline:
    """Build the worker's pipeline; new watchlists are backfilled first.

    Args:
        settings: of this installation.
        store: where articles, scores and alerts go.
        classifier: the model.
        broker_run: names one run of the embedded broker; "" for Kafka.

    Raises:
        SettingsError: a watchlist, rule or webhook is invalid.
        StoreError: the store is unavailable.
    """
    now = datetime.now(UTC)
    updates = WatchlistUpdates(settings, store)
    watchlists = active_watchlists(settings, store)
    register_watchlist_names(watchlists)
    matcher, rules = Matcher(watchlists), active_rules(settings, store, watchlists)
    backfill_watchlists(store, matcher, now - timedelta(days=settings.alert_history_days), now)
    updates.begin(matcher)
    return Pipeline.from_settings(
        settings,
        store,
        classifier,
        matcher=matcher,
        rules=rules,
        broker_run=broker_run,
        rule_updates=RuleUpdates(settings, store),
        matcher_updates=updates,
    )
