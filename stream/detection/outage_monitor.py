"""Checks for outages once a minute. Outages must be polled: a feed that is down sends no message that could trigger a check."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from core import log, metrics
from core.records import Alert
from core.series import MARKET
from stats.minute_counts import DAY_S, HOUR_S
from stats.outage_model import SLOT_S, SLOTS_PER_DAY
from storage.store import SourceActivity, Store
from storage.timestamps import from_epoch
from stream.detection.outage import RETIRED_SLOTS, OutageDetector, OutageRule, to_detections

INTERVAL = timedelta(minutes=1)
REFRESH_S = HOUR_S
"""The whole past is read so often; in between only what was published since an hour before the last time."""
DOWN_S = 900
"""Where nothing was fetched for so long before the first check, the gap may be this process's own."""
ALERT_HISTORY_S = (RETIRED_SLOTS // SLOTS_PER_DAY + 2) * DAY_S
_log = log.get_logger(__name__)


class OutageMonitor:
    """Raises alerts of outages. A restart loses nothing. One thread at a time.

    Args:
        store: Retries its calls (stream.retry.retrying).
        rule: The rule in force.
    """

    def __init__(self, store: Store, rule: OutageRule) -> None:
        self._store, self._rule = store, rule
        self._detector = OutageDetector(rule)
        self._activity: dict[str, SourceActivity] = {}
        self._refreshed = 0
        self._checked_at: datetime | None = None
        self._restarted: int | None = None
        self._returned: set[str] = set()

    def poll(self, now: datetime) -> list[Alert]:
        """The alerts of outages, after storing them; none within INTERVAL of the last check. Raises StoreError.

        Alerts of outages that go on and that this process has not returned yet are returned too: their publication may have been lost.
        """
        if self._rule.per_week <= 0 or (self._checked_at is not None and now - self._checked_at < INTERVAL):
            return []
        found = self._check(now)
        self._checked_at = now
        self._returned.update(alert.id for alert in found)
        return found

    def _check(self, now: datetime) -> list[Alert]:
        second = int(now.timestamp())
        self._read_activity(second)
        if self._restarted is None:
            self._restarted = self._last_restart(now)
        outages = self._detector.outages(second, self._restarted)
        metrics.SILENT_SOURCES.set(len(outages))
        if not outages:
            return []
        if outages[0].series == MARKET:
            self._restarted = second
        since = now - timedelta(seconds=ALERT_HISTORY_S)
        last = self._store.alerts.last_alerts(self._rule.name, [outage.series for outage in outages], since)
        found = to_detections(outages, last, self._rule, second)
        self._store.alerts.insert(found.alerts)
        breached = found.ongoing_ids | {alert.id for alert in found.alerts}
        if breached:
            self._store.alert_lifecycle.record_breach(sorted(breached), now)
        for alert in found.alerts:
            metrics.ALERTS.labels(alert.severity).inc()
            _log.warning("outage", series=alert.series, since=alert.window_start.isoformat(), hours=alert.value, limit_hours=alert.limit)
        return found.alerts + self._stored(found.ongoing_ids - self._returned)

    def _read_activity(self, now: int) -> None:
        whole = now - self._refreshed >= REFRESH_S
        cut = (now - int(self._rule.history_s) - ALERT_HISTORY_S if whole else self._refreshed - HOUR_S) // SLOT_S
        since, until = from_epoch(max(0, cut) * SLOT_S), from_epoch(now + HOUR_S)
        new = self._store.sources.activity(since, until, SLOT_S, int(self._rule.late_s))
        if whole:
            self._detector.forget()
            self._activity, self._refreshed = new, now
        self._detector.set_activity(new if whole else _joined(self._activity, new, cut))

    def _last_restart(self, now: datetime) -> int:
        """End of the last outage of the feed or of this process, seconds since 1970; 0 where none is known."""
        fetched = max((one.fetched for one in self._activity.values()), default=0)
        if int(now.timestamp()) - fetched > DOWN_S:
            return int(now.timestamp())
        last = self._store.alerts.last_alerts(self._rule.name, [MARKET], now - timedelta(seconds=ALERT_HISTORY_S))
        breaches = self._store.alert_lifecycle.last_breaches([alert.id for alert in last.values()])
        return max((int(at.timestamp()) for at in breaches.values()), default=0)

    def _stored(self, idents: Collection[str]) -> list[Alert]:
        return [alert for ident in sorted(idents) if (alert := self._store.alerts.get(ident)) is not None]


def _joined(past: Mapping[str, SourceActivity], new: Mapping[str, SourceActivity], cut: int) -> dict[str, SourceActivity]:
    """The activity before the slot `cut`, followed by the new one."""
    joined = dict(past)
    for name, own in new.items():
        before = past.get(name)
        if before is None:
            joined[name] = own
            continue
        slots = [at for at in before.slots if at < cut]
        joined[name] = SourceActivity(slots + own.slots, max(before.last, own.last), max(before.fetched, own.fetched), before.late_s)
    return joined
