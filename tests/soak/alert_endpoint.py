"""An HTTP server that receives alerts and verifies their signatures with the standardwebhooks library."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.soak.ledger import Query

DELIVERY_TIMEOUT_S = 20.0
COOLDOWN_S = 14_400
"""Default of the setting alert_cooldown_s: after an alert, its series raises no other for so long."""
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLwSw"


class AlertEndpoint:
    """received: webhooks by webhook-id; alerts: from alert to its webhook-ids; rejected: webhooks with a wrong signature"""

    def __init__(self) -> None:
        self.received: Counter[str] = Counter()
        self.alerts: dict[str, set[str]] = {}
        self.rejected = 0
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["content-length"]))
                try:
                    Webhook(SECRET).verify(content, {name.lower(): value for name, value in self.headers.items()})
                except WebhookVerificationError:
                    endpoint.rejected += 1
                    self.send_response(401)
                else:
                    endpoint.received[self.headers["webhook-id"]] += 1
                    endpoint.alerts.setdefault(json.loads(content)["data"]["id"], set()).add(self.headers["webhook-id"])
                    self.send_response(204)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="alert endpoint", daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def has_received(self, stored: list[tuple[Any, ...]], *, within_s: float = 0.0) -> bool:
        """Whether all of these alerts arrived, after waiting at most `within_s`."""
        ids = {str(row[0]) for row in stored}
        deadline = time.monotonic() + within_s
        while (missing := ids - self.alerts.keys()) and time.monotonic() < deadline:
            time.sleep(0.2)
        return not missing

    def problems(self, stored: list[tuple[Any, ...]]) -> dict[str, int]:
        """Counts of problems, after waiting for deliveries in progress. stored: from `stored_alerts`"""
        self.has_received(stored, within_s=DELIVERY_TIMEOUT_S)
        ids = {str(row[0]) for row in stored}
        pairs = itertools.pairwise(stored)
        return {
            "episodes with two alerts": sum(a[1:3] == b[1:3] and b[3] < a[3] + COOLDOWN_S for a, b in pairs),
            "alerts never delivered": len(ids - self.alerts.keys()),
            "unknown alerts": len(self.alerts.keys() - ids),
            "alerts with two webhook ids": sum(len(ids) > 1 for ids in self.alerts.values()),
            "webhooks rejected": self.rejected,
        }

    @property
    def settings(self) -> str:
        """The table of a settings file for this endpoint."""
        return f'[[webhooks]]\nurl = "{self.url}"\nsecret = "{SECRET}"\nallow_private = true\n'


def stored_alerts(read: Query) -> list[tuple[Any, ...]]:
    """(id, rule, series, end of the window as Unix seconds) of each stored alert, by rule, series and end."""
    return read("SELECT id, rule, series, toUInt32(window_start) + window_s AS ended FROM alerts FINAL ORDER BY rule, series, ended")
