"""What all viewers share: values read at most once, and kept until what they were made of changes.

    get ─▶ kept, and nothing has changed since? ─▶ the value
        └▶ one reader a key ─▶ load; the others wait for the first value, and take the one before for later ones

Whether something changed is told by dashboard.web.change_feed, while somebody listens. Where nobody tells, a value is kept for its time.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from prometheus_client import Counter

from core.errors import StoreUnavailable, StoreError

T = TypeVar("T")
Changed = Literal["articles", "alerts", "deeds"]
"""What is stored: articles and their scores; alerts; what people and endpoints did about them."""
KINDS: tuple[Changed, ...] = ("articles", "alerts", "deeds")
READS = Counter("tocsin_dashboard_reads", "Reads of the pages: answered from the cache, by the store, or failed", ["outcome"])
TTL_S = 2.0
TOLD_S = 5.0
"""Who tells what changed is believed for so long after each word."""
WAIT_S = 1.0
"""So long one waits for another's reading of what is known to have changed, before the value before it has to do."""


@dataclass(slots=True)
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    until: float = -1.0
    made_of: tuple[int, ...] | None = None
    value: Any = None
    loaded: bool = False
    error: StoreError | None = None


class Cache:
    """Values that are read at most once per key and `ttl_s`, however many threads ask.

    While one thread reads, the others get the value before it; where it is known to have changed, they wait a while. A failure is
    kept as long as a value would be, so that a store that is down is not asked by every viewer.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, patience_s: float = 5.0, size: int = 256) -> None:
        self._clock = clock
        self._patience_s = patience_s
        self._size = size
        self._entries: OrderedDict[object, _Entry] = OrderedDict()
        self._lock = threading.Lock()
        self._changes: dict[Changed, int] = dict.fromkeys(KINDS, 0)
        self._told_until = -1.0

    def told(self, changed: Iterable[Changed] = ()) -> None:
        """These kinds changed, and nothing else did: say so every second, for what is not said for TOLD_S is not known."""
        with self._lock:
            for kind in changed:
                self._changes[kind] += 1
            self._told_until = self._clock() + TOLD_S

    def untold(self) -> None:
        """Nobody knows any more what changes: values are kept for their time."""
        with self._lock:
            self._told_until = -1.0

    def _now(self, kinds: Iterable[Changed]) -> tuple[int, ...] | None:
        """What was told of these kinds; None where nobody tells."""
        with self._lock:
            return tuple(self._changes[kind] for kind in kinds) if self._clock() < self._told_until else None

    def _entry(self, key: object) -> _Entry:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                entry = self._entries[key] = _Entry()
            self._entries.move_to_end(key)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
            return entry

    def forget(self, *keys: object) -> None:
        """Read these anew when they are asked for next: somebody changed what lies behind them."""
        with self._lock:
            for key in keys:
                self._entries.pop(key, None)

    def get(self, key: object, ttl_s: float, load: Callable[[], T], kinds: Iterable[Changed] | None = None) -> T:
        """The value of `key`, from `load` where it was not read yet, or may have changed.

        kinds: what it is made of; None: of what nobody tells
        ttl_s: kept so long where nobody tells what changes. Where somebody does, it is kept until one of `kinds` changed;
            one that costs much (longer than TTL_S) not less long than ttl_s.
        Raises what `load` raised of StoreError, and StoreUnavailable when another thread's first read takes too long.
        """
        entry, made_of = (
            self._entry(key),
            None if kinds is None else self._now(kinds),
        )  # before it is read: what changes meanwhile is read again
        changed = made_of is not None and made_of != entry.made_of
        if not entry.lock.acquire(timeout=(WAIT_S if changed else 0) if entry.loaded else self._patience_s):
            if entry.loaded:
                return entry.value  # type: ignore[no-any-return]
            raise StoreUnavailable("the store has not answered yet")
        try:
            if not self._holds(entry, made_of, ttl_s):
                try:
                    entry.value, entry.loaded, entry.error = load(), True, None
                    READS.labels("store").inc()
                except StoreError as error:
                    entry.error = error
                    READS.labels("failed").inc()
                entry.until, entry.made_of = self._clock() + ttl_s, made_of
            elif entry.error is None:
                READS.labels("cache").inc()
            if entry.error is not None:
                raise entry.error.with_traceback(None)
            return entry.value  # type: ignore[no-any-return]
        finally:
            entry.lock.release()

    def _holds(self, entry: _Entry, made_of: tuple[int, ...] | None, ttl_s: float) -> bool:
        young = self._clock() < entry.until
        if made_of is None or entry.made_of is None or entry.error is not None:
            return young
        return made_of == entry.made_of or (young and ttl_s > TTL_S)

    def drop(self, key: object) -> None:
        """Read the value of `key` anew when it is asked for next: we changed it."""
        entry = self._entry(key)
        with entry.lock:
            entry.until, entry.made_of = -1.0, None
