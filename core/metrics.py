"""Prometheus metrics of every role, and the little server that shows them with the role's health."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest

from core.errors import SettingsError

FETCHES = Counter("tocsin_fetches", "Requests to sources", ["source", "outcome"])
PUBLISHED = Counter("tocsin_published", "Articles that Kafka acknowledged")
PUBLISH_ERRORS = Counter("tocsin_publish_errors", "Articles that Kafka did not take; they stay in the outbox")
OUTBOX = Gauge("tocsin_outbox_pending", "Articles waiting in the outbox")
SCORED = Counter("tocsin_scored", "Articles scored", ["language"])
REPEATED = Counter("tocsin_repeated", "Articles that came again unchanged and were not scored again")
UPDATED = Counter("tocsin_updated", "Articles that came again with other words: the newer ones were scored and stored in their place")
MEMO = Counter("tocsin_memo", "Texts for the model: known from an identical one (hit) or read by it (miss)", ["outcome"])
DEAD = Counter("tocsin_dead_letters", "Records set aside", ["stage"])
MISSED = Counter("tocsin_missed", "Messages that had left their topic before they were read", ["topic"])
BATCH_SIZE = Histogram("tocsin_batch_articles", "Articles in one batch", buckets=(1, 4, 16, 64, 128, 256, 512, 1024))
BATCH_SECONDS = Histogram("tocsin_batch_seconds", "A batch in one step of the work: draft, keep, watch, notify", ["step"])
DELAY_SECONDS = Histogram("tocsin_delay_seconds", "From fetched to stored", buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600))
RETRIES = Counter("tocsin_retries", "Transient errors that were tried again", ["step"])
ALERT_BAR = Gauge("tocsin_alert_bar", "The surprise that rings (-log10 of the odds), as learned from the past")
SILENT = Gauge("tocsin_silent", "Sources that are silent for longer than their own past explains, the whole feed being one")
ALERTS = Counter("tocsin_alerts", "Alerts raised", ["severity"])
FIRST_LOGIN = Gauge("tocsin_first_login", "Whether the first account waits for the password that the parent knows: 1, else 0")
WEBHOOKS = Counter("tocsin_webhooks", "Webhook deliveries", ["outcome"])


@contextlib.contextmanager
def served(host: str, port: int, trouble: Callable[[], str]) -> Iterator[None]:
    """While inside, serve /metrics and /healthz on `port` of an address of this machine; nothing for port 0.

    trouble: "" when all is well, else what is wrong (answered as 503). Raises SettingsError when the port cannot be had.
    """
    if not port:
        yield
        return
    try:
        server = _Server((host, port), _handler(trouble))
    except OSError as error:
        raise SettingsError(f"metrics_host {host}, metrics_port {port}: {error.strerror}; choose another, or port 0 for none") from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A health check that hangs up before its answer is no news."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler(trouble: Callable[[], str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
            elif self.path == "/healthz":
                wrong = trouble()
                self._answer(503 if wrong else 200, "text/plain; charset=utf-8", (wrong or "ok").encode())
            else:
                self._answer(404, "text/plain; charset=utf-8", b"try /metrics or /healthz")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Scrapes are not news."""

    return Handler
