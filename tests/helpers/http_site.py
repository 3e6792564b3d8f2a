"""A small web site on a free loopback port whose responses, including broken ones, each test defines.

with Site() as site:
    site.pages["/feed"] = Response(b"<rss/>", etag='"1"')
    ... site.url + "/feed" ...
    site.requests                                # what was asked for, in order
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


@dataclass
class Response:
    """One response. A conditional request that matches etag or modified gets 304.

    chunks: sent one by one instead of `body`, without a length; the event of the site ends an endless one
    """

    body: bytes = b""
    status: int = 200
    content_type: str = "application/rss+xml; charset=utf-8"
    etag: str = ""
    modified: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    chunks: Callable[[threading.Event], Iterator[bytes]] | None = None


@dataclass
class RecordedRequest:
    path: str
    headers: dict[str, str]


class Site:
    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.pages: dict[str, Response] = {"/robots.txt": Response(status=404)}
        self.requests: list[RecordedRequest] = []
        self.closing = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                site.requests.append(RecordedRequest(self.path, {name.lower(): value for name, value in self.headers.items()}))
                answer = site.pages.get(self.path, Response(status=404))
                if (answer.etag and self.headers.get("If-None-Match") == answer.etag) or (
                    answer.modified and self.headers.get("If-Modified-Since") == answer.modified
                ):
                    self._head(304, answer)
                    self.end_headers()
                    return
                self._head(answer.status, answer)
                self.send_header("Content-Type", answer.content_type)
                if answer.chunks is None:
                    self.send_header("Content-Length", str(len(answer.body)))
                    self.end_headers()
                    self.wfile.write(answer.body)
                    return
                self.send_header("Connection", "close")
                self.end_headers()
                try:
                    for chunk in answer.chunks(site.closing):
                        self.wfile.write(chunk)
                        self.wfile.flush()
                except OSError:
                    pass  # the client closed the connection, as such a test expects
                self.close_connection = True

            def _head(self, status: int, answer: Response) -> None:
                self.send_response(status)
                for name, value in (("ETag", answer.etag), ("Last-Modified", answer.modified), *answer.headers.items()):
                    if value:
                        self.send_header(name, value)

            def log_message(self, *_: object) -> None:
                """Log nothing: tests read `requests`."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_address[1]}"

    def request_count(self, path: str) -> int:
        return sum(request.path == path for request in self.requests)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
