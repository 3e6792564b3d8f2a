"""The risk team's end: an HTTP server that believes no webhook whose signature the published library does not verify."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.soak.ledger import Reads

ARRIVE_S = 20.0
QUIET_S = 14_400
"""Default of the setting alert_cooldown_s: so long after a window that rang, its series is quiet."""
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLwSw"


class Desk:
    """Counts by webhook-id what came, and by alert; refused: what did not verify."""

    def __init__(self) -> None:
        self.came: Counter[str] = Counter()
        self.alerts: dict[str, set[str]] = {}
        self.refused = 0
        desk = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["content-length"]))
                try:
                    Webhook(SECRET).verify(content, {name.lower(): value for name, value in self.headers.items()})
                except WebhookVerificationError:
                    desk.refused += 1
                    self.send_response(401)
                else:
                    desk.came[self.headers["webhook-id"]] += 1
                    desk.alerts.setdefault(json.loads(content)["data"]["id"], set()).add(self.headers["webhook-id"])
                    self.send_response(204)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="desk", daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def heard(self, rang: list[tuple[Any, ...]], *, within_s: float = 0.0) -> bool:
        """Whether all of these alerts came, once they had so long."""
        ids = {str(row[0]) for row in rang}
        deadline = time.monotonic() + within_s
        while (missing := ids - self.alerts.keys()) and time.monotonic() < deadline:
            time.sleep(0.2)
        return not missing

    def problems(self, rang: list[tuple[Any, ...]]) -> dict[str, int]:
        """What is wrong with the alerts that are stored, counted, once those on their way had time to come. rang: as `rung` has them"""
        self.heard(rang, within_s=ARRIVE_S)
        ids = {str(row[0]) for row in rang}
        pairs = itertools.pairwise(rang)
        return {
            "episodes that rang twice": sum(a[1:3] == b[1:3] and b[3] < a[3] + QUIET_S for a, b in pairs),
            "alerts never delivered": len(ids - self.alerts.keys()),
            "alerts nobody knows": len(self.alerts.keys() - ids),
            "alerts with two webhook ids": sum(len(ids) > 1 for ids in self.alerts.values()),
            "webhooks refused": self.refused,
        }

    @property
    def settings(self) -> str:
        """The table of a settings file that sends alerts here."""
        return f'[[webhooks]]\nurl = "{self.url}"\nsecret = "{SECRET}"\nallow_private = true\n'


def rung(read: Reads) -> list[tuple[Any, ...]]:
    """(id, rule, series, end of its window in seconds since 1970) of each stored alert, by rule, series and end."""
    return read("SELECT id, rule, series, toUInt32(window_start) + window_s AS ended FROM alerts FINAL ORDER BY rule, series, ended")
