"""Cache of reads that all viewers of the dashboard share.

    get ─▶ cached, and nothing has changed since? ─▶ the value
        └▶ one thread per key loads it; the others wait for a first value, and use the previous one for later values

dashboard.web.change_feed records what changed while pages are open. Without it a value is cached for its time to live.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from prometheus_client import Counter

from core.errors import StoreError, StoreUnavailable

T = TypeVar("T")
DataKind = Literal["articles", "alerts", "actions"]
"""Kinds of stored data: articles and scores; alerts; actions of people on alerts and deliveries to endpoints."""
DATA_KINDS: tuple[DataKind, ...] = ("articles", "alerts", "actions")
READS = Counter(
    "tocsin_dashboard_reads", "Reads of the dashboard by outcome: answered by the cache, answered by the store, failed", ["outcome"]
)
TTL_S = 2.0
TRACKING_TIMEOUT_S = 5.0
"""Changes count as tracked for this long after each call of `record_changes`."""
REREAD_WAIT_S = 1.0
"""How long a thread waits for another one that reads a changed value, before it uses the previous value."""


@dataclass(slots=True)
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    expires_at: float = -1.0
    versions: tuple[int, ...] | None = None
    value: Any = None
    loaded: bool = False
    error: StoreError | None = None


class Cache:
    """Values that are read at most once per key and time to live, however many threads ask. Thread safe.

    While one thread reads, the others get the previous value; if it is known to have changed, they wait a while. An error is cached
    like a value, so that not every viewer queries a store that is down.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, first_read_wait_s: float = 5.0, size: int = 256) -> None:
        """
        Args:
            clock: monotonic clock, seconds
            first_read_wait_s: how long a thread waits for another one that reads a value for the first time
            size: maximum number of values
        """
        self._clock = clock
        self._first_read_wait_s = first_read_wait_s
        self._size = size
        self._entries: OrderedDict[object, _Entry] = OrderedDict()
        self._lock = threading.Lock()
        self._versions: dict[DataKind, int] = dict.fromkeys(DATA_KINDS, 0)
        self._tracked_until = -1.0

    def record_changes(self, changed: Iterable[DataKind] = ()) -> None:
        """Record that these kinds of data changed and no others. To be called at least every TRACKING_TIMEOUT_S seconds."""
        with self._lock:
            for kind in changed:
                self._versions[kind] += 1
            self._tracked_until = self._clock() + TRACKING_TIMEOUT_S

    def stop_tracking(self) -> None:
        """Changes are not recorded any more: values are cached for their time to live."""
        with self._lock:
            self._tracked_until = -1.0

    def _current_versions(self, kinds: Iterable[DataKind]) -> tuple[int, ...] | None:
        """Versions of these kinds of data, None if changes are not tracked."""
        with self._lock:
            return tuple(self._versions[kind] for kind in kinds) if self._clock() < self._tracked_until else None

    def _entry(self, key: object) -> _Entry:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                entry = self._entries[key] = _Entry()
            self._entries.move_to_end(key)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
            return entry

    def get(self, key: object, ttl_s: float, load: Callable[[], T], kinds: Iterable[DataKind] | None = None) -> T:
        """The value of a key, loaded if it is not cached or may have changed.

        Args:
            ttl_s: time to live without change tracking. With it, a value is cached until one of `kinds` changes; an expensive one
                (ttl_s > TTL_S) for at least ttl_s.
            load: reads the value
            kinds: the data that the value depends on; None if its changes are not tracked

        Raises:
            StoreError: raised by `load`, now or when the value was last read
            StoreUnavailable: the first read of another thread takes too long
        """
        entry = self._entry(key)
        versions = None if kinds is None else self._current_versions(kinds)  # before loading: later changes cause another read
        changed = versions is not None and versions != entry.versions
        if not entry.lock.acquire(timeout=(REREAD_WAIT_S if changed else 0) if entry.loaded else self._first_read_wait_s):
            if entry.loaded:
                return entry.value  # type: ignore[no-any-return]
            raise StoreUnavailable("the store has not responded yet")
        try:
            if not self._is_fresh(entry, versions, ttl_s):
                try:
                    entry.value, entry.loaded, entry.error = load(), True, None
                    READS.labels("store").inc()
                except StoreError as error:
                    entry.error = error
                    READS.labels("failed").inc()
                entry.expires_at, entry.versions = self._clock() + ttl_s, versions
            elif entry.error is None:
                READS.labels("cache").inc()
            if entry.error is not None:
                raise entry.error.with_traceback(None)
            return entry.value  # type: ignore[no-any-return]
        finally:
            entry.lock.release()

    def _is_fresh(self, entry: _Entry, versions: tuple[int, ...] | None, ttl_s: float) -> bool:
        within_ttl = self._clock() < entry.expires_at
        if versions is None or entry.versions is None or entry.error is not None:
            return within_ttl
        return versions == entry.versions or (within_ttl and ttl_s > TTL_S)

    def discard(self, *keys: object) -> None:
        """Remove values. A thread that is loading one of them does not affect the next read."""
        with self._lock:
            for key in keys:
                self._entries.pop(key, None)

    def expire(self, key: object) -> None:
        """Expire a value after any load in progress: the next read loads it again, and the previous value stays available meanwhile."""
        entry = self._entry(key)
        with entry.lock:
            entry.expires_at, entry.versions = -1.0, None
