"""Change feed of the dashboard: polls the store once a second for all open pages, and publishes what changed.

    store.changes ─(one poll per second while a page is open)─▶ Cache.record_changes ─▶ ChangeSnapshot ─▶ each page (dashboard.web.sse)

A snapshot is complete in itself: a page compares its versions with those of the last one that it received.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec
from prometheus_client import Gauge

from core.cache import DATA_KINDS, Cache, DataKind
from core.errors import StoreError
from core.log import get_logger
from core.outage_text import outage_text
from core.records import Severity
from core.series import series_name
from core.untrusted_text import plain
from dashboard import measures
from dashboard.reads.queries import InboxRow, Reads
from storage.store import TableChanges

VIEWERS = Gauge("tocsin_dashboard_viewers", "Open dashboard pages that receive changes")
TABLES: dict[DataKind, tuple[str, ...]] = {
    "articles": ("articles", "mentions"),
    "alerts": ("alerts", "alert_last_breach"),
    "actions": ("alert_events", "silences", "silence_ends", "suppressed_deliveries", "deliveries", "delivery_replays", "labels"),
}
"""Tables whose changes count as a change of each kind."""
POLL_S = 1.0
ARTICLES_INTERVAL_S = 2.0
"""Minimum time between two changes of articles, so that pages are not redrawn at every batch."""
REFRESH_S = 30.0
"""Everything counts as changed this often: time windows move on, and a change that was missed is made up for."""
SETTLE_S = 15.0
"""Expensive reads are cached longer than others: pages refresh once more this long after the last change."""
LINGER_S = 60.0
"""Polling goes on this long after the last page was closed, because most come back."""
NOTICE_MAX_AGE, MAX_NOTICES = timedelta(minutes=15), 10
"""Which alerts may still raise a desktop notification."""
log = get_logger("dashboard.web.change_feed")


class AlertNotice(msgspec.Struct, frozen=True, kw_only=True):
    """An alert for a desktop notification.

    Attributes:
        texts: (title, body) by language
    """

    id: str
    severity: Severity
    texts: dict[Literal["en", "zh"], tuple[str, str]]


class ChangeSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """State of the store for all open pages.

    Attributes:
        build: version of the program's files; differs after an update
        server_time: seconds since 1970
        versions: opaque version of each kind of data; "all" changes when everything should be read again
        store_ok: whether the store answers
        open_alerts: alerts that are not resolved
        dead_letters: records in the dead letter table
        notices: recent alerts that are neither acknowledged nor silenced, newest first; None if they did not change
    """

    build: str
    server_time: int
    versions: dict[str, str]
    store_ok: bool
    open_alerts: int
    dead_letters: int
    notices: tuple[AlertNotice, ...] | None


class TooManyViewers(Exception):
    """The maximum number of pages is subscribed."""


class ChangeFeed:
    """Polls the store while pages are open. Thread safe."""

    def __init__(
        self,
        changes: TableChanges,
        reads: Reads,
        cache: Cache,
        now: Callable[[], datetime],
        *,
        max_viewers: int,
        build: str = "",
        poll_s: float = POLL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            cache: receives the kinds of data that changed
            now: wall clock, aware UTC
            max_viewers: maximum number of subscribed pages
            build: version of the program's files
            clock: monotonic clock, seconds
        """
        self._changes, self._reads, self._cache, self._now, self._clock = changes, reads, cache, now, clock
        self.max_viewers, self.poll_s = max_viewers, poll_s
        self._published = threading.Condition()
        self._starting = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._viewers, self._used_at = 0, clock()
        self._era = secrets.token_hex(3)
        self._counts: dict[str, int] = dict.fromkeys((*DATA_KINDS, "all"), 0)
        self._table_versions: dict[DataKind, tuple[int, ...]] = {}
        self._unpublished: set[DataKind] = set()
        self._articles_at = self._refreshed_at = -1e9
        self._settle_at: float | None = None
        self._sequence = 0
        self._snapshot = ChangeSnapshot(build=build, server_time=0, versions={}, store_ok=True, open_alerts=0, dead_letters=0, notices=())

    def subscribe(self) -> None:
        """Add a page. Call `unsubscribe` when it leaves. Raises TooManyViewers."""
        with self._published:
            if self._viewers >= self.max_viewers:
                raise TooManyViewers
            self._viewers += 1
            VIEWERS.set(self._viewers)
        try:
            self._start()
        except BaseException:
            self.unsubscribe()
            raise

    def unsubscribe(self) -> None:
        """Remove a page."""
        with self._published:
            self._viewers -= 1
            self._used_at = self._clock()
            VIEWERS.set(self._viewers)

    def snapshot(self) -> ChangeSnapshot:
        """The current snapshot, for pages that poll instead of holding a stream."""
        self._used_at = self._clock()
        self._start()
        return self.wait(-1, 0)[1]

    def wait(self, sequence: int, timeout_s: float) -> tuple[int, ChangeSnapshot]:
        """Wait for the snapshot after `sequence`; -1 takes any.

        Returns:
            Sequence number and snapshot; those of before after the timeout. A negative number once the feed is closed.
        """
        with self._published:
            self._published.wait_for(lambda: self._closed.is_set() or self._sequence != sequence, timeout_s)
            snapshot = msgspec.structs.replace(self._snapshot, server_time=int(self._now().timestamp()))
            return -1 if self._closed.is_set() else self._sequence, snapshot

    def close(self) -> None:
        """End all streams and the thread. May be called twice."""
        self._closed.set()
        with self._published:
            self._published.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None or self._closed.is_set():
                return
            self._table_versions.clear()  # no versions: everything counts as changed
            self.poll()
            self._thread = threading.Thread(target=self._run, name="change-feed", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._closed.wait(self.poll_s):
            try:
                self.poll()
            except Exception:
                log.exception("change_feed_failed")
            with self._starting, self._published:
                if not self._viewers and self._clock() - self._used_at >= LINGER_S:
                    self._cache.stop_tracking()
                    self._thread = None
                    return

    def poll(self) -> None:
        """Query the store once, and publish what is due."""
        at = self._clock()
        try:
            marks = self._changes.marks([name for names in TABLES.values() for name in names])
        except StoreError as error:
            self._store_lost(error)
            return
        for kind, names in TABLES.items():
            found = tuple(marks[name] for name in names)
            if self._table_versions.get(kind) != found:
                self._table_versions[kind] = found
                self._unpublished.add(kind)
        due: set[DataKind] = {kind for kind in self._unpublished if kind != "articles" or at - self._articles_at >= ARTICLES_INTERVAL_S}
        if refresh := at - self._refreshed_at >= REFRESH_S or not self._snapshot.store_ok:
            self._refreshed_at, due = at, set(DATA_KINDS)
        if "articles" in due:
            self._articles_at = at
        self._unpublished -= due
        self._cache.record_changes(due)
        settled = self._settle_at is not None and at >= self._settle_at
        if not due and not settled:
            return
        self._settle_at = at + SETTLE_S if due and not refresh else None
        try:
            inbox, dead_letters = self._reads.inbox(), self._reads.open_dead_letters()
        except StoreError as error:
            self._store_lost(error)
            return
        self._publish(due, everything=refresh or settled, store_ok=True, inbox=inbox, dead_letters=dead_letters)

    def _store_lost(self, error: StoreError) -> None:
        self._cache.stop_tracking()
        if self._snapshot.store_ok:
            log.warning("store_unavailable", error=str(error))
            self._publish((), everything=True, store_ok=False)

    def _publish(
        self,
        changed: Sequence[DataKind] | set[DataKind],
        *,
        everything: bool,
        store_ok: bool,
        inbox: Sequence[InboxRow] | None = None,
        dead_letters: int = 0,
    ) -> None:
        with self._published:
            for kind in (*changed, *(("all",) if everything else ())):
                self._counts[kind] += 1
            versions = {kind: f"{self._era}{count}" for kind, count in self._counts.items()}
            self._snapshot = msgspec.structs.replace(self._snapshot, versions=versions, store_ok=store_ok)
            if inbox is not None:
                self._snapshot = msgspec.structs.replace(
                    self._snapshot,
                    open_alerts=sum(1 for each in inbox if each.life.resolved is None),
                    dead_letters=dead_letters,
                    notices=alert_notices(inbox, self._now()),
                )
            self._sequence += 1
            self._published.notify_all()


def alert_notices(inbox: Sequence[InboxRow], now: datetime) -> tuple[AlertNotice, ...]:
    """The alerts of an inbox that may raise a notification: recent, firing, and neither silenced nor inhibited."""
    firing = [each.alert for each in inbox if each.life.state == "firing" and not each.life.silenced and not each.life.inhibited]
    return tuple(
        AlertNotice(
            id=alert.id,
            severity=alert.severity,
            texts={
                language: (
                    plain(series_name(alert.series, language), 80),
                    outage_text(alert, language) if alert.measure == "outage" else measures.words(alert, language).counts,
                )
                for language in ("en", "zh")
            },
        )
        for alert in [alert for alert in firing if alert.detected_at > now - NOTICE_MAX_AGE][:MAX_NOTICES]
    )
