"""The shell around every page: header, navigation, status line, and the state that the address holds.

address + browser ─▶ resolve (assets/tocsin.js) ─▶ route: which page is drawn ─▶ view: what it shows
dashboard.web.change_feed ─▶ changes (assets/live.js) ─▶ tick, if data of the page changed ─▶ refresh of the page
                                               └▶ status line, title, and notifications (assets/bell.js)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any, get_args

import dash
import dash_mantine_components as dmc
from dash import ClientsideFunction, Input, Output, State, dcc, html

from actions.audited_actions import AuditedActions
from core.cache import DATA_KINDS
from core.records import Severity
from dashboard import i18n
from dashboard.figures.charts import FONT
from dashboard.pages import (
    alert,
    alert_actions,
    article,
    articles,
    bell,
    deliveries,
    inbox,
    models,
    overview,
    people,
    rules,
    saved_views,
    series,
    sources,
    system,
    watchlists,
)
from dashboard.pages.components import href, not_found
from dashboard.pages.range_picker import fault_words
from dashboard.reads.model_reads import ModelReads
from dashboard.reads.operations import OperationsReads
from dashboard.reads.queries import Reads
from dashboard.reads.saved_views import SavedViewActions
from dashboard.services import Services
from dashboard.view import View, parse
from dashboard.web.authentication import LOCAL_USER, current_person
from domain.accounts import Person, Role, may

PAGES = (overview, inbox, articles, article, series, alert)
PAGES_WITH_SERVICES = (rules, watchlists, sources, system, people, deliveries, models)
"""Pages that are registered with more than their reads."""
EVERY_PAGE = (*PAGES, *PAGES_WITH_SERVICES)
"""All pages; tests and `make screenshots` visit each of them."""
HEADER = (
    # label, address, page
    ("home", "/", overview),
    ("inbox", inbox.PATH, inbox),
    ("search", articles.PATH, articles),
    ("watchlists", watchlists.PATH, watchlists),
    ("rules", rules.PATH, rules),
)
OPERATIONS = (
    # the same, in the menu "Operations"
    ("sources", sources.PATH, sources),
    ("system", system.PATH, system),
    ("deliveries", deliveries.PATH, deliveries),
    ("models", models.PATH, models),
    ("people", people.PATH, people),
)
KEYS = {"o": "home", "a": "inbox", "s": "search", "w": "watchlists", "r": "rules", "d": "deliveries", "m": "models"}
"""Keyboard shortcuts: the letter after "g" that opens a page. assets/tocsin.js has the addresses."""
RESTRICTED: Mapping[ModuleType, Role] = {people: people.LEAST}
"""Pages that need a role. Their callbacks are protected by dashboard.web.permissions as well."""
VERMILLION = ["#fff1e6", "#ffe1cc", "#ffc299", "#ffa066", "#f98a45", "#ee7420", "#d55e00", "#b04e00", "#8c3e00", "#6b2f00"]


def layout() -> Any:
    """The layout, the same for everybody. Header and page are filled in once the browser has sent its time zone and language."""
    return dmc.MantineProvider(
        [
            dcc.Location(id="url", refresh=False),
            dcc.Store(id="environment"),
            dcc.Store(id="route"),
            dcc.Store(id="view"),
            dcc.Store(id="theme"),
            dcc.Store(id="words"),
            dcc.Store(id="changes"),
            dcc.Store(id="bell-saved"),
            dcc.Interval(id="tick", disabled=True),  # assets/live.js increments it when there is something to fetch
            dcc.Interval(id="second", interval=1_000),
            html.Div(id="header"),
            html.Main(id="page", tabIndex="-1"),
        ],
        id="provider",
        theme={
            "fontFamily": FONT,
            "primaryColor": "blue",
            "primaryShade": 8,  # white on anything lighter is hard to read
            "defaultRadius": "md",
            "colors": {"vermillion": VERMILLION},
        },
    )


def header(view: View, zone: str, title: str, path: str, person: Person | None) -> Any:
    """The header: name, navigation, status, language, theme, and the person who is logged in."""

    def words(key: str, **values: object) -> str:
        return i18n.text(key, view.language, **values)

    def links(pages: Iterable[tuple[str, str, ModuleType]]) -> list[Any]:
        return [
            dcc.Link(words(name), href=href(address, view), className="current" if module.match(path) is not None else "")
            for name, address, module in pages
            if _may_see(module, person)
        ]

    operations = html.Details(
        [
            html.Summary(
                words("operations"), className="current" if any(module.match(path) is not None for *_, module in OPERATIONS) else ""
            ),
            html.Div(html.Ul([html.Li(link) for link in links(OPERATIONS)]), className="box"),
        ],
        className="menu",
        id="operations",
    )
    languages = [{"value": "en", "label": "EN"}, {"value": "zh", "label": "中文"}]
    return html.Header(
        [
            html.A(words("skip"), href="#page", className="skip"),
            dcc.Link(
                [
                    html.Img(src=dash.get_asset_url("bell.svg"), alt="", width=30, height=30),
                    html.Span(title, className="brand-name"),
                    html.Span(words("tagline"), className="muted tagline"),
                ],
                href=href("/", view),
                className="brand",
            ),
            html.Nav([*links(HEADER), operations], className="pages", **{"aria-label": words("pages")}),
            html.Div(
                [
                    html.Span(
                        [
                            html.Span(words("status.connecting"), id="status-word", role="status"),
                            html.Span(id="status-age", **{"aria-hidden": "true"}),  # changes every second: not for screen readers
                        ],
                        id="status",
                        className="status connecting",
                        title=words("zone", zone=zone),
                    ),
                    html.Span("", id="dead-letters", className="dead-letters", title=words("status.dead_letters.title")),
                    html.Span(words("zone", zone=zone), className="muted zone"),
                ],
                className="state",
            ),
            html.Div(
                [
                    *bell.switch(view),
                    dmc.SegmentedControl(
                        id="language", data=languages, value=view.language, size="xs", **{"aria-label": words("language")}
                    ),
                    html.Button(
                        "▲",
                        id="colours",
                        type="button",
                        n_clicks=0,
                        className="small-button",
                        title=words("colours"),
                        **{"aria-label": words("colours"), "aria-pressed": str(view.colours == "red-up").lower()},
                    ),
                    html.Button(
                        "?",
                        id="keys-show",
                        type="button",
                        className="small-button",
                        title=words("keys.show"),
                        **{"aria-label": words("keys.show")},
                    ),
                    dmc.ActionIcon(
                        "◐",
                        id="theme-switch",
                        variant="default",
                        size="lg",
                        **{"aria-label": words("theme"), "attributes": {"root": {"title": words("theme")}}},
                    ),
                ],
                className="switches",
            ),
            saved_views.menu(view, person),
            *_person(person, view),
            _keys(view),
        ],
        className="header",
    )


def _keys(view: View) -> Any:
    """The list of keyboard shortcuts, opened by "?" (assets/tocsin.js)."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    rows = [("/", words("keys.search")), *((f"g {key}", words(label)) for key, label in KEYS.items()), ("?", words("keys.help"))]
    terms = [part for keys, what in rows for part in (html.Dt([html.Kbd(key) for key in keys.split()]), html.Dd(what))]
    close = html.Button(words("keys.close"), id="keys-close", type="button", className="button small")
    return html.Dialog([html.H2(words("keys")), html.Dl(terms), close], id="keys", className="keys", **{"aria-label": words("keys")})


def _person(person: Person | None, view: View) -> list[Any]:
    """The account menu: empty without a login, the name only if a proxy authenticates."""
    if person is None or person is LOCAL_USER:
        return []
    role = i18n.text(f"role.{person.role}", view.language)
    if not person.session:
        return [html.Span(person.name, className="person", title=role)]
    named = i18n.text("person", view.language, name=person.name)
    query = f"?lang={view.language}"
    account = html.A(person.name, id="person", href="/password" + query, title=f"{named} ({role})", **{"aria-label": named})
    leave = html.Button(i18n.text("logout", view.language), id="logout", type="submit", className="plain")
    return [html.Form([account, leave], action="/logout" + query, method="POST", className="person")]


def _may_see(module: ModuleType, person: Person | None) -> bool:
    return module not in RESTRICTED or (person is not None and may(person.role, RESTRICTED[module]))


def page(path: str, view: View, person: Person | None = None) -> Any:
    """The layout of the page at an address, or of a message if it does not exist or the person lacks the role."""
    for module in EVERY_PAGE:
        key = module.match(path)
        if key is not None and not _may_see(module, person):
            return not_found("people.refused", view)
        if key is not None:
            return module.layout(view, key)
    return not_found("missing.page", view)


def _browser_texts(view: View, title: str, path: str) -> dict[str, Any]:
    """Texts and page properties for the scripts in assets/: status line, ages, notifications, time range errors."""

    def several(prefix: str, *names: str) -> dict[str, str]:
        return {name: i18n.text(f"{prefix}.{name}", view.language) for name in names}

    found = next((module for module in EVERY_PAGE if module.match(path) is not None), None)
    return several("status", "connecting", "reconnecting", "live", "updated", "stale", "store", "dead_letters") | {
        "title": title,
        "follows": list(getattr(found, "FOLLOWS", DATA_KINDS if found in PAGES else ())),
        "every": getattr(found, "EVERY_S", 0),
        "ago": {"now": i18n.text("ago.now", view.language), "locale": i18n.LOCALES[view.language].replace("_", "-")},
        "bell": several("bell", "off", "on", "blocked", "sound"),
        "severity": several("severity", *get_args(Severity)),
        "range_errors": fault_words(view),
    }


def register(
    app: dash.Dash,
    reads: Reads,
    operations_reads: OperationsReads,
    versions: ModelReads,
    actions: AuditedActions,
    view_actions: SavedViewActions,
    services: Services,
) -> None:
    """Register the callbacks of the shell and of every page."""
    title = str(app.title)

    def client(function: str, *arguments: Any, of: str = "tocsin", **options: Any) -> None:
        app.clientside_callback(ClientsideFunction(of, function), *arguments, **options)

    client("environment", Output("environment", "data"), Input("environment", "id"))
    client(
        "resolve",
        Output("route", "data"),
        Output("view", "data"),
        Input("url", "pathname"),
        Input("url", "search"),
        Input("environment", "data"),
    )
    client(
        "setRange",
        Output("url", "search", allow_duplicate=True),
        Input("range", "value"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    client(
        "setFree",
        Output("url", "search", allow_duplicate=True),
        Output("range-message", "children"),
        Input("range-show", "n_clicks"),
        State("range-from", "value"),
        State("range-to", "value"),
        State("url", "search"),
        State("words", "data"),
        prevent_initial_call=True,
    )
    client(
        "setColours",
        Output("url", "search", allow_duplicate=True),
        Input("colours", "n_clicks"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    client(
        "setLanguage",
        Output("url", "search", allow_duplicate=True),
        Input("language", "value"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    client(
        "theme",
        Output("theme", "data"),
        Output("provider", "forceColorScheme"),
        Input("theme-switch", "n_clicks"),
        State("theme", "data"),
    )
    client(
        "status",
        Output("status-word", "children"),
        Output("status-age", "children"),
        Output("status", "className"),
        Output("dead-letters", "children"),
        Input("second", "n_intervals"),
        Input("changes", "data"),
        Input("words", "data"),
        of="live",
    )

    @app.callback(  # type: ignore[untyped-decorator]
        Output("header", "children"),
        Output("page", "children"),
        Output("words", "data"),
        Input("route", "data"),
        State("view", "data"),
        State("theme", "data"),
        prevent_initial_call=True,
    )
    def draw(route: Any, data: Any, theme: Any) -> tuple[Any, Any, Any]:
        view = parse(data, theme)
        given = route.get("path") if isinstance(route, Mapping) else None
        path = given if isinstance(given, str) else ""
        zone = i18n.zone_label(view.tz, reads.now())
        return header(view, zone, title, path, current_person()), page(path, view, current_person()), _browser_texts(view, title, path)

    for module in PAGES:
        module.register(app, reads)
    alert_actions.register(app, reads, actions)
    alert_actions.register_ratings(app, reads, actions)
    inbox.register_precision(app, reads)
    article.register_actions(app, reads, actions, services.explanations)
    rules.register(app, services.rules, actions.actor)
    watchlists.register(app, services.watchlists, actions.actor)
    saved_views.register(app, view_actions)
    deliveries.register(app, reads, actions, services.deliveries)
    people.register(app, reads, actions)
    models.register(app, versions, actions.actor)
    sources.register(app, operations_reads, services.feeds, actions.actor)
    system.register(app, operations_reads)
    bell.register(app)
