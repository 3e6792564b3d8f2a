"""The dashboard, put together: the door to Dash."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import dash

from dashboard import guards, routes, shell
from dashboard.deeds import Deeds
from dashboard.explaining import Explain
from dashboard.feedback import NOBODY
from dashboard.queries import Cache, Reads
from spine.life import Inhibition
from spine.store import Store

INDEX = """<!DOCTYPE html>
<html lang="en">
  <head>
    {%metas%}
    <title>{%title%}</title>
    <link rel="icon" type="image/svg+xml" href="/assets/bell.svg">
    {%css%}
  </head>
  <body>
    {%app_entry%}
    <noscript>Tocsin needs JavaScript. 需要启用 JavaScript。</noscript>
    <footer>{%config%}{%scripts%}{%renderer%}</footer>
  </body>
</html>"""


def _now() -> datetime:
    return datetime.now(UTC)


def create_app(
    store: Store,
    *,
    now: Callable[[], datetime] = _now,
    title: str = "Tocsin",
    cache: Cache | None = None,
    inhibitions: Sequence[Inhibition] = (),
    explain: Explain | None = None,
    who: Callable[[], str] = lambda: NOBODY,
) -> dash.Dash:
    """The dashboard over `store`, ready to be served; `store` may be shared with other threads.

    now: the time it goes by, aware UTC; cache: what all viewers share; inhibitions: which alerts speak for which
    explain: asked which words drove a score; None where no model runs in this process
    who: names the person whose request is being answered
    """
    app = dash.Dash(
        "tocsin-dashboard",
        assets_folder=str(Path(__file__).parent / "assets"),
        index_string=INDEX,
        title=title,
        update_title=None,
        serve_locally=True,
        compress=False,
        suppress_callback_exceptions=True,  # components of a page exist while it is shown
        meta_tags=[
            {"name": "viewport", "content": "width=device-width, initial-scale=1"},
            {"name": "color-scheme", "content": "light dark"},
            {"name": "referrer", "content": "no-referrer"},
        ],
    )
    app.layout = shell.layout()
    reads = Reads(store, now, cache, inhibitions)
    shell.register(app, reads, Deeds(store, now, who), explain, who)
    routes.install(app.server, reads)
    guards.install(app.server, app.callback_map, app.csp_hashes())
    return app
