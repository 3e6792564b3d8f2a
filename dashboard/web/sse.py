"""The pulse on its way to the pages: server-sent events for each that is open, and one answer for those whose line holds no stream.

GET /live ─▶ a seat ─▶ hello, a pulse whenever something is new, one every 10 s all the same ─▶ "end" when the login ends
GET /live/state ─▶ one pulse
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec
from flask import Flask, Request, Response, request

from api.event_feed import frame
from core.errors import StoreError
from dashboard.web import permissions
from dashboard.web.authentication import Doors
from dashboard.web.change_feed import Full, Live, Pulse
from dashboard.web.request_guards import same_origin

PATH, STATE_PATH = "/live", "/live/state"
BEAT_S = 10.0
"""A pulse is sent after so much quiet: a page knows that the line holds, and we that the page is there."""
GLANCE_S = 2.0
"""How often it is looked whether the login still holds."""


class Viewer:
    """What one open page is sent, piece by piece. Close it: its seat is counted. Raises Full."""

    def __init__(self, live: Live, holds: Callable[[], bool]) -> None:
        self._live, self._holds = live, holds
        self._lock = threading.Lock()
        self._open = True
        self._last: Pulse | None = None
        self._turn, self._sent = -1, time.monotonic()
        live.join()

    def __iter__(self) -> Viewer:
        return self

    def __next__(self) -> bytes:
        while self._open:
            if not self._may_go_on():
                self.close()
                return b"event: end\ndata: {}\n\n"
            turn, pulse = self._live.hear(self._turn, GLANCE_S)
            if turn < 0:
                break
            if turn != self._turn or time.monotonic() - self._sent >= BEAT_S:
                self._turn, self._sent = turn, time.monotonic()
                return self._piece(pulse)
        raise StopIteration

    def _piece(self, pulse: Pulse) -> bytes:
        before, self._last = self._last, pulse
        same = before is not None and before.rang == pulse.rang
        return frame("pulse", msgspec.structs.replace(pulse, rang=None) if same else pulse)

    def close(self) -> None:
        """Give the seat back; calling it twice is fine."""
        with self._lock:
            was_open, self._open = self._open, False
        if was_open:
            self._live.leave()

    def _may_go_on(self) -> bool:
        with suppress(StoreError):  # a store that is away ends no login
            return self._holds()
        return True


def install(server: Flask, live: Live, doors: Doors) -> None:
    """Add the routes to `server`."""

    def holds(asked: Request) -> bool:
        person = doors.who(asked)
        return person is not None and not person.must_change and permissions.allowed(person.role, permissions.ROUTES["GET", PATH])

    @server.get(PATH)
    def watch() -> Response:
        if not same_origin(request):  # where nobody is asked, any site could take our seats
            return Response("requests from other sites are refused\n", status=403, mimetype="text/plain")
        if request.method == "HEAD":
            return Response(content_type="text/event-stream")
        asked: Request = request._get_current_object()  # type: ignore[attr-defined]
        try:
            viewer = Viewer(live, lambda: holds(asked))
        except Full:
            words = f"{live.most} pages are told what is new, as many as may be (dashboard_viewers); this one has to ask\n"
            return Response(words, status=503, mimetype="text/plain", headers={"Retry-After": "60"})
        return Response(viewer, content_type="text/event-stream", headers={"X-Accel-Buffering": "no"}, direct_passthrough=True)

    @server.get(STATE_PATH)
    def state() -> Response:
        return Response(msgspec.json.encode(live.pulse()), content_type="application/json")
