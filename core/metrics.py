"""Prometheus metrics of all processes, and the HTTP server for /metrics and /healthz."""

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
SKIPPED_ENTRIES = Counter("tocsin_skipped_entries", "Entries of feeds that did not become articles", ["source", "reason"])
PUBLISHED = Counter("tocsin_published", "Articles acknowledged by Kafka")
PUBLISH_ERRORS = Counter("tocsin_publish_errors", "Articles that Kafka did not accept; they stay in the outbox")
OUTBOX = Gauge("tocsin_outbox_pending", "Articles waiting in the outbox")
SCORED = Counter("tocsin_scored", "Articles scored", ["language"])
NOT_MATERIAL = Counter(
    "tocsin_not_material", "Scored articles that alerts and charts do not count, because they are not relevant to prices", ["language"]
)
UNDATED = Counter("tocsin_undated", "Articles without a trustworthy publication time, which alerts and charts do not count", ["source"])
REPEATED = Counter("tocsin_repeated", "Articles received again unchanged and not scored again")
UPDATED = Counter("tocsin_updated", "Articles received again with a changed text, scored and stored again")
COPIES = Counter("tocsin_copies", "Articles received with the id of another source's article and stored as separate articles", ["source"])
SENTIMENT_CHANGES = Counter("tocsin_sentiment_changes", "Articles whose sentiment changed with their text", ["before", "after"])
PREDICTION_CACHE = Counter("tocsin_prediction_cache", "Texts to classify: found in the prediction cache (hit) or not (miss)", ["outcome"])
BOILERPLATE = Counter("tocsin_boilerplate", "Articles from which the learned boilerplate of their source was removed", ["source"])
BOILERPLATE_REPEATS = Gauge("tocsin_boilerplate_repeats", "Repeated starts and ends that were learned for a source", ["source"])
DEAD_LETTERS = Counter("tocsin_dead_letters", "Records stored as dead letters", ["stage"])
FORGED_RECORDS = Counter("tocsin_forged_records", "Records on the embedded broker that Tocsin did not write; they are dropped", ["topic"])
LOST_MESSAGES = Counter("tocsin_lost_messages", "Messages deleted from their topic before they were read", ["topic"])
BATCH_MESSAGES = Histogram(
    "tocsin_batch_messages", "Messages in one batch of a stage", ["stage"], buckets=(1, 4, 16, 64, 128, 256, 512, 1024)
)
BATCH_SECONDS = Histogram("tocsin_batch_seconds", "Duration of one processing step of a batch", ["step"])
FETCH_TO_STORE_SECONDS = Histogram(
    "tocsin_fetch_to_store_seconds",
    "Time from fetching an article to storing it with its score",
    buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600),
)
RETRIES = Counter("tocsin_retries", "Retries of store calls after transient errors", ["step"])
ALERT_THRESHOLD = Gauge("tocsin_alert_threshold", "Alert threshold of the spike detector: surprise as -log10 p")
SOURCE_NEGATIVE_SHARE = Gauge(
    "tocsin_source_negative_share", "Negative share of the articles of a source in a window of 24h or 7d", ["source", "language", "window"]
)
SOURCE_OUTLIERS = Gauge(
    "tocsin_source_sentiment_outlier",
    "1 if the negative share of a source stands out from that of the other sources of its language, else 0",
    ["source", "language", "window"],
)
SILENT_SOURCES = Gauge("tocsin_silent_sources", "Sources in outage; the whole feed counts as one")
ALERTS = Counter("tocsin_alerts", "Alerts raised", ["severity"])
FIRST_LOGIN = Gauge("tocsin_first_login", "1 until the password of the first account has been changed, then 0")
WEBHOOKS = Counter("tocsin_webhooks", "Webhook deliveries", ["outcome"])


@contextlib.contextmanager
def served(host: str, port: int, unhealthy_reason: Callable[[], str]) -> Iterator[None]:
    """Serve /metrics and /healthz inside the block; nothing for port 0.

    Args:
        host: an address of this machine
        unhealthy_reason: returns "" if the process is healthy, else the reason, which is answered as 503

    Raises:
        SettingsError: the port cannot be opened
    """
    if not port:
        yield
        return
    try:
        server = _Server((host, port), _handler(unhealthy_reason))
    except OSError as error:
        raise SettingsError(f"metrics_host {host}, metrics_port {port}: {error.strerror}; choose another port, or 0 for none") from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do not log clients that close the connection before the response."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler(unhealthy_reason: Callable[[], str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
            elif self.path == "/healthz":
                reason = unhealthy_reason()
                self._answer(503 if reason else 200, "text/plain; charset=utf-8", (reason or "ok").encode())
            else:
                self._answer(404, "text/plain; charset=utf-8", b"try /metrics or /healthz")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Do not log scrapes."""

    return Handler
