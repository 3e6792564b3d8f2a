"""Resolves alerts whose series has not breached its threshold for a while."""

from __future__ import annotations

from datetime import datetime, timedelta

from actions.alert_lifecycles import read_lifecycles
from core import log
from domain.alert_lifecycle import AlertEvent, due_to_resolve
from storage.store import Store

MAX_AGE = timedelta(days=31)
INTERVAL = timedelta(minutes=1)
MAX_ALERTS = 10_000
_log = log.get_logger(__name__)


class AutoResolver:
    """Looks for alerts to resolve once a minute. Several workers write the same event. One thread at a time.

    Args:
        store: Retries its calls (stream.retry.retrying).
        after_s: Seconds without a breach after which an alert is resolved.
    """

    def __init__(self, store: Store, after_s: float) -> None:
        self._store, self._after_s = store, after_s
        self._checked_at: datetime | None = None

    def resolve(self, now: datetime) -> list[AlertEvent]:
        """Resolve the alerts that are due, unless the last check was within INTERVAL. Raises StoreError.

        Returns:
            The events that were stored.
        """
        if self._checked_at is not None and now - self._checked_at < INTERVAL:
            return []
        alerts = self._store.alerts.latest(MAX_ALERTS, since=now - MAX_AGE)
        lives = read_lifecycles(self._store, alerts, now, ())
        events = [event for life in lives.values() if (event := due_to_resolve(life, now, self._after_s)) is not None]
        self._store.alert_lifecycle.add(events)
        self._checked_at = now
        for event in events:
            _log.info("alert_resolved", alert=event.alert_id, reason=event.text)
        return events
