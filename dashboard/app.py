"""The dashboard, put together: the door to Dash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import dash
from dash.exceptions import DependencyException
from flask import Flask

from dashboard import compression, forms, guards, pulses, routes, shell
from dashboard.api import routes as api_routes
from dashboard.api.backends import Backends
from dashboard.cache import Cache
from dashboard.delivering import Delivering
from dashboard.doors import Doors, asking
from dashboard.explaining import Explain
from dashboard.feeding import Feeding
from dashboard.lagging import Lags
from dashboard.live import Live
from dashboard.model_reads import ModelReads
from dashboard.modelling import Modelling
from dashboard.pages import sources, system
from dashboard.queries import Reads
from dashboard.ruling import Ruling
from dashboard.saved import Keeping
from dashboard.server import API, LIVE
from dashboard.upkeep import Upkeep
from dashboard.watching import Watching
from spine.deeds import PAGES, Deeds
from spine.life import inhibitions
from spine.settings import Settings
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


def _build(app: dash.Dash) -> str:
    """A short name of the program that a browser runs: another one when its callbacks or files are others."""
    digest = hashlib.blake2b(dash.__version__.encode(), digest_size=6)
    for name in sorted(app.callback_map):
        digest.update(name.encode())
    for path in sorted((Path(__file__).parent / "assets").iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def create_app(
    store: Store,
    settings: Settings | None = None,
    *,
    now: Callable[[], datetime] = _now,
    title: str = "Tocsin",
    cache: Cache | None = None,
    explain: Explain | None = None,
    backends: Backends | None = None,
    ruling: Ruling | None = None,
    watching: Watching | None = None,
    feeding: Feeding | None = None,
    lags: Lags | None = None,
    delivering: Delivering | None = None,
    modelling: Modelling | None = None,
) -> dash.Dash:
    """The dashboard and the API over `store`, ready to be served. `store` may be shared with other threads.

    settings: who is let in, and how; without them, those who have an account
    now: the time it goes by, aware UTC; cache: what all viewers share
    explain: asked which words drove a score; None where no model runs in this process
    backends: what the API can do besides reading the store; ruling, watching: who keeps the rules and the watchlists, None where
        they cannot be changed; modelling: who keeps the versions of the model, None where they are not to be had
    feeding: who looks at feeds and adds them, None where nobody does; lags: how far the workers are behind, None where no broker is known
    delivering: who knows of deliveries, None where they are not to be had
    Raises SettingsError for doors that cannot work.
    """
    app = dash.Dash(
        "tocsin-dashboard",
        server=Flask("tocsin-dashboard", static_folder=None),  # it would hand out the folder static/ of wherever we are started
        assets_folder=str(Path(__file__).parent / "assets"),
        index_string=INDEX,
        title=title,
        update_title=None,
        serve_locally=True,
        assets_ignore=r"login\.js",  # the login page's own
        compress=False,  # it would compress answers too: dashboard.compression
        suppress_callback_exceptions=True,  # components of a page exist while it is shown
        meta_tags=[
            {"name": "viewport", "content": "width=device-width, initial-scale=1"},
            {"name": "color-scheme", "content": "light dark"},
            {"name": "referrer", "content": "same-origin"},
        ],
    )
    app.server.register_error_handler(DependencyException, lambda _: ("there is no such file\n", 404))
    app.layout = shell.layout()
    settings = settings or Settings()
    cache = cache or Cache()
    reads = Reads(store, now, cache, inhibitions(settings.alert_inhibit))
    doors = Doors(store, settings, now)
    versions = ModelReads(store, now, cache, modelling)
    shell.register(
        app,
        reads,
        Deeds(store, now, asking, PAGES),
        Keeping(store, now),
        versions,
        explain=explain,
        ruling=ruling,
        watching=watching,
        delivering=delivering,
    )
    upkeep = Upkeep(store, now, cache, reads, lags)
    sources.register(app, upkeep, feeding, asking)
    system.register(app, upkeep)
    routes.install(app.server, reads)
    app.server.extensions[API] = api_routes.install(app.server, store, now, backends or Backends())
    forms.install(app.server, doors, title)
    compression.install(app.server)
    live = Live(store.changes, reads, cache, now, most=settings.dashboard_viewers, build=_build(app))
    app.server.extensions[LIVE] = live
    pulses.install(app.server, live, doors)
    guards.install(app.server, app.callback_map, app.csp_hashes(), doors)
    return app
