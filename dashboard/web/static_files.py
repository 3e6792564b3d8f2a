"""Scripts and styles: the reduced build of plotly.js, and gzip compression of files.

plotly-cartesian.min.js is plotly's own release for charts with axes, of the version that plotly.py needs. It is served in place of the full
build, which is three times as large (tests/unit/dashboard/web/test_static_files.py says how to renew it).

Each file is compressed once: the first visit of a browser fetches 3 MB instead of 10. Responses with data are never compressed: if an
attacker controls part of a response, its compressed length reveals the rest (BREACH, https://breachattack.com).
"""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections import OrderedDict
from pathlib import Path

from flask import Flask, Response, request

PLOTLY_PATH = "/_dash-component-suites/plotly/package_data/plotly.min.js"
"""Where dash-renderer fetches plotly.js from when a chart is shown."""
PLOTLY_FILE = Path(__file__).parent / "plotly-cartesian.min.js"
PREFIXES = ("/_dash-component-suites/", "/assets/")
TYPES = ("text/javascript", "application/javascript", "text/css", "image/svg+xml")
LEVEL = 6
MIN_BYTES = 1_000
MAX_FILES = 64
"""Compressed files kept in memory; more than there are."""


class CompressedFiles:
    """Cache of compressed files by path and version. Thread safe."""

    def __init__(self, size: int = MAX_FILES) -> None:
        self._size = size
        self._files: OrderedDict[tuple[str, str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: str, version: str, body: bytes) -> bytes:
        """`body` compressed with gzip, from the cache if possible."""
        key = (path, version, len(body))
        with self._lock:
            found = self._files.get(key)
        if found is None:
            found = gzip.compress(body, LEVEL, mtime=0)
        with self._lock:
            self._files[key] = found
            self._files.move_to_end(key)
            while len(self._files) > self._size:
                self._files.popitem(last=False)
        return found


_FILES = CompressedFiles()
"""The files are the same for every app of this process."""


def install_plotly(server: Flask) -> None:
    """Add the route of plotly.js. It is more specific than Dash's own route for package files."""
    body = PLOTLY_FILE.read_bytes()
    version = hashlib.blake2b(body, digest_size=8).hexdigest()

    @server.get(PLOTLY_PATH)
    def charts() -> Response:
        response = Response(body, mimetype="text/javascript")
        response.set_etag(version)
        response.cache_control.no_cache = True  # the path contains no version: browsers must revalidate
        response.make_conditional(request)
        return response


def install_compression(server: Flask) -> None:
    """Compress files for browsers that accept gzip."""

    @server.after_request
    def compress(response: Response) -> Response:
        if request.method != "GET" or response.status_code != 200 or not request.path.startswith(PREFIXES):
            return response
        if response.mimetype not in TYPES or response.content_encoding:
            return response
        response.vary.add("Accept-Encoding")
        response.direct_passthrough = False
        body = response.get_data()
        if len(body) >= MIN_BYTES and request.accept_encodings["gzip"] > 0:
            response.set_data(_FILES.get(request.path, response.headers.get("ETag", ""), body))
            response.content_encoding = "gzip"
        return response
