"""A local HTTP server that records webhooks."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Request(NamedTuple):
    """A recorded POST. headers: names in lower case"""

    path: str
    headers: dict[str, str]
    body: bytes


class WebhookServer:
    """Records every POST.

    responses: the next responses, 204 when empty: a status, (status, headers), or None to keep the connection open without a response
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.responses: list[int | tuple[int, dict[str, str]] | None] = []
        self._closing = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                server.requests.append(Request(self.path, {key.lower(): value for key, value in self.headers.items()}, body))
                response = server.responses.pop(0) if server.responses else 204
                if response is None:
                    server._closing.wait(20)
                    return
                status, headers = response if isinstance(response, tuple) else (response, {})
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def close(self) -> None:
        """Stop the server."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
