"""Server-sent events of the change feed for open pages.

GET /live        a stream: a snapshot at once, at each change, and every 10 s; "end" when the session ends
GET /live/state  one snapshot, for pages that cannot hold a stream
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec
from flask import Flask, Request, Response, request

from api.event_stream import sse_frame
from core.errors import StoreError
from dashboard.web import permissions
from dashboard.web.authentication import Authenticator
from dashboard.web.change_feed import ChangeFeed, ChangeSnapshot, TooManyViewers
from dashboard.web.request_guards import same_origin

PATH, STATE_PATH = "/live", "/live/state"
HEARTBEAT_S = 10.0
"""A snapshot is sent after this much silence, so that both sides notice a dead connection."""
SESSION_CHECK_S = 2.0
"""How often an open stream checks that its session is still valid."""


class ChangeStream:
    """The response body of one page: an iterator of server-sent events. It must be closed, because it counts as a viewer."""

    def __init__(self, feed: ChangeFeed, session_is_valid: Callable[[], bool]) -> None:
        """Raises TooManyViewers."""
        self._feed, self._session_is_valid = feed, session_is_valid
        self._lock = threading.Lock()
        self._open = True
        self._last: ChangeSnapshot | None = None
        self._sequence, self._sent = -1, time.monotonic()
        feed.subscribe()

    def __iter__(self) -> ChangeStream:
        return self

    def __next__(self) -> bytes:
        while self._open:
            if not self._is_authorised():
                self.close()
                return b"event: end\ndata: {}\n\n"
            sequence, snapshot = self._feed.wait(self._sequence, SESSION_CHECK_S)
            if sequence < 0:
                break
            if sequence != self._sequence or time.monotonic() - self._sent >= HEARTBEAT_S:
                self._sequence, self._sent = sequence, time.monotonic()
                return self._frame(snapshot)
        raise StopIteration

    def _frame(self, snapshot: ChangeSnapshot) -> bytes:
        """The event of a snapshot; notices that did not change are left out."""
        before, self._last = self._last, snapshot
        unchanged = before is not None and before.notices == snapshot.notices
        return sse_frame("change", msgspec.structs.replace(snapshot, notices=None) if unchanged else snapshot)

    def close(self) -> None:
        """Unsubscribe. May be called twice."""
        with self._lock:
            was_open, self._open = self._open, False
        if was_open:
            self._feed.unsubscribe()

    def _is_authorised(self) -> bool:
        with suppress(StoreError):  # an outage of the store must not end the stream
            return self._session_is_valid()
        return True


def install(server: Flask, feed: ChangeFeed, authenticator: Authenticator) -> None:
    """Add the routes to `server`."""

    def session_is_valid(stream_request: Request) -> bool:
        person = authenticator.person(stream_request)
        return person is not None and not person.must_change and permissions.allowed(person.role, permissions.ROUTES["GET", PATH])

    @server.get(PATH)
    def live() -> Response:
        if not same_origin(request):  # without a login, any site could use up the streams
            return Response("requests from other sites are refused\n", status=403, mimetype="text/plain")
        if request.method == "HEAD":
            return Response(content_type="text/event-stream")
        stream_request: Request = request._get_current_object()  # type: ignore[attr-defined]
        try:
            stream = ChangeStream(feed, lambda: session_is_valid(stream_request))
        except TooManyViewers:
            text = f"the maximum of {feed.max_viewers} pages receives changes (setting dashboard_viewers); this page has to poll\n"
            return Response(text, status=503, mimetype="text/plain", headers={"Retry-After": "60"})
        return Response(stream, content_type="text/event-stream", headers={"X-Accel-Buffering": "no"}, direct_passthrough=True)

    @server.get(STATE_PATH)
    def live_state() -> Response:
        return Response(msgspec.json.encode(feed.snapshot()), content_type="application/json")
