"""The bundled plotly.js, and the compression of files."""

from __future__ import annotations

import gzip
import hashlib
import re

import pytest
from plotly.offline import get_plotlyjs_version

from core.settings import Settings
from dashboard.app import create_app
from dashboard.web.static_files import PLOTLY_FILE, PLOTLY_PATH, CompressedFiles
from storage.store import Store
from tests.helpers.dashboard import EmptyClickHouse

SHA256 = "79542150855a52c567260e3137095dbe2b744e6d702a5cabe67da246942fba7a"
"""SHA-256 of package/plotly-cartesian.min.js in `npm pack plotly.js-cartesian-dist-min@VERSION`, with VERSION of get_plotlyjs_version()."""


def test_the_file_is_the_release_that_plotly_py_needs():
    words = re.search(rb"plotly\.js \(cartesian - minified\) v(\S+)", PLOTLY_FILE.read_bytes()[:300])
    assert words, "not a release of plotly.js"
    assert words[1].decode() == get_plotlyjs_version(), "download that version, and update the hash"
    assert hashlib.sha256(PLOTLY_FILE.read_bytes()).hexdigest() == SHA256, "differs from the released file"


def test_plotly_js_is_served_compressed_and_revalidated():
    server = create_app(Store(EmptyClickHouse()), Settings(dashboard_login="none")).server
    first = server.test_client().get(PLOTLY_PATH, headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(first.data) == PLOTLY_FILE.read_bytes()
    assert first.mimetype == "text/javascript"
    assert "no-cache" in first.headers["Cache-Control"]
    again = server.test_client().get(PLOTLY_PATH, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    page = server.test_client().get("/").get_data(as_text=True)
    assert "plotly.min" not in page, "it is fetched only when a chart is shown"


@pytest.mark.parametrize("kind", ["scatter", "bar", "heatmap"])
def test_the_file_contains_every_trace_type_that_we_use(kind: str):
    assert f'name:"{kind}"'.encode() in PLOTLY_FILE.read_bytes()


def test_compressed_files_are_cached_by_version():
    files = CompressedFiles(size=2)
    assert files.get("/a", "1", b"one" * 999) is files.get("/a", "1", b"one" * 999)
    assert gzip.decompress(files.get("/a", "2", b"two" * 999)) == b"two" * 999
    first = files.get("/a", "1", b"one" * 999)
    files.get("/b", "1", b"b" * 999)
    files.get("/c", "1", b"c" * 999)
    assert files.get("/a", "1", b"one" * 999) is not first, "the cache is limited"
