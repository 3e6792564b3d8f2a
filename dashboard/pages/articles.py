"""The article search: words and filters, newest first, in pages and as a CSV file."""

from __future__ import annotations

from typing import Any

import dash
import dash_mantine_components as dmc
from dash import ClientsideFunction, Input, Output, State, dcc, html, no_update

from core.errors import StoreError
from core.log import get_logger
from core.series import company_series
from core.taxonomy import TOPICS
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.figures.palette import GLYPHS
from dashboard.pages.article_grid import export_href, grid, row
from dashboard.pages.components import Parts, found_href, name_of, panel, store_problem
from dashboard.pages.range_picker import range_picker
from dashboard.reads.queries import Reads, revision
from dashboard.view import FILTERS, View, parse
from storage.search_terms import MAX_CHARS
from storage.store import SearchPage
from storage.tables.search import MATERIALITY_FILTERS

PATH = "/articles"
log = get_logger("dashboard.articles")


def match(path: str) -> str | None:
    """ "" for the path of the search; None for others."""
    return "" if path.rstrip("/") == PATH else None


def layout(view: View, _key: str) -> Any:
    """The page before its first refresh, with the filters of the address."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    search = dmc.TextInput(
        id="fd-q",
        value=view.find.words,
        label=words("search.words"),
        description=words("search.hint"),
        debounce=400,
        inputProps={"maxLength": MAX_CHARS, "type": "search", "enterKeyHint": "search"},
        className="search",
    )
    tools = [
        dcc.Link(words("search.newest"), href=found_href(PATH, view), id="fd-newest", className="button small"),
        dcc.Link(words("search.older"), href=found_href(PATH, view), id="fd-older", className="button small"),
        html.A(words("articles.csv"), id="fd-csv", href=export_href(view), className="button small", download=""),
    ]
    return html.Div(
        [
            dcc.Store(id="fd-seen"),
            html.Div(id="fd-problem", role="alert"),
            html.Div([html.H1(words("search")), range_picker(view)], className="page-head"),
            html.Section([search, html.Div(_filters(view), className="filters")], className="panel"),
            panel(words("search.results"), grid("fd-grid", view, height=680), note=html.Span(id="fd-note", role="status"), tools=tools),
        ]
    )


def _filters(view: View) -> list[Any]:
    """The filters."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    find, language = view.find, view.language
    choices: dict[str, list[dict[str, str]]] = {
        "language": [_option(key, words(f"lang.{key}")) for key in ("en", "zh")],
        "genre": [_option(key, words(f"genre.{key}")) for key in ("news", "social", "filing")],
        "sentiment": [_option(key, f"{glyph} {words('sentiment.' + key)}") for key, glyph in GLYPHS.items()],
        "materiality": [_option(key, words(f"materiality.{key}")) for key in MATERIALITY_FILTERS],
        "topic": [_option(topic.key, topic.zh if language == "zh" else topic.en) for topic in TOPICS],
        "source": offered([], find.source),
        "company": companies_offered([], view),
    }
    if find.topic and find.topic not in {option["value"] for option in choices["topic"]}:
        choices["topic"].append(_option(find.topic, find.topic))  # a topic that analysts defined
    order = ("language", "source", "genre", "topic", "company", "sentiment", "materiality")
    return [
        dmc.Select(
            id=f"fd-{name}",
            data=choices[name],
            value=getattr(find, name) or None,
            label=words(f"search.{name}"),
            placeholder=words("search.any"),
            clearable=True,
            searchable=name in ("source", "topic", "company"),
            size="xs",
        )
        for name in order
    ]


def _option(value: str, label: str) -> dict[str, str]:
    return {"value": value, "label": label}


def offered(values: list[str], chosen: str) -> list[dict[str, str]]:
    """The options of a filter; the selected value is always among them."""
    return [_option(value, plain(value, 80)) for value in dict.fromkeys([*([chosen] if chosen else []), *values]) if value]


def companies_offered(keys: list[str], view: View) -> list[dict[str, str]]:
    """The options of the company filter, by name; the chosen company is always among them."""
    return [_option(item["value"], name_of(company_series(item["value"]), view)) for item in offered(keys, view.find.company)]


def note(found: SearchPage, view: View) -> str:
    """Number of results, and how far back the search has got."""
    if found.reached is not None:
        return i18n.text("search.reached", view.language, moment=i18n.when(found.reached, view.tz, view.language))
    if not found.articles:
        return i18n.text("search.none", view.language)
    return i18n.text("search.shown", view.language, n=len(found.articles))


def register(app: dash.Dash, reads: Reads) -> None:
    """Register the refresh of the page, and the callbacks that write the filters into the address."""
    outputs = [
        Output("fd-problem", "children"),
        Output("fd-note", "children"),
        Output("fd-grid", "rowData"),
        Output("fd-source", "data"),
        Output("fd-company", "data"),
        Output("fd-newest", "href"),
        Output("fd-older", "href"),
        Output("fd-older", "style"),
        Output("fd-csv", "href"),
        Output("fd-seen", "data"),
    ]

    @app.callback(outputs, Input("tick", "n_intervals"), Input("view", "data"), Input("theme", "data"), State("fd-seen", "data"))  # type: ignore[untyped-decorator]
    def refresh(_tick: Any, data: Any, theme: Any, seen: Any) -> list[Any]:
        view = parse(data, theme)
        try:
            found = reads.find(view.range, view.find, view.before)
            choices = reads.choices(view.range)
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return [store_problem(view), *[no_update] * (len(outputs) - 1)]
        parts = Parts(seen, view)
        return [
            None,
            parts.new("note", revision((len(found.articles), found.reached)), lambda: note(found, view)),
            parts.new("grid", revision(found.articles), lambda: [row(article, view) for article in found.articles]),
            parts.new("source", revision(choices.sources), lambda: offered(choices.sources, view.find.source)),
            parts.new("company", revision(choices.companies), lambda: companies_offered(choices.companies, view)),
            parts.new("newest", "", lambda: found_href(PATH, view)),
            parts.new("older", found.then, lambda: found_href(PATH, view, found.then)),
            parts.new("more", found.then is None, lambda: {"display": "none"} if found.then is None else {}),
            parts.new("csv", "", lambda: export_href(view)),
            parts.kept,
        ]

    for name in FILTERS:
        app.clientside_callback(
            ClientsideFunction("tocsin", "setFilter"),
            Output("url", "search", allow_duplicate=True),
            Input(f"fd-{name}", "value"),
            State(f"fd-{name}", "id"),
            State("url", "search"),
            prevent_initial_call=True,
        )
