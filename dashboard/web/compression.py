"""Scripts and styles leave compressed, each of them compressed once: a browser's first visit fetches 3 MB and not 10.

Answers with somebody's data stay as they are: beside words that another has chosen, the length of what is compressed tells of the
rest (BREACH, https://breachattack.com).
"""

from __future__ import annotations

import gzip
import threading
from collections import OrderedDict

from flask import Flask, Response, request

PREFIXES = ("/_dash-component-suites/", "/assets/")
TYPES = ("text/javascript", "application/javascript", "text/css", "image/svg+xml")
LEVEL = 6
LEAST_BYTES = 1_000
KEPT = 64
"""Files that are kept compressed: more than there are."""


class Compressed:
    """Files in their compressed form, by address and version. Thread safe."""

    def __init__(self, size: int = KEPT) -> None:
        self._size = size
        self._kept: OrderedDict[tuple[str, str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, path: str, version: str, body: bytes) -> bytes:
        """`body` compressed; at once where it has been before."""
        key = (path, version, len(body))
        with self._lock:
            found = self._kept.get(key)
        if found is None:
            found = gzip.compress(body, LEVEL, mtime=0)
        with self._lock:
            self._kept[key] = found
            self._kept.move_to_end(key)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
        return found


_FILES = Compressed()
"""The files are the same for every app of this process."""


def install(server: Flask) -> None:
    """Compress what `server` hands out of its files, for browsers that can read it."""

    @server.after_request
    def compress(response: Response) -> Response:
        if request.method != "GET" or response.status_code != 200 or not request.path.startswith(PREFIXES):
            return response
        if response.mimetype not in TYPES or response.content_encoding:
            return response
        response.vary.add("Accept-Encoding")
        response.direct_passthrough = False
        body = response.get_data()
        if len(body) >= LEAST_BYTES and request.accept_encodings["gzip"] > 0:
            response.set_data(_FILES.of(request.path, response.headers.get("ETag", ""), body))
            response.content_encoding = "gzip"
        return response
