"""Build the worker's pipeline from the settings, the store and a classifier."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from core.settings import Settings
from models.inference.classifier import Classifier
from storage.store import Store
from stream.watchlists.matcher import Matcher
from stream.watchlists.watchlist_backfill import fill
from stream.worker.pipeline import Pipeline
from tocsin.runtime.wiring import know_watchlists, rules_in_force, watchlists_in_force
from tocsin.services.rule_service import RuleFollower
from tocsin.services.watchlist_service import WatchlistFollower


def make_pipeline(settings: Settings, store: Store, classifier: Classifier, *, era: str = "") -> Pipeline:
    """The worker's three steps over these parts; watchlists that are new get their past first. era: of an embedded broker

    Raises SettingsError for watchlists, rules or a webhook that cannot work, StoreError.
    """
    now = datetime.now(UTC)
    following = WatchlistFollower(settings, store)
    watchlists = watchlists_in_force(settings, store)
    know_watchlists(watchlists)
    matcher, rules = Matcher(watchlists), rules_in_force(settings, store, watchlists)
    fill(store, matcher, now - timedelta(days=settings.alert_history_days), now)
    following.begin(matcher)
    return Pipeline.from_settings(
        settings, store, classifier, matcher=matcher, rules=rules, era=era, written=RuleFollower(settings, store), following=following
    )
