"""Reads of the pages of sources and of the system, cached and shared by all viewers, each part as long as it changes slowly.

source_hours of a month, every ten minutes ─┐
source_hours of a day, visits, feeds ───────┴─▶ SourceView     (dashboard/reads/source_state.py)
heartbeats, sizes, throughput, latency, dead letters, deliveries ─▶ SystemView
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from core.cache import TTL_S, Cache
from core.errors import BrokerError
from core.series import MARKET
from dashboard.reads.queries import PAST_TTL_S, Reads
from dashboard.reads.source_state import HOURS, WEEK, SourceData, SourceView, usuals, views
from dashboard.reads.usual import PAST
from dashboard.services import ConsumerLag
from stats.minute_counts import HOUR_S
from stats.source_shares import ShareCount, SourceShare, compare_sources
from storage.store import DeadReason, Delivery, DiskSpace, Heartbeat, Latency, SourceHours, Store, SuppressedDelivery, TableSize
from storage.tables.heartbeats import GONE_S

RECENT_TTL_S = 15.0
SLOW_TTL_S = 60.0
LAGS_TTL_S = 300.0
BROKER_TTL_S = 10.0
RECENT = timedelta(days=30)
"""A source that is not configured is listed while it has articles within this period."""
CHART = timedelta(hours=6)
CHART_WIDTH_S = 300
HEARTBEATS_SINCE = timedelta(days=1)
RATE_LIMITED = "rate limited: "
"""Prefix of the error of a delivery that waits for an endpoint's rate limit."""
ENDED = timedelta(hours=1)
"""A stopped or lost process is listed for this long."""


class SourcesView(msgspec.Struct, frozen=True, kw_only=True):
    """All sources. outage_alert_id: ID of the open alert on an outage of the whole feed; "" for none"""

    rows: list[SourceView]
    outage_alert_id: str


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries to one endpoint in the last seven days, by their last attempt.

    Attributes:
        taken, failed: alerts or groups that were delivered, and that failed.
        waiting: those that are suppressed, or wait for the rate limit.
        last_at, last_error: of the newest failure.
    """

    name: str
    taken: int = 0
    failed: int = 0
    waiting: int = 0
    last_at: datetime | None = None
    last_error: str = ""


class SystemView(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the installation.

    Attributes:
        beats: heartbeats of its processes.
        stored: articles per window of [since, until), oldest first.
        disk: None where the server does not report it.
    """

    heartbeats: list[Heartbeat]
    since: datetime
    until: datetime
    stored: list[int]
    latency: Latency
    tables: list[TableSize]
    disk: DiskSpace | None
    dead: list[DeadReason]
    endpoints: list[Endpoint]


class OperationsReads:
    """Thread safe. Every method raises StoreError."""

    def __init__(self, store: Store, now: Callable[[], datetime], cache: Cache, reads: Reads, lags: ConsumerLag | None) -> None:
        self._store, self.now, self._cache, self._reads, self._lags = store, now, cache, reads, lags

    def sources(self) -> SourcesView:
        """Every source that is configured or had articles recently."""
        return self._cache.get("sources", TTL_S, self._sources)

    def forget_sources(self) -> None:
        """Drop the sources from the cache."""
        self._cache.discard("sources", "feeds")

    def system(self) -> SystemView:
        """Everything on the page of the system except the lag."""
        return self._cache.get("system", TTL_S, self._system)

    def lag(self) -> Mapping[str, list[int]] | None:
        """Consumer lag by topic and partition; None where no broker is configured. Raises BrokerError."""
        asked = self._lags
        if asked is None:
            return None

        def load() -> Mapping[str, list[int]] | BrokerError:
            try:
                return asked()
            except BrokerError as error:
                return error

        found = self._cache.get("lag", BROKER_TTL_S, load)
        if isinstance(found, BrokerError):
            raise found.with_traceback(None)
        return found

    def _sources(self) -> SourcesView:
        get, store, now = self._cache.get, self._store, self.now()
        hour = datetime.fromtimestamp(int(now.timestamp()) // HOUR_S * HOUR_S, tz=UTC)
        edge = hour - timedelta(hours=HOURS + 1)  # one hour more, as the cached history may be ten minutes old
        past = get(("source past", edge), PAST_TTL_S, lambda: store.health.source_hours(hour - max(RECENT, PAST), edge))
        recent: list[SourceHours] = get(
            ("source hours", edge), RECENT_TTL_S, lambda: store.health.source_hours(edge, now + timedelta(hours=1))
        )
        usual = get(("source usual", hour), PAST_TTL_S, lambda: usuals([*past, *recent], now))
        alerts = self._reads.alerts()
        known = SourceData(
            past=past,
            recent=recent,
            visits=get("visits", TTL_S, store.visits.all),
            feeds=get("feeds", TTL_S, store.feeds.all),
            lags=get("source lags", LAGS_TTL_S, lambda: store.health.source_lags(now - WEEK)),
            left_out=get("source left out", SLOW_TTL_S, lambda: store.health.left_out(now - WEEK)),
            undated=get("source undated", SLOW_TTL_S, lambda: store.health.undated(now - WEEK)),
            dead=get("source dead", SLOW_TTL_S, lambda: store.health.dead_by_source(now - WEEK)),
            alerts=alerts,
            sentiment=get("source sentiment", SLOW_TTL_S, lambda: _compared(store.health.source_sentiment(now))),
            repeats=get("source repeats", SLOW_TTL_S, store.repeats.all),
            trusts=get("source trusts", SLOW_TTL_S, lambda: store.sources.trusts(now - WEEK)),
            revisions=get("source revisions", SLOW_TTL_S, lambda: store.revisions.by_source(now - WEEK)),
        )
        silent = next((alert.id for alert in alerts if alert.measure == "outage" and alert.series == MARKET), "")
        return SourcesView(rows=views(known, usual, now), outage_alert_id=silent)

    def _system(self) -> SystemView:
        get, health, now = self._cache.get, self._store.health, self.now()
        end = (int(now.timestamp()) // CHART_WIDTH_S + 1) * CHART_WIDTH_S
        until = datetime.fromtimestamp(end, tz=UTC)
        since = until - CHART
        stored = dict(get(("stored per", end), RECENT_TTL_S, lambda: health.stored(since, until, CHART_WIDTH_S)))
        windows = int(CHART.total_seconds()) // CHART_WIDTH_S
        return SystemView(
            heartbeats=shown(get("beats", TTL_S, lambda: self._store.heartbeats.latest(now - HEARTBEATS_SINCE)), now),
            since=since,
            until=until,
            stored=[stored.get(since + timedelta(seconds=n * CHART_WIDTH_S), 0) for n in range(windows)],
            latency=get("latency", RECENT_TTL_S, lambda: health.latency(now - timedelta(hours=1))),
            tables=get("tables", RECENT_TTL_S, health.tables),
            disk=get("disk", SLOW_TTL_S, health.disk),
            dead=get("dead reasons", SLOW_TTL_S, lambda: health.dead_reasons(now - WEEK)),
            endpoints=get("endpoints", RECENT_TTL_S, lambda: self._endpoints(now)),
        )

    def _endpoints(self, now: datetime) -> list[Endpoint]:
        return endpoints(self._store.alerts.last_attempts(now - WEEK), self._store.alert_lifecycle.suppressed_since(now - WEEK), now)


def _compared(windows: Mapping[str, Sequence[ShareCount]]) -> dict[str, list[SourceShare]]:
    """The comparison of the sources in each window."""
    return {window: compare_sources(counts) for window, counts in windows.items()}


def is_gone(heartbeat: Heartbeat, now: datetime) -> bool:
    """Whether a process was lost: no heartbeat for too long, and not stopped."""
    return heartbeat.state != "ended" and (now - heartbeat.at).total_seconds() > GONE_S


def shown(heartbeats: Sequence[Heartbeat], now: datetime) -> list[Heartbeat]:
    """Running processes first, then those that ended recently; by role."""
    kept = [
        heartbeat for heartbeat in heartbeats if now - heartbeat.at <= ENDED or not (heartbeat.state == "ended" or is_gone(heartbeat, now))
    ]
    return sorted(kept, key=lambda heartbeat: (heartbeat.state == "ended", is_gone(heartbeat, now), heartbeat.roles, heartbeat.started_at))


def endpoints(attempts: Sequence[Delivery], held: Sequence[SuppressedDelivery], now: datetime) -> list[Endpoint]:
    """Delivered, failed and waiting deliveries by endpoint."""
    found: dict[str, Endpoint] = {}
    taken, waiting = set(), {(each.alert_id, each.endpoint) for each in held if not each.final and (each.until is None or each.until > now)}
    for last in sorted(attempts, key=lambda each: each.sent_at):
        before = found.get(last.endpoint, Endpoint(name=last.endpoint))
        if last.error.startswith(RATE_LIMITED):
            waiting.add((last.alert_id, last.endpoint))
        elif last.delivered:
            taken.add((last.alert_id, last.endpoint))
            found[last.endpoint] = msgspec.structs.replace(before, taken=before.taken + 1)
        else:
            why = last.error or str(last.status)
            found[last.endpoint] = msgspec.structs.replace(before, failed=before.failed + 1, last_at=last.sent_at, last_error=why)
    for _, name in waiting - taken:
        before = found.get(name, Endpoint(name=name))
        found[name] = msgspec.structs.replace(before, waiting=before.waiting + 1)
    return sorted(found.values(), key=lambda each: each.name)
