"""Reads of the page of models, cached and shared by all viewers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from core.cache import Cache
from core.series import MARKET, topic_series
from core.taxonomy import TOPIC_KEYS
from dashboard.reads.drift import months
from dashboard.reads.queries import revision
from dashboard.services import ModelCard, ModelComparison, ModelService, ModelVersions, RefreshStatus
from storage.store import DailyPredictions, LabelledPrediction, ModelUse, SentimentPoint, Store

FILES_TTL_S, PROGRESS_TTL_S = 5.0, 1.0
USES_TTL_S = 15.0
DRIFT_TTL_S, JUDGED_TTL_S = 600.0, 120.0
"""Two months of a busy feed take a third of a second to read, two thousand scattered labels a second."""
JUDGED = 2_000
_KEYS = ("models", "refreshing")


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """Two months: predictions by day and language, and stories of each topic and of the market by day."""

    since: datetime
    middle: datetime
    until: datetime
    days: list[DailyPredictions]
    topics: list[SentimentPoint]
    revision: str = ""


class ModelReads:
    """The reads of the page. Thread safe. model_service: None where this process does not offer it"""

    def __init__(self, store: Store, now: Callable[[], datetime], cache: Cache, model_service: ModelService | None) -> None:
        self._store, self.now, self._cache = store, now, cache
        self.model_service = model_service

    def models(self) -> ModelVersions | None:
        """The versions; None where the service is not offered. Raises UserError, ModelError."""
        service = self.model_service
        return None if service is None else self._cache.get("models", FILES_TTL_S, service.versions)

    def refreshing(self) -> RefreshStatus | None:
        """The running refresh, or the last one. Raises UserError, ModelError."""
        service = self.model_service
        return None if service is None else self._cache.get("refreshing", PROGRESS_TTL_S, service.refresh_status)

    def contest(self, now: str, before: str) -> ModelComparison | None:
        """The comparison of two versions. Raises UserError, ModelError."""
        service = self.model_service
        if service is None or not (now and before):
            return None
        return self._cache.get(("contest", now, before), FILES_TTL_S, lambda: service.comparison(now, before))

    def card(self) -> ModelCard | None:
        """The model card."""
        service = self.model_service
        return None if service is None else self._cache.get("model card", DRIFT_TTL_S, service.card)

    def uses(self) -> list[ModelUse]:
        """The versions that scored articles in the last day. Raises StoreError."""
        return self._cache.get("uses", USES_TTL_S, lambda: self._store.quality.model_uses(self.now() - timedelta(days=1)))

    def drift(self) -> Drift:
        """The last two months. Raises StoreError."""
        return self._cache.get("drift", DRIFT_TTL_S, self._drift)

    def judged(self) -> list[LabelledPrediction]:
        """The newest labels with the predictions that they judge. Raises StoreError."""
        return self._cache.get("judged", JUDGED_TTL_S, lambda: self._store.quality.labelled_predictions(JUDGED))

    def forget(self) -> None:
        """Drop versions and refresh status from the cache after an action."""
        self._cache.discard(*_KEYS)

    def _drift(self) -> Drift:
        since, middle, until = months(self.now())
        series = [MARKET, *map(topic_series, TOPIC_KEYS)]
        found = Drift(
            since=since,
            middle=middle,
            until=until,
            days=self._store.quality.days(since, until),
            topics=self._store.rollups.sentiment(series, since, until, 86_400),
        )
        return msgspec.structs.replace(found, revision=revision(found))
