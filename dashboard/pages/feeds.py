"""The feed form of the page of sources: analysts test feeds, admins add and remove them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args
from urllib.parse import urlsplit

import dash
import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html, no_update

from core.errors import SourceError, StoreError, UserError
from core.log import get_logger, mask
from core.records import Genre
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.pages.components import panel
from dashboard.reads.operations import OperationsReads
from dashboard.services import FeedPreview, FeedService, NewFeed
from dashboard.view import View, parse
from dashboard.web.authentication import current_person
from domain.accounts import may

PAGES = ("never", "when_short", "always")
log = get_logger("dashboard.feeds")


def layout(view: View) -> Any:
    """The form, as far as the person's role permits."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    person = current_person()
    if person is None or not may(person.role, "analyst"):
        return panel(words("feed.title"), html.P(words("feed.viewer"), className="muted"))
    url = dmc.TextInput(
        id="sr-url", placeholder="https://…", debounce=True, size="xs", className="grow", **{"aria-label": words("feed.url")}
    )
    look = dmc.Button(words("feed.test"), id="sr-look", variant="filled", size="xs", n_clicks=0)
    fields = [
        html.Div([url, look], className="actions"),
        dcc.Loading(html.Div(id="sr-found", role="status", className="feed-found"), delay_show=200),
    ]
    if may(person.role, "admin"):
        fields += [_adding(view), html.Div(id="sr-saved", role="status"), _removing(view), html.Div(id="sr-removed", role="status")]
    else:
        # hidden for analysts, as the result of a test is filled into them
        fields += [html.P(words("feed.admin"), className="muted small"), html.Div(_choices(view), hidden=True)]
    return panel(words("feed.title"), fields, note=words("feed.help"))


def _choices(view: View) -> list[Any]:
    def words(key: str) -> str:
        return i18n.text(key, view.language)

    languages = [{"value": "any", "label": words("feed.any")}, *({"value": key, "label": words(f"lang.{key}")} for key in ("en", "zh"))]
    genres = [{"value": key, "label": words(f"genre.{key}")} for key in get_args(Genre)]
    pages = [{"value": key, "label": words(f"feed.pages.{key}")} for key in PAGES]
    small: dict[str, Any] = {"size": "xs", "allowDeselect": False}
    return [
        dmc.TextInput(id="sr-name", placeholder=words("feed.name"), size="xs", className="grow", **{"aria-label": words("feed.name")}),
        dmc.Select(id="sr-language", data=languages, value="any", w=190, **small, **{"aria-label": words("language")}),
        dmc.Select(id="sr-genre", data=genres, value="news", w=140, **small, **{"aria-label": words("feed.genre")}),
        dmc.Select(id="sr-pages", data=pages, value="never", w=230, **small, **{"aria-label": words("feed.pages")}),
        dmc.NumberInput(
            id="sr-interval", value=120, min=30, max=86_400, size="xs", w=110, suffix=" s", **{"aria-label": words("feed.interval")}
        ),
    ]


def _adding(view: View) -> Any:
    button = dmc.Button(i18n.text("feed.add", view.language), id="sr-add", variant="default", size="xs", n_clicks=0)
    return html.Div([*_choices(view), button], className="actions")


def _removing(view: View) -> Any:
    label = i18n.text("feed.which", view.language)
    chosen = dmc.Select(
        id="sr-added", data=[], size="xs", placeholder=label, searchable=True, clearable=True, className="grow", **{"aria-label": label}
    )
    button = dmc.Button(i18n.text("feed.remove", view.language), id="sr-remove", variant="default", size="xs", n_clicks=0)
    return html.Div([chosen, button], className="actions after")


def found(looked: FeedPreview, view: View) -> Any:
    """The preview of a feed as plain text, as it was written by strangers."""

    def words(key: str, **values: object) -> str:
        return i18n.text(key, view.language, **values)

    kb, seconds = f"{looked.size_bytes / 1000:,.1f}", f"{looked.took_s:.1f}"
    facts = words("feed.facts", kind=plain(looked.kind, 20), n=looked.entries, kb=kb, s=seconds)
    named = words(f"lang.{looked.language}") if looked.language else words("feed.mixed")
    facts += " · " + words("feed.language", name=named) if looked.entries else ""
    problems = [
        html.Li("! " + plain(words(f"feed.problem.{problem.key}", **problem.values), 400), className="health late")
        for problem in looked.problems
    ]
    newest = [
        html.Li(
            [
                html.Bdi(plain(entry.title, 200) or words("feed.none"), className="title"),
                html.Div(
                    i18n.when(entry.published, view.tz, view.language) if entry.published else words("feed.undated"),
                    className="muted small",
                ),
            ]
        )
        for entry in looked.newest
    ]
    return html.Div(
        [
            html.H3(html.Bdi(plain(looked.title, 200) or words("feed.none"))),
            html.P(facts, className="muted"),
            html.Ul(problems, className="plain") if problems else html.P(f"✓ {words('feed.fine')}", className="sentiment positive"),
            html.H3(words("feed.newest")) if newest else None,
            html.Ul(newest, className="articles"),
        ]
    )


def wrong(error: Exception, view: View) -> Any:
    """The error message."""
    if isinstance(error, StoreError):
        log.warning("the store did not answer", error=str(error))
        return html.P(i18n.text("store.title", view.language))
    return html.P(f"✗ {plain(mask(str(error)), 400)}", className="sentiment negative reason")


def suggested(looked: FeedPreview) -> str:
    """The suggested name of a source: the host of its URL."""
    return (urlsplit(looked.url).hostname or "").removeprefix("www.")


def register(app: dash.Dash, operations_reads: OperationsReads, feed_service: FeedService | None, actor: Callable[[], str]) -> None:
    """Register the actions of the form."""

    @app.callback(
        Output("sr-found", "children"),
        Output("sr-name", "value"),
        Output("sr-language", "value"),
        Output("sr-interval", "value"),
        Output("sr-pages", "value"),
        Input("sr-look", "n_clicks"),
        Input("sr-url", "n_submit"),
        State("sr-url", "value"),
        State("view", "data"),
        State("theme", "data"),
        prevent_initial_call=True,
    )  # type: ignore[untyped-decorator]
    def look(clicks: Any, submits: Any, url: Any, data: Any, theme: Any) -> tuple[Any, ...]:
        view = parse(data, theme)
        same = (no_update,) * 4
        if not (clicks or submits):
            return no_update, *same
        if feed_service is None:
            return i18n.text("feed.away", view.language), *same
        try:
            looked = feed_service.preview(str(url or "")[:4_000], actor())
        except (UserError, SourceError, StoreError) as error:
            return wrong(error, view), *same
        short = any(problem.key == "short" for problem in looked.problems)
        return found(looked, view), suggested(looked), looked.language or "any", looked.interval_s, "when_short" if short else "never"

    @app.callback(
        Output("sr-saved", "children"),
        Input("sr-add", "n_clicks"),
        State("sr-url", "value"),
        State("sr-name", "value"),
        State("sr-language", "value"),
        State("sr-genre", "value"),
        State("sr-pages", "value"),
        State("sr-interval", "value"),
        State("view", "data"),
        State("theme", "data"),
        prevent_initial_call=True,
    )  # type: ignore[untyped-decorator]
    def add(clicks: Any, url: Any, name: Any, language: Any, genre: Any, pages: Any, every_s: Any, data: Any, theme: Any) -> Any:
        view = parse(data, theme)
        if not clicks or feed_service is None:
            return no_update
        feed = NewFeed(
            name=str(name or "")[:200],
            url=str(url or "")[:4_000],
            language=str(language) if language in ("en", "zh") else "",
            genre=str(genre or "news"),
            full_text=str(pages or "never"),
            interval_s=float(every_s) if isinstance(every_s, int | float) else 120.0,
        )
        try:
            feed_service.add(feed, actor())
        except (UserError, StoreError) as error:
            return wrong(error, view)
        operations_reads.forget_sources()
        return html.P(["✓ ", i18n.text("feed.added", view.language)], className="sentiment positive")

    @app.callback(
        Output("sr-removed", "children"),
        Input("sr-remove", "n_clicks"),
        State("sr-added", "value"),
        State("view", "data"),
        State("theme", "data"),
        prevent_initial_call=True,
    )  # type: ignore[untyped-decorator]
    def remove(clicks: Any, name: Any, data: Any, theme: Any) -> Any:
        view = parse(data, theme)
        if not clicks or not name or feed_service is None:
            return no_update
        try:
            feed_service.remove(str(name), actor())
        except (UserError, StoreError) as error:
            return wrong(error, view)
        operations_reads.forget_sources()
        return html.P(["✓ ", i18n.text("feed.removed", view.language)], className="sentiment positive")

    @app.callback(
        Output("sr-added", "data"),
        Input("sr-added", "id"),
        Input("sr-saved", "children"),
        Input("sr-removed", "children"),
    )  # type: ignore[untyped-decorator]
    def offered(_id: Any, _kept: Any, _gone: Any) -> Any:
        try:
            rows = operations_reads.sources().rows
        except StoreError:
            return no_update
        return [{"value": row.name, "label": plain(row.name, 80)} for row in rows if row.added is not None]
