"""The script that draws the charts is plotly's own, of the version that plotly.py means, and is what a browser is given."""

from __future__ import annotations

import gzip
import hashlib
import re

import pytest
from plotly.offline import get_plotlyjs_version

from core.settings import Settings
from dashboard.app import create_app
from dashboard.web.chart_script import PATH, SCRIPT
from storage.store import Store
from tests.unit.dashboard.reads.test_queries import EmptyClickHouse

SHA256 = "79542150855a52c567260e3137095dbe2b744e6d702a5cabe67da246942fba7a"
"""Of package/plotly-cartesian.min.js in `npm pack plotly.js-cartesian-dist-min@VERSION`, where VERSION is get_plotlyjs_version()."""


def test_it_is_the_release_that_fits_plotly():
    words = re.search(rb"plotly\.js \(cartesian - minified\) v(\S+)", SCRIPT.read_bytes()[:300])
    assert words, "no release of plotly.js"
    assert words[1].decode() == get_plotlyjs_version(), "fetch the one that fits, and its hash"
    assert hashlib.sha256(SCRIPT.read_bytes()).hexdigest() == SHA256, "it is not the file that was released"


def test_a_browser_gets_it_once():
    server = create_app(Store(EmptyClickHouse()), Settings(dashboard_login="none")).server
    first = server.test_client().get(PATH, headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(first.data) == SCRIPT.read_bytes()
    assert first.mimetype == "text/javascript"
    assert "no-cache" in first.headers["Cache-Control"]
    again = server.test_client().get(PATH, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    page = server.test_client().get("/").get_data(as_text=True)
    assert "plotly.min" not in page, "it is fetched when a chart is shown, and not before"


@pytest.mark.parametrize("kind", ["scatter", "bar", "heatmap"])
def test_it_knows_what_we_draw(kind: str):
    assert f'name:"{kind}"'.encode() in SCRIPT.read_bytes()
