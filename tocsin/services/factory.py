"""Build the services of the dashboard (dashboard.services.Services) for one process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial

from core.errors import SettingsError
from core.settings import Settings
from dashboard.services import ConsumerLag, ExplanationService, Services
from storage.store import Store
from tocsin import wiring
from tocsin.services.delivery_service import StoredDeliveryService
from tocsin.services.feed_service import StoredFeedService
from tocsin.services.model_service import LocalModelService
from tocsin.services.rule_service import StoredRuleService
from tocsin.services.watchlist_service import StoredWatchlistService

LAG_TIMEOUT_S = 4.0


def consumer_lag_reader(settings: Settings) -> ConsumerLag | None:
    """A function that reads the consumer lag from Kafka, so that stopped workers count too; None with the embedded broker."""
    return None if settings.broker == "embedded" else partial(_lags, settings)


def _lags(settings: Settings) -> Mapping[str, list[int]]:
    from ingest.kafka.client import lags

    names = wiring.names(settings)
    topics = {"articles": names.articles, "scores": names.scores, "alerts": names.alerts}
    found = lags(settings.broker, settings.consumer_group, list(topics.values()), LAG_TIMEOUT_S)
    return {name: found[topic] for name, topic in topics.items()}


@contextlib.contextmanager
def services_of(
    settings: Settings, store: Store, now: Callable[[], datetime], explain: ExplanationService | None = None
) -> Iterator[Services]:
    """Open all services over one store.

    Args:
        settings: of this installation.
        store: what they read and write.
        now: the current time, aware UTC.
        explain: explains scores; None if no model runs in this process.
    """
    with contextlib.suppress(SettingsError):
        wiring.register_company_names(settings)
    with contextlib.suppress(SettingsError):  # an invalid file: the worker reports it
        wiring.register_watchlist_names(wiring.active_watchlists(settings, store))
    with contextlib.closing(LocalModelService(settings, store, now)) as models:
        yield Services(
            explanations=explain,
            rules=StoredRuleService(settings, store, now),
            watchlists=StoredWatchlistService(settings, store, now),
            feeds=StoredFeedService(settings, store, now),
            consumer_lag=consumer_lag_reader(settings),
            deliveries=StoredDeliveryService(settings, store, now),
            models=models,
        )
