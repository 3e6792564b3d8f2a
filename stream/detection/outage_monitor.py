"""Does the feed still speak? Asked once a minute, because a feed that has fallen silent sends no message that would ask."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from core import log, metrics
from core.records import Alert
from core.series import MARKET
from stats.minute_counts import DAY_S, HOUR_S
from stats.outage_model import DAY, STRETCH_S
from storage.store import Spoke, Store
from storage.timestamps import from_epoch
from stream.detection.outage import GONE, OutageDetector, OutageRule, settle

LOOK_AGAIN = timedelta(minutes=1)
REFRESH_S = HOUR_S
"""So often the whole past is asked for anew; in between only what came since an hour before."""
AWAY_S = 900
"""Where nothing was fetched for so long before the first look, nobody knows whether the feed or we were away."""
REACH_S = (GONE // DAY + 2) * DAY_S
_log = log.get_logger(__name__)


class OutageMonitor:
    """Keeps no state that a restart would miss. One thread at a time."""

    def __init__(self, store: Store, rule: OutageRule) -> None:
        self._store, self._rule = store, rule
        self._hearing = OutageDetector(rule)
        self._told: dict[str, Spoke] = {}
        self._refreshed = 0
        self._looked: datetime | None = None
        self._back: int | None = None
        self._rung: set[str] = set()

    def listen(self, now: datetime) -> list[Alert]:
        """The alerts of sources that fell silent, stored; none where it was looked within the minute. Raises StoreError."""
        if self._rule.per_week <= 0 or (self._looked is not None and now - self._looked < LOOK_AGAIN):
            return []
        found = self._look(now)
        self._looked = now
        self._rung.update(alert.id for alert in found)
        return found

    def _look(self, now: datetime) -> list[Alert]:
        second = int(now.timestamp())
        self._ask(second)
        if self._back is None:
            self._back = self._away(now)
        silences = self._hearing.silent(second, self._back)
        metrics.SILENT.set(len(silences))
        if not silences:
            return []
        if silences[0].series == MARKET:
            self._back = second
        last = self._store.alerts.last_rung(self._rule.name, [silence.series for silence in silences], now - timedelta(seconds=REACH_S))
        rings = settle(silences, last, self._rule, second)
        self._store.alerts.insert(rings.fresh)
        seen = rings.ongoing_ids | {alert.id for alert in rings.fresh}
        if seen:
            self._store.lives.seen(sorted(seen), now)
        for alert in rings.fresh:
            metrics.ALERTS.labels(alert.severity).inc()
            _log.warning("silent", series=alert.series, since=alert.window_start.isoformat(), hours=alert.value, limit_hours=alert.limit)
        return rings.fresh + self._again(rings.ongoing_ids - self._rung)

    def _ask(self, now: int) -> None:
        """Have the hearing know what is stored."""
        whole = now - self._refreshed >= REFRESH_S
        cut = (now - int(self._rule.history_s) - REACH_S if whole else self._refreshed - HOUR_S) // STRETCH_S
        since, until = from_epoch(max(0, cut) * STRETCH_S), from_epoch(now + HOUR_S)
        new = self._store.sources.told(since, until, STRETCH_S, int(self._rule.late_s))
        if whole:
            self._hearing.forget()
            self._told, self._refreshed = new, now
        self._hearing.hear(new if whole else _joined(self._told, new, cut))

    def _away(self, now: datetime) -> int:
        """When the feed, or who listens, was away last, seconds since 1970; 0: not that anybody knew."""
        heard = max((one.fetched for one in self._told.values()), default=0)
        if int(now.timestamp()) - heard > AWAY_S:
            return int(now.timestamp())
        last = self._store.alerts.last_rung(self._rule.name, [MARKET], now - timedelta(seconds=REACH_S))
        seen = self._store.lives.last_seen([rung.id for rung in last.values()])
        return max((int(at.timestamp()) for at in seen.values()), default=0)

    def _again(self, idents: Collection[str]) -> list[Alert]:
        """The stored alerts of silences that this process has not handed on yet: their publication may have been lost."""
        return [alert for ident in sorted(idents) if (alert := self._store.alerts.get(ident)) is not None]


def _joined(past: Mapping[str, Spoke], new: Mapping[str, Spoke], cut: int) -> dict[str, Spoke]:
    """What was told before the stretch `cut`, and what was told since."""
    joined = dict(past)
    for name, told in new.items():
        before = past.get(name)
        if before is None:
            joined[name] = told
            continue
        known = [at for at in before.stretches if at < cut]
        joined[name] = Spoke(known + told.stretches, max(before.last, told.last), max(before.fetched, told.fetched), before.late_s)
    return joined
