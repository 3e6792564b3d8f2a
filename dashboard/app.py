"""The dashboard, put together: the door to Dash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import dash
from dash.exceptions import DependencyException
from flask import Flask

from actions.audited_actions import PAGES, Deeds
from api import routes as api_routes
from api.backends import Backends
from core.cache import Cache
from core.settings import Settings
from dashboard import shell
from dashboard.reads.model_reads import ModelReads
from dashboard.reads.operations import Upkeep
from dashboard.reads.queries import Reads
from dashboard.reads.saved_views import Keeping
from dashboard.services import Services
from dashboard.web import chart_script, compression, login_forms, request_guards, routes, sse
from dashboard.web.authentication import Doors, asking
from dashboard.web.change_feed import Live
from dashboard.web.server import API, LIVE
from domain.alert_lifecycle import inhibitions
from storage.store import Store

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


NOBODY = Services()


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
    backends: Backends | None = None,
    services: Services = NOBODY,
) -> dash.Dash:
    """The dashboard and the API over `store`, ready to be served. `store` may be shared with other threads.

    settings: who is let in, and how; without them, those who have an account
    now: the time it goes by, aware UTC; cache: what all viewers share
    backends: what the API can do besides reading the store; services: what the pages can
    Raises UserError for doors that cannot work.
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
        compress=False,  # it would compress answers too: dashboard.web.compression
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
    upkeep, versions = Upkeep(store, now, cache, reads, services.consumer_lag), ModelReads(store, now, cache, services.models)
    shell.register(app, reads, upkeep, versions, Deeds(store, now, asking, PAGES), Keeping(store, now), services)
    routes.install(app.server, reads)
    chart_script.install(app.server)
    app.server.extensions[API] = api_routes.install(app.server, store, now, backends or Backends())
    login_forms.install(app.server, doors, title)
    compression.install(app.server)
    live = Live(store.changes, reads, cache, now, most=settings.dashboard_viewers, build=_build(app))
    app.server.extensions[LIVE] = live
    sse.install(app.server, live, doors)
    request_guards.install(app.server, app.callback_map, app.csp_hashes(), doors)
    return app
