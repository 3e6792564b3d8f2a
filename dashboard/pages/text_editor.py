"""The editor of a configuration text with preview and saving, used by the pages of rules and watchlists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import dash
import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html, no_update

from core.errors import StoreError, UserError
from core.log import get_logger
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.pages.components import for_role, may_use, panel
from dashboard.services import ActiveText
from dashboard.view import View, parse


class Editor(NamedTuple):
    """A page with an editor. key: prefix of its element ids; words: prefix of its texts; example: placeholder of the empty field"""

    key: str
    words: str
    example: str


class TextService(Protocol):
    """The service behind an editor. Every method raises StoreError."""

    def active(self) -> ActiveText:
        """The active text."""

    def save(self, text: str, base: str, actor: str) -> ActiveText:
        """Replace the text of id `base`. Raises UserError for mistakes, and where it changed meanwhile."""


def layout(editor: Editor, view: View) -> Any:
    """The page before its first refresh."""
    key = editor.key

    def label(name: str) -> str:
        return i18n.text(f"{editor.words}.{name}", view.language)

    field = dmc.Textarea(
        id=f"{key}-text",
        autosize=True,
        minRows=12,
        maxRows=40,
        placeholder=editor.example,
        className="code",
        readOnly=not may_use("analyst"),
        **{"aria-label": label("text")},
    )
    buttons = [
        dmc.Button(label("try"), id=f"{key}-try", variant="filled", size="xs", n_clicks=0),
        dmc.Button(label("save"), id=f"{key}-save", variant="default", size="xs", n_clicks=0),
    ]
    return html.Div(
        [
            dcc.Store(id=f"{key}-base"),
            html.Div(html.H1(i18n.text(editor.words, view.language)), className="page-head"),
            panel(
                label("text"),
                [
                    html.P(id=f"{key}-who", className="muted"),
                    field,
                    for_role("analyst", html.Div(buttons, className="actions after"), view),
                    dcc.Loading(html.Div(id=f"{key}-message", role="status"), delay_show=300),
                    html.Div(id=f"{key}-saved", role="status"),
                ],
                note=label("help"),
            ),
        ]
    )


def register(
    app: dash.Dash, editor: Editor, service: TextService | None, preview: Callable[[str, View], Any], actor: Callable[[], str]
) -> None:
    """Register loading, preview and saving of the text.

    Args:
        service: Where the text is kept; None where this process does not offer it.
        preview: Renders the effect of a text. Raises SettingsError, StoreError.
    """
    key = editor.key

    @app.callback(
        Output(f"{key}-text", "value"),
        Output(f"{key}-base", "data"),
        Output(f"{key}-who", "children"),
        Input(f"{key}-text", "id"),
        State("view", "data"),
        State("theme", "data"),
    )  # type: ignore[untyped-decorator]
    def load(_id: Any, data: Any, theme: Any) -> tuple[Any, Any, Any]:
        view = parse(data, theme)
        if service is None:
            return "", "", i18n.text(f"{editor.words}.away", view.language)
        try:
            found = service.active()
        except StoreError:
            return no_update, no_update, i18n.text("store.title", view.language)
        return found.text, found.id, _written(editor, found, view)

    @app.callback(
        Output(f"{key}-message", "children"),
        Input(f"{key}-try", "n_clicks"),
        State(f"{key}-text", "value"),
        State("view", "data"),
        State("theme", "data"),
        prevent_initial_call=True,
    )  # type: ignore[untyped-decorator]
    def show_preview(clicks: Any, text: Any, data: Any, theme: Any) -> Any:
        view = parse(data, theme)
        if not clicks or service is None:
            return no_update
        try:
            return preview(str(text or ""), view)
        except (UserError, StoreError) as error:
            return _wrong(editor, error, view)

    @app.callback(
        Output(f"{key}-saved", "children"),
        Output(f"{key}-base", "data", allow_duplicate=True),
        Output(f"{key}-who", "children", allow_duplicate=True),
        Input(f"{key}-save", "n_clicks"),
        State(f"{key}-text", "value"),
        State(f"{key}-base", "data"),
        State("view", "data"),
        State("theme", "data"),
        prevent_initial_call=True,
    )  # type: ignore[untyped-decorator]
    def save(clicks: Any, text: Any, base: Any, data: Any, theme: Any) -> tuple[Any, Any, Any]:
        view = parse(data, theme)
        if not clicks or service is None:
            return no_update, no_update, no_update
        try:
            kept = service.save(str(text or ""), str(base or ""), actor())
        except (UserError, StoreError) as error:
            return _wrong(editor, error, view), no_update, no_update
        message = html.P(["✓ ", i18n.text(f"{editor.words}.kept", view.language)], className="sentiment positive")
        return message, kept.id, _written(editor, kept, view)


def _written(editor: Editor, found: ActiveText, view: View) -> str:
    """Who saved the active text, and when."""
    if found.at is None:
        return i18n.text(f"{editor.words}.of_settings" if found.text else f"{editor.words}.none", view.language)
    return i18n.text("rules.by", view.language, actor=plain(found.actor, 60), at=i18n.when(found.at, view.tz, view.language))


def _wrong(editor: Editor, error: Exception, view: View) -> Any:
    """The list of mistakes, or the store error."""
    if isinstance(error, StoreError):
        get_logger(f"dashboard.{editor.words}").warning("the store did not answer", error=str(error))
        return i18n.text("store.title", view.language)
    return html.Ul([html.Li(f"✗ {line}") for line in str(error).splitlines()], className="errors sentiment negative")
