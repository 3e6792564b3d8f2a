"""How far the workers are behind, as Kafka has it: who asks the workers hears nothing of those that are gone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from core.settings import Settings
from dashboard.services import Lags
from tocsin.runtime import wiring

TIMEOUT_S = 4.0


def lags_of(settings: Settings) -> Lags | None:
    """Asks the broker of these settings; None where they name none: a dashboard of its own beside an embedded one."""
    return None if settings.broker == "embedded" else partial(_lags, settings)


def _lags(settings: Settings) -> Mapping[str, list[int]]:
    from ingest.kafka.client import lags

    names = wiring.names(settings)
    topics = {"articles": names.articles, "scores": names.scores, "alerts": names.alerts}
    found = lags(settings.broker, settings.consumer_group, list(topics.values()), TIMEOUT_S)
    return {name: found[topic] for name, topic in topics.items()}
