"""A webhook receiver on the loopback address that verifies signatures (Standard Webhooks 1.0.0)."""

from __future__ import annotations

import hmac
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

import msgspec

from stream.delivery.signing import sign, signing_key

MAX_BODY_BYTES = 1_000_000
MAX_DIGITS = 12
"""Most digits of a timestamp."""
TOLERANCE_S = 300.0
"""Webhooks with an older or later timestamp are rejected as possible replays. Source: Standard Webhooks 1.0.0."""


class _Event(msgspec.Struct):
    data: dict[str, Any]


class Received(NamedTuple):
    """A webhook with a valid signature. at: when it arrived, Unix time in seconds."""

    webhook_id: str
    data: dict[str, Any]
    at: float


class Receiver:
    """Receives webhooks in a thread while inside its `with`. `received` holds each webhook-id once."""

    def __init__(self, secret: str, port: int = 0) -> None:
        self._key = signing_key(secret)
        self.received: list[Received] = []
        self.rejected = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                given = self.headers.get("Content-Length", "")
                length = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else MAX_BODY_BYTES + 1
                self.send_response(outer._take(dict(self.headers), self.rfile.read(length)) if length <= MAX_BODY_BYTES else 413)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                """Log nothing: the demo prints its own messages."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/tocsin"

    def _take(self, headers: dict[str, str], body: bytes) -> int:
        lower = {name.lower(): value for name, value in headers.items()}
        if not self._signed(lower, body):
            self.rejected += 1
            return 401
        try:
            data = msgspec.json.decode(body, type=_Event).data
        except msgspec.DecodeError:
            return 400
        with self._lock:
            if all(known.webhook_id != lower["webhook-id"] for known in self.received):
                self.received.append(Received(lower["webhook-id"], data, time.time()))
        return 204

    def _signed(self, headers: dict[str, str], body: bytes) -> bool:
        ident, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not (ident and ident.isascii() and timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= MAX_DIGITS):
            return False
        if abs(time.time() - int(timestamp)) > TOLERANCE_S:
            return False
        expected = sign(self._key, ident, int(timestamp), body).encode()
        given = headers.get("webhook-signature", "").encode("utf-8", "replace").split()
        return any(hmac.compare_digest(expected, each) for each in given)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
