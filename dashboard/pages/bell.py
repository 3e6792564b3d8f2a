"""The notification switch in the header and its severity; assets/bell.js keeps the state in the browser."""

from __future__ import annotations

from typing import Any, get_args

import dash
import dash_mantine_components as dmc
from dash import ClientsideFunction, Input, Output, html

from core.records import Severity
from dashboard import i18n
from dashboard.view import View


def switch(view: View) -> list[Any]:
    """The switch in its off state, until the browser restores the saved state."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    levels = [{"value": severity, "label": words(f"bell.{severity}")} for severity in get_args(Severity)]
    which = dmc.Select(
        id="bell-level", data=levels, value="info", size="xs", w=118, allowDeselect=False, **{"aria-label": words("bell.level")}
    )
    return [
        html.Button(
            "♪",
            id="bell",
            type="button",
            className="small-button",
            title=words("bell.off"),
            **{"aria-label": words("bell.word"), "aria-pressed": "false"},
        ),
        html.Div(which, id="bell-which", style={"display": "none"}),
    ]


def register(app: dash.Dash) -> None:
    """Register the callback, which runs in the browser only."""
    app.clientside_callback(
        ClientsideFunction("bell", "set"),
        Output("bell", "aria-pressed"),
        Output("bell", "title"),
        Output("bell-which", "style"),
        Output("bell-level", "value"),
        Input("bell", "n_clicks"),
        Input("bell-level", "value"),
        Input("bell-saved", "data"),
        Input("words", "data"),
    )
