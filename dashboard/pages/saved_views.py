"""The menu of saved views in the header."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import dash
import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html, no_update

from core.errors import StoreError, UserError
from core.log import get_logger
from dashboard import i18n
from dashboard.reads.saved_views import MAX_NAME_CHARS, SavedViewActions, may_drop
from dashboard.view import View, parse
from dashboard.web.authentication import LOCAL_USER, current_person
from domain.accounts import Person, may
from storage.store import SavedView

log = get_logger("dashboard.views")


def menu(view: View, person: Person | None) -> Any:
    """The menu before its list is loaded. Viewers get the list only."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    form = html.Div(
        [
            dmc.TextInput(id="vi-name", label=words("views.name"), size="xs", inputProps={"maxLength": MAX_NAME_CHARS}),
            dmc.Checkbox(id="vi-team", label=words("views.team"), checked=False, size="xs", my=8),
            dmc.Button(words("views.save"), id="vi-save", size="xs", variant="default", n_clicks=0, **{"aria-label": words("views.save")}),
        ],
        style={} if may((person or LOCAL_USER).role, "analyst") else {"display": "none"},
    )
    message = html.Div(id="vi-message", role="status", className="small")
    box = html.Div(
        [html.Ul(id="vi-list"), form, message, html.Div(id="vi-removed", role="status", className="small"), dcc.Store(id="vi-drop")]
    )
    return html.Details([html.Summary(words("views")), html.Div(box, className="box")], className="menu", id="vi-menu")


def items(found: list[SavedView], person: Person, view: View) -> list[Any]:
    """The views as links, with a delete button where the person may delete them."""
    if not found:
        return [html.Li(i18n.text("views.none", view.language), className="muted")]
    return [html.Li(_item(each, person, view)) for each in found]


def _item(saved: SavedView, person: Person, view: View) -> list[Any]:
    taste = {"lang": view.language} | ({"colours": view.colours} if view.colours != "safe" else {})
    joined = "&" if "?" in saved.address else "?"
    parts: list[Any] = [dcc.Link(html.Bdi(saved.name), href=f"{saved.address}{joined}{urlencode(taste)}")]
    if saved.team:
        parts.append(html.Span(i18n.text("views.of_team", view.language, actor=saved.owner), className="muted small"))
    if may_drop(person, saved):
        label = i18n.text("views.drop", view.language, name=saved.name)
        parts.append(
            html.Button("✕", className="plain vi-drop", type="button", title=label, **{"aria-label": label, "data-view": saved.id})
        )
    return parts


def register(app: dash.Dash, view_actions: SavedViewActions) -> None:
    """Register the list, saving and deleting."""

    def listed(view: View) -> list[Any]:
        person = current_person() or LOCAL_USER
        try:
            return items(view_actions.of(person), person, view)
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return [html.Li(i18n.text("store.title", view.language), className="muted")]

    @app.callback(Output("vi-list", "children"), Input("vi-list", "id"), State("view", "data"), State("theme", "data"))  # type: ignore[untyped-decorator]
    def show(_id: Any, data: Any, theme: Any) -> list[Any]:
        return listed(parse(data, theme))

    @app.callback(
        Output("vi-message", "children"),
        Output("vi-list", "children", allow_duplicate=True),
        Output("vi-name", "value"),
        Input("vi-save", "n_clicks"),
        State("vi-name", "value"),
        State("vi-team", "checked"),
        State("url", "pathname"),
        State("url", "search"),
        State("view", "data"),
        State("theme", "data"),
        prevent_initial_call=True,
    )  # type: ignore[untyped-decorator]
    def save(clicks: Any, name: Any, team: Any, path: Any, search: Any, data: Any, theme: Any) -> tuple[Any, Any, Any]:
        view, person = parse(data, theme), current_person() or LOCAL_USER
        if not clicks:
            return no_update, no_update, no_update
        message = _done(
            "views.saved", view, lambda: view_actions.save(person, name if isinstance(name, str) else "", path, search, team=team is True)
        )
        return message[0], listed(view), "" if message[1] else no_update

    @app.callback(
        Output("vi-removed", "children"),
        Output("vi-list", "children", allow_duplicate=True),
        Input("vi-drop", "data"),
        State("view", "data"),
        State("theme", "data"),
        prevent_initial_call=True,
    )  # type: ignore[untyped-decorator]
    def drop(asked: Any, data: Any, theme: Any) -> tuple[Any, Any]:
        view, person = parse(data, theme), current_person() or LOCAL_USER
        view_id = asked.get("id") if isinstance(asked, dict) else None
        if not isinstance(view_id, str):
            return no_update, no_update
        return _done("views.dropped", view, lambda: view_actions.drop(person, view_id))[0], listed(view)


def _done(words: str, view: View, act: Any) -> tuple[Any, bool]:
    """The message after an action, and whether it succeeded."""
    try:
        act()
    except UserError as error:
        return html.Span(["✗ ", i18n.text(f"views.wrong.{error}", view.language)], className="sentiment negative"), False
    except StoreError as error:
        log.warning("the store did not answer", error=str(error))
        return i18n.text("store.title", view.language), False
    return html.Span(["✓ ", i18n.text(words, view.language)], className="sentiment positive"), True
