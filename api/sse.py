"""The stream as it goes out: server-sent events, with a sign of life while nothing happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from api.calls import Call
from api.event_feed import Event, Feed, Heard, frame
from api.requests import StreamQuery
from core.errors import StoreError
from domain.alert_lifecycle.silences import matches

HEARTBEAT_S = 10.0
"""A comment is sent after so much quiet: proxies keep the line open, and a client that is gone is noticed."""
GLANCE_S = 2.0
"""How often a listener looks whether its token still holds."""
HELLO = b"retry: 3000\n"


class Listener:
    """What one client is sent, piece by piece. Close it: its seat is counted."""

    def __init__(self, feed: Feed, query: StreamQuery, last_id: str, holds: Callable[[], bool]) -> None:
        self._feed, self._query, self._holds = feed, query, holds
        self._lock = threading.Lock()
        self._open = True
        self._heard = feed.join(last_id)
        self._first = HELLO + f"id: {feed.mark(self._heard)}\n\n".encode() + _gap(self._heard)
        self._sent = time.monotonic()

    def __iter__(self) -> Listener:
        return self

    def __next__(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        while self._open and self._may_go_on():
            heard = self._feed.hear(self._heard, GLANCE_S)
            if heard is None:
                break
            self._heard = heard
            data = _gap(heard) + b"".join(event.frame for event in heard.events if self._wants(event))
            if not data and time.monotonic() - self._sent >= HEARTBEAT_S:
                data = b": still here\n\n"
            if data:
                self._sent = time.monotonic()
                return data
        raise StopIteration

    def close(self) -> None:
        """Give the seat back; calling it twice is fine."""
        with self._lock:
            was_open, self._open = self._open, False
        if was_open:
            self._feed.leave()

    def _wants(self, event: Event) -> bool:
        if self._query.events not in ("all", event.kind):
            return False
        return self._query.series == "*" or any(matches((self._query.series,), name) for name in event.series)

    def _may_go_on(self) -> bool:
        with suppress(StoreError):  # a store that is away revokes nothing
            return self._holds()
        return True


def _gap(heard: Heard) -> bytes:
    return frame("gap", heard.gap) if heard.gap else b""


def listen(call: Call[StreamQuery, None]) -> Listener:
    """Open a stream."""
    return Listener(call.feed, call.query, call.last_event_id, call.holds)
