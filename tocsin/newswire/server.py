"""The newswire's HTTP server: conditional requests, gzip and keep-alive."""

from __future__ import annotations

import gzip
import hashlib
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

GZIP_FROM_BYTES = 500


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """The response for a path.

    etag: of the uncompressed body
    changed_at: Last-Modified; None to omit it
    """

    status: HTTPStatus
    body: bytes
    content_type: str
    etag: str
    changed_at: datetime | None
    max_age_s: int

    @staticmethod
    def of(body: bytes, content_type: str, *, changed_at: datetime | None = None, max_age_s: int = 1) -> HttpAnswer:
        """A response with status 200."""
        etag = hashlib.blake2b(body, digest_size=10).hexdigest()
        return HttpAnswer(HTTPStatus.OK, body, content_type, etag, changed_at, max_age_s)

    @staticmethod
    def missing() -> HttpAnswer:
        """A response with status 404."""
        body = b"<!doctype html><title>404</title><p>There is no such page.</p>\n"
        return HttpAnswer(HTTPStatus.NOT_FOUND, body, "text/html; charset=utf-8", "", None, 0)

    def unchanged(self, if_none_match: str, if_modified_since: str) -> bool:
        """Whether the client's copy is current (RFC 9110, 13.2.2): If-None-Match takes precedence over If-Modified-Since."""
        if if_none_match:
            named = {tag.strip().removeprefix("W/").strip('"').removesuffix("-gzip") for tag in if_none_match.split(",")}
            return self.etag in named or "*" in named
        if not if_modified_since or self.changed_at is None:
            return False
        try:
            since = parsedate_to_datetime(if_modified_since)
        except ValueError:
            return False
        return self.changed_at <= (since if since.tzinfo else since.replace(tzinfo=UTC))


class WireServer(ThreadingHTTPServer):
    """Serves the responses of `answer` in its own threads, from `begin` to `end`."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], answer: Callable[[str], HttpAnswer]) -> None:
        self.answer = answer
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, name="newswire", daemon=True)

    def begin(self) -> None:
        """Start serving."""
        self._thread.start()

    def end(self) -> None:
        """Stop serving and close kept-alive connections."""
        self.shutdown()
        with self._lock:
            still_open = list(self._open)
        for connection in still_open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()
        self._thread.join()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Record the connection, so that `end` can close it."""
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close the connection."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect; report other errors."""
        import sys

        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: WireServer
    protocol_version = "HTTP/1.1"
    server_version = "newswire"
    sys_version = ""
    timeout = 60
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Respond with the body."""
        self._reply(with_body=True)

    def do_HEAD(self) -> None:
        """Respond as GET, without the body."""
        self._reply(with_body=False)

    def _reply(self, *, with_body: bool) -> None:
        answer = self.server.answer(unquote(urlsplit(self.path).path))
        packed = "gzip" in self.headers.get("Accept-Encoding", "") and len(answer.body) >= GZIP_FROM_BYTES
        fresh = answer.status == HTTPStatus.OK and answer.unchanged(
            self.headers.get("If-None-Match", ""), self.headers.get("If-Modified-Since", "")
        )
        body = gzip.compress(answer.body, 5, mtime=0) if packed and not fresh else answer.body
        self.send_response(HTTPStatus.NOT_MODIFIED if fresh else answer.status)
        if answer.etag:
            self.send_header("ETag", f'"{answer.etag}{"-gzip" if packed else ""}"')
            self.send_header("Cache-Control", f"public, max-age={answer.max_age_s}")
        if answer.changed_at is not None:
            self.send_header("Last-Modified", format_datetime(answer.changed_at.astimezone(UTC), usegmt=True))
        self.send_header("Vary", "Accept-Encoding")
        if fresh:
            self.end_headers()
            return
        self.send_header("Content-Type", answer.content_type)
        if packed:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: `Newswire.requests` counts requests."""
