"""Alerts resolve of themselves when their series has not been over its bar for a while."""

from __future__ import annotations

from datetime import datetime, timedelta

from actions.alert_lifecycles import read_lives
from core import log
from domain.alert_lifecycle import AlertEvent, due_to_resolve
from storage.store import Store
from stream.worker.retry import Patience

REACH = timedelta(days=31)
LOOK_AGAIN = timedelta(minutes=1)
MOST = 10_000
_log = log.get_logger(__name__)


class Resolver:
    """Looks once a minute. Where several look, all write the same event. One thread at a time."""

    def __init__(self, store: Store, patience: Patience, after_s: float) -> None:
        self._store, self._patience, self._after_s = store, patience, after_s
        self._looked: datetime | None = None

    def resolve(self, now: datetime) -> list[AlertEvent]:
        """Resolve what is due, unless it was looked at within the minute; the events that were written. Raises StoreError."""
        if self._looked is not None and now - self._looked < LOOK_AGAIN:
            return []
        alerts = self._patience.wait_for("alerts", self._store.alerts.latest, MOST, since=now - REACH)
        lives = self._patience.wait_for("lives", read_lives, self._store, alerts, now, ())
        found = [event for life in lives.values() if (event := due_to_resolve(life, now, self._after_s)) is not None]
        self._patience.wait_for("lives", self._store.lives.add, found)
        self._looked = now
        for event in found:
            _log.info("alert resolved", alert=event.alert_id, reason=event.text)
        return found
