"""Assembly of the Dash app: pages, API and web server parts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import dash
from dash.exceptions import DependencyException
from flask import Flask

from actions.audited_actions import PAGES, AuditedActions
from api import routes as api_routes
from api.context import Backends
from core.cache import Cache
from core.settings import Settings
from dashboard import shell
from dashboard.reads.model_reads import ModelReads
from dashboard.reads.operations import OperationsReads
from dashboard.reads.queries import Reads
from dashboard.reads.saved_views import SavedViewActions
from dashboard.services import Services
from dashboard.web import login_forms, request_guards, routes, sse, static_files
from dashboard.web.authentication import Authenticator, current_name
from dashboard.web.change_feed import ChangeFeed
from dashboard.web.server import API, CHANGE_FEED
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
NO_SERVICES = Services()


def _now() -> datetime:
    return datetime.now(UTC)


def _build(app: dash.Dash) -> str:
    """Version of the program in the browser: a digest of Dash's version, the callbacks and the assets."""
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
    services: Services = NO_SERVICES,
) -> dash.Dash:
    """The dashboard and the API over a store, ready to be served.

    Args:
        store: may be shared with other threads
        settings: authentication among others; by default people log in to an account
        now: wall clock, aware UTC
        title: name in the header and the browser tab
        cache: of reads, shared by all viewers
        backends: what the API can do besides reading the store
        services: what the pages can do besides reading the store

    Raises:
        SettingsError: the settings of the login would admit nobody, or everybody
    """
    app = dash.Dash(
        "tocsin-dashboard",
        server=Flask("tocsin-dashboard", static_folder=None),  # it would serve a folder static/ of the working directory
        assets_folder=str(Path(__file__).parent / "assets"),
        index_string=INDEX,
        title=title,
        update_title=None,
        serve_locally=True,
        assets_ignore=r"login\.js",  # of the login page only
        compress=False,  # it would compress data too: dashboard.web.static_files
        suppress_callback_exceptions=True,  # components exist only while their page is shown
        meta_tags=[
            {"name": "viewport", "content": "width=device-width, initial-scale=1"},
            {"name": "color-scheme", "content": "light dark"},
            {"name": "referrer", "content": "same-origin"},
        ],
    )
    app.server.register_error_handler(DependencyException, lambda _: ("no such file\n", 404))
    app.layout = shell.layout()
    settings = settings or Settings()
    cache = cache or Cache()
    reads = Reads(store, now, cache, inhibitions(settings.alert_inhibit))
    authenticator = Authenticator(store, settings, now)
    operations_reads = OperationsReads(store, now, cache, reads, services.consumer_lag)
    versions = ModelReads(store, now, cache, services.models)
    actions = AuditedActions(store, now, current_name, PAGES)
    shell.register(app, reads, operations_reads, versions, actions, SavedViewActions(store, now), services)
    routes.install(app.server, reads)
    static_files.install_plotly(app.server)
    app.server.extensions[API] = api_routes.install(app.server, store, now, backends or Backends())
    login_forms.install(app.server, authenticator, title)
    static_files.install_compression(app.server)
    changes = ChangeFeed(store.changes, reads, cache, now, max_viewers=settings.dashboard_viewers, build=_build(app))
    app.server.extensions[CHANGE_FEED] = changes
    sse.install(app.server, changes, authenticator)
    request_guards.install(app.server, app.callback_map, app.csp_hashes(), authenticator)
    return app
