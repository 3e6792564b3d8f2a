"""Whether anything is new, asked of the store once a second for all who look, and told to each of them.

    store.changes ─(one poll a second, while somebody looks)─▶ Cache.told ─▶ Pulse ─▶ each page (dashboard.web.sse)

A pulse is the whole of what a page must know to ask no more than it has to: a page that missed some compares its last one with this.
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

from core.cache import KINDS, Cache, Changed
from core.errors import StoreError
from core.log import get_logger
from core.outage_text import silence_words
from core.records import Severity
from core.series import series_name
from core.untrusted_text import plain
from dashboard import measures
from dashboard.reads.queries import Inboxed, Reads
from storage.store import Changes

VIEWERS = Gauge("tocsin_dashboard_viewers", "Pages that are told what is new, as long as they are open")
TABLES: dict[Changed, tuple[str, ...]] = {
    "articles": ("articles", "mentions"),
    "alerts": ("alerts", "alert_seen"),
    "deeds": ("alert_events", "silences", "silence_ends", "withheld", "deliveries", "delivery_replays", "labels"),
}
POLL_S = 1.0
NEWS_EVERY_S = 2.0
"""While news pours in, pages are drawn anew so often, and not more."""
SAFETY_S = 30.0
"""Everything is said to have changed so often: windows of time go on, and nothing that we missed stays missed."""
SETTLED_S = 15.0
"""What costs much is shared for longer than others: so long after the last change all pages look once more."""
LINGER_S = 60.0
"""The store is asked for so long after the last viewer left: most come back."""
RECENT, MOST = timedelta(minutes=15), 10
"""Alerts that a notice may still be about: what rang before, everybody has seen."""
log = get_logger("dashboard.web.change_feed")


class Rang(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that rings, as a notice says it. words: language to (what, how much)"""

    id: str
    severity: Severity
    words: dict[Literal["en", "zh"], tuple[str, str]]


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """What is new, for all viewers alike.

    build: of the program, another one after an update; at: when this was said, seconds since 1970
    marks: another one for each kind that changed, and for everything that is shown ("all")
    store: whether it answers; open: alerts that are not resolved; aside: records that were set aside
    rang: alerts of the last minutes that nobody has taken and nothing silences, newest first; None: the same as before
    """

    build: str
    at: int
    marks: dict[str, str]
    store: bool
    open: int
    aside: int
    rang: tuple[Rang, ...] | None


class Full(Exception):
    """As many listen as may."""


class Live:
    """Asks the store while somebody looks. Thread safe.

    most: how many may listen at once; build: of the program
    """

    def __init__(
        self,
        changes: Changes,
        reads: Reads,
        cache: Cache,
        now: Callable[[], datetime],
        *,
        most: int,
        build: str = "",
        poll_s: float = POLL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._changes, self._reads, self._cache, self._now, self._clock = changes, reads, cache, now, clock
        self.most, self.poll_s = most, poll_s
        self._said = threading.Condition()
        self._begin = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._viewers, self._asked_at = 0, clock()
        self._era = secrets.token_hex(3)
        self._counts: dict[str, int] = dict.fromkeys((*KINDS, "all"), 0)
        self._seen: dict[Changed, tuple[int, ...]] = {}
        self._waiting: set[Changed] = set()
        self._news_at = self._all_at = -1e9
        self._settle_at: float | None = None
        self._turn = 0
        self._pulse = Pulse(build=build, at=0, marks={}, store=True, open=0, aside=0, rang=())

    def join(self) -> None:
        """Take a seat. Raises Full. See `leave`."""
        with self._said:
            if self._viewers >= self.most:
                raise Full
            self._viewers += 1
            VIEWERS.set(self._viewers)
        try:
            self._start()
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Give the seat back."""
        with self._said:
            self._viewers -= 1
            self._asked_at = self._clock()
            VIEWERS.set(self._viewers)

    def pulse(self) -> Pulse:
        """The pulse of this moment, for those who ask by themselves."""
        self._asked_at = self._clock()
        self._start()
        return self.hear(-1, 0)[1]

    def hear(self, turn: int, timeout_s: float) -> tuple[int, Pulse]:
        """The pulse after the one of `turn` (-1: any), waiting for it; the same after the timeout. A turn below 0: it is over."""
        with self._said:
            self._said.wait_for(lambda: self._over.is_set() or self._turn != turn, timeout_s)
            said = msgspec.structs.replace(self._pulse, at=int(self._now().timestamp()))
            return -1 if self._over.is_set() else self._turn, said

    def close(self) -> None:
        """End all streams and the thread; calling it twice is fine."""
        self._over.set()
        with self._said:
            self._said.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _start(self) -> None:
        with self._begin:
            if self._thread is not None or self._over.is_set():
                return
            self._seen.clear()  # whatever came while nobody looked
            self.look()
            self._thread = threading.Thread(target=self._run, name="live", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(self.poll_s):
            try:
                self.look()
            except Exception:
                log.exception("what is new could not be told")
            with self._begin, self._said:
                if not self._viewers and self._clock() - self._asked_at >= LINGER_S:
                    self._cache.untold()
                    self._thread = None
                    return

    def look(self) -> None:
        """Ask once, and tell what is due."""
        at = self._clock()
        try:
            marks = self._changes.marks([name for names in TABLES.values() for name in names])
        except StoreError as error:
            self._lost(error)
            return
        for kind, names in TABLES.items():
            found = tuple(marks[name] for name in names)
            if self._seen.get(kind) != found:
                self._seen[kind] = found
                self._waiting.add(kind)
        due: set[Changed] = {kind for kind in self._waiting if kind != "articles" or at - self._news_at >= NEWS_EVERY_S}
        if again := at - self._all_at >= SAFETY_S or not self._pulse.store:
            self._all_at, due = at, set(KINDS)
        if "articles" in due:
            self._news_at = at
        self._waiting -= due
        self._cache.told(due)
        settled = self._settle_at is not None and at >= self._settle_at
        if not due and not settled:
            return
        self._settle_at = at + SETTLED_S if due and not again else None
        try:
            inbox, aside = self._reads.inbox(), self._reads.set_aside()
        except StoreError as error:
            self._lost(error)
            return
        self._tell(due, every=again or settled, store=True, inbox=inbox, aside=aside)

    def _lost(self, error: StoreError) -> None:
        self._cache.untold()
        if self._pulse.store:
            log.warning("the store did not answer", error=str(error))
            self._tell((), every=True, store=False)

    def _tell(
        self, changed: Sequence[Changed] | set[Changed], *, every: bool, store: bool, inbox: Sequence[Inboxed] | None = None, aside: int = 0
    ) -> None:
        with self._said:
            for kind in (*changed, *(("all",) if every else ())):
                self._counts[kind] += 1
            marks = {kind: f"{self._era}{count}" for kind, count in self._counts.items()}
            self._pulse = msgspec.structs.replace(self._pulse, marks=marks, store=store)
            if inbox is not None:
                count = sum(1 for each in inbox if each.life.resolved is None)
                self._pulse = msgspec.structs.replace(self._pulse, open=count, aside=aside, rang=rings(inbox, self._now()))
            self._turn += 1
            self._said.notify_all()


def rings(inbox: Sequence[Inboxed], now: datetime) -> tuple[Rang, ...]:
    """The alerts of an inbox that a notice may be about."""
    loud = [each.alert for each in inbox if each.life.state == "firing" and not each.life.silenced and not each.life.inhibited]
    return tuple(
        Rang(
            id=alert.id,
            severity=alert.severity,
            words={
                language: (
                    plain(series_name(alert.series, language), 80),
                    silence_words(alert, language) if alert.measure == "silence" else measures.words(alert, language).counts,
                )
                for language in ("en", "zh")
            },
        )
        for alert in [alert for alert in loud if alert.detected_at > now - RECENT][:MOST]
    )
