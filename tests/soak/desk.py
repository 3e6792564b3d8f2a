"""The risk team's end: an HTTP server that believes no webhook whose signature the published library does not verify."""

from __future__ import annotations

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

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

    @property
    def settings(self) -> str:
        """The table of a settings file that sends alerts here."""
        return f'[[webhooks]]\nurl = "{self.url}"\nsecret = "{SECRET}"\nallow_private = true\n'
