"""Rules of one's own: the text in force, tried on the stored news before it is saved, and saved for every worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dash
import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html, no_update

from dashboard import i18n
from dashboard.desks.ruling import Foreseen, InForce, Ruling
from dashboard.pages.parts import counts, for_role, may_use, name_of, panel, severity
from dashboard.safe import plain
from dashboard.view import View, parse
from spine.errors import SettingsError, StoreError
from spine.log import get_logger
from spine.records import Alert

PATH = "/rules"
SHOWN = 20
EXAMPLE = """[[rules]]
name = "mostly bad"
kind = "negative_share"
series = ["topic:credit", "sector:*"]
over = 0.6
window = "2h"
min_stories = 10
"""
log = get_logger("dashboard.rules")


def match(path: str) -> str | None:
    """The rules have one address."""
    return "" if path.rstrip("/") == PATH else None


def layout(view: View, _key: str) -> Any:
    """The page before its first answer."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    field = dmc.Textarea(
        id="ru-text",
        autosize=True,
        minRows=12,
        maxRows=40,
        placeholder=EXAMPLE,
        className="code",
        readOnly=not may_use("analyst"),
        **{"aria-label": words("rules.text")},
    )
    buttons = [
        dmc.Button(words("rules.try"), id="ru-try", variant="filled", size="xs", n_clicks=0),
        dmc.Button(words("rules.save"), id="ru-save", variant="default", size="xs", n_clicks=0),
    ]
    return html.Div(
        [
            dcc.Store(id="ru-base"),
            html.Div(html.H1(words("rules")), className="page-head"),
            panel(
                words("rules.text"),
                [
                    html.P(id="ru-who", className="muted"),
                    field,
                    for_role("analyst", html.Div(buttons, className="actions after"), view),
                    dcc.Loading(html.Div(id="ru-said", role="status"), delay_show=300),
                    html.Div(id="ru-kept", role="status"),
                ],
                note=words("rules.help"),
            ),
        ]
    )


def written(found: InForce, view: View) -> str:
    """Who wrote what is in force, and when."""
    if found.at is None:
        return i18n.text("rules.of_settings" if found.text else "rules.none", view.language)
    return i18n.text("rules.by", view.language, who=plain(found.who, 60), at=i18n.when(found.at, view.tz, view.language))


def foreseen(found: Foreseen, view: View) -> Any:
    """What would have rung: a sentence, how often each rule, and the newest alerts."""

    def words(key: str, **values: object) -> str:
        return i18n.text(key, view.language, **values)

    days = max(1, round((found.until - found.since).total_seconds() / 86_400))
    head = words("rules.foreseen", n=len(found.alerts), days=days, stories=f"{found.stories:,}")
    by_rule = [html.Li([html.Bdi(plain(name, 80)), f": {times}"]) for name, times in found.rules.items()]
    rows = [_alert(alert, view) for alert in reversed(found.alerts[-SHOWN:])]
    return html.Div([html.P(head, className="sentence"), html.Ul(by_rule, className="held"), html.Ul(rows, className="articles")])


def _alert(alert: Alert, view: View) -> Any:
    said = [i18n.when(alert.detected_at, view.tz, view.language), " · ", html.Bdi(plain(alert.rule, 80)), " · ", counts(alert, view)]
    head = html.Div([severity(alert, view), html.Bdi(name_of(alert.series, view), className="title")], className="row start")
    return html.Li([head, html.Div(said, className="muted small")])


def _wrong(error: Exception) -> Any:
    return html.Ul([html.Li(f"✗ {line}") for line in str(error).splitlines()], className="mistakes sentiment negative")


def register(app: dash.Dash, ruling: Ruling | None, who: Callable[[], str]) -> None:
    """What the page shows first, and what its buttons do. ruling: None where rules are not to be had from here."""

    @app.callback(
        Output("ru-text", "value"),
        Output("ru-base", "data"),
        Output("ru-who", "children"),
        Input("ru-text", "id"),
        State("view", "data"),
        State("theme", "data"),
    )  # type: ignore[untyped-decorator]
    def load(_id: Any, data: Any, theme: Any) -> tuple[Any, Any, Any]:
        view = parse(data, theme)
        if ruling is None:
            return "", "", i18n.text("rules.away", view.language)
        try:
            found = ruling.in_force()
        except StoreError:
            return no_update, no_update, i18n.text("store.title", view.language)
        return found.text, found.id, written(found, view)

    @app.callback(
        Output("ru-said", "children"),
        Input("ru-try", "n_clicks"),
        State("ru-text", "value"),
        State("view", "data"),
        State("theme", "data"),
        prevent_initial_call=True,
    )  # type: ignore[untyped-decorator]
    def attempt(clicks: Any, text: Any, data: Any, theme: Any) -> Any:
        view = parse(data, theme)
        if not clicks or ruling is None:
            return no_update
        try:
            return foreseen(ruling.foresee(str(text or "")), view)
        except SettingsError as error:
            return _wrong(error)
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return i18n.text("store.title", view.language)

    @app.callback(
        Output("ru-kept", "children"),
        Output("ru-base", "data", allow_duplicate=True),
        Output("ru-who", "children", allow_duplicate=True),
        Input("ru-save", "n_clicks"),
        State("ru-text", "value"),
        State("ru-base", "data"),
        State("view", "data"),
        State("theme", "data"),
        prevent_initial_call=True,
    )  # type: ignore[untyped-decorator]
    def save(clicks: Any, text: Any, base: Any, data: Any, theme: Any) -> tuple[Any, Any, Any]:
        view = parse(data, theme)
        if not clicks or ruling is None:
            return no_update, no_update, no_update
        try:
            kept = ruling.save(str(text or ""), str(base or ""), who())
        except SettingsError as error:
            return _wrong(error), no_update, no_update
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return i18n.text("store.title", view.language), no_update, no_update
        return html.P(["✓ ", i18n.text("rules.kept", view.language)], className="sentiment positive"), kept.id, written(kept, view)
