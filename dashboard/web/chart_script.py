"""The script that draws our charts: the part of plotly.js for charts with axes, in the place where Dash looks for the whole.

The whole is three times as large, for maps and bodies that nobody here draws, and each visit's browser has to read it. The part is
plotly's own release of the version that plotly.py brings (tests/unit/test_dashboard_charts.py says how to renew it).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from flask import Flask, Response, request

PATH = "/_dash-component-suites/plotly/package_data/plotly.min.js"
"""Where dash-renderer fetches it from once a chart is shown."""
SCRIPT = Path(__file__).parent / "plotly-cartesian.min.js"


def install(server: Flask) -> None:
    """Add the route to `server`; Dash's own, of any file of its packages, is less specific."""
    body = SCRIPT.read_bytes()
    version = hashlib.blake2b(body, digest_size=8).hexdigest()

    @server.get(PATH)
    def charts() -> Response:
        answer = Response(body, mimetype="text/javascript")
        answer.set_etag(version)
        answer.cache_control.no_cache = True  # its address names no version: ask whether it is still the same
        answer.make_conditional(request)
        return answer
