"""Ratings of an alert by people: a part of the alert's page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import dash
import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html, no_update

from actions.audited_actions import AuditedActions
from core.errors import StoreError, UserError
from core.log import get_logger
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.pages import precision
from dashboard.pages.components import Parts, error_message, for_role, panel
from dashboard.reads.queries import Reads, revision
from dashboard.view import View, parse
from domain.alert_lifecycle import AlertEvent
from domain.alert_lifecycle.verdicts import KINDS, OF_KIND, VERDICTS, Verdict, latest_verdicts, verdict_of

BUTTONS: dict[str, Verdict] = {f"vd-{verdict}": verdict for verdict in VERDICTS}
GLYPHS: dict[Verdict, str] = {"right": "✓", "false": "✗", "late": "◷"}
log = get_logger("dashboard.verdicts")


def layout(view: View) -> Any:
    """Buttons and a field, which are not part of the refresh."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    buttons = [
        dmc.Button(f"{GLYPHS[verdict]} {words(f'verdict.{verdict}')}", id=name, variant="default", size="xs", n_clicks=0)
        for name, verdict in BUTTONS.items()
    ]
    note = dmc.TextInput(
        id="vd-note", placeholder=words("verdict.note"), size="xs", className="grow", **{"aria-label": words("verdict.note")}
    )
    message = html.Div(id="vd-message", role="status", className="message")
    return panel(
        words("verdict.title"),
        [
            dcc.Store(id="vd-seen"),
            for_role("analyst", [html.Div([*buttons, note], className="actions"), message], view),
            html.Div(id="vd-ratings"),
        ],
        note=words("verdict.help"),
    )


def ratings(events: Sequence[AlertEvent], now: datetime, view: View) -> Any:
    """The overall verdict, and the latest rating of each person, newest first."""
    verdict = verdict_of(events)
    if verdict is None:
        return html.P(i18n.text("verdict.none", view.language), className="muted")
    rows = [_word(each, now, view) for each in reversed(latest_verdicts(events))]
    head = html.Div(named(verdict, view), className="alert-state")
    return html.Div([head, html.Ol(rows, className="events")])


def named(verdict: Verdict, view: View) -> str:
    """The glyph and name of a verdict."""
    return f"{GLYPHS[verdict]} {i18n.text(f'verdict.{verdict}', view.language)}"


def _word(each: AlertEvent, now: datetime, view: View) -> Any:
    ago = html.Span(i18n.ago(each.at, now, view.language), className="muted", title=i18n.clock(each.at, view.tz))
    message = [html.Bdi(plain(each.text, 4_000), className="words"), " "] if each.text else []
    return html.Li([html.Bdi(plain(each.actor, 100), className="who"), f": {named(OF_KIND[each.kind], view)} ", *message, ago])


def register(app: dash.Dash, reads: Reads, actions: AuditedActions) -> None:
    """Register the refresh and the actions of the buttons."""

    @app.callback(
        Output("vd-ratings", "children"),
        Output("vd-seen", "data"),
        Input("tick", "n_intervals"),
        Input("vd-message", "children"),
        Input("view", "data"),
        Input("theme", "data"),
        State("al-key", "data"),
        State("vd-seen", "data"),
    )  # type: ignore[untyped-decorator]
    def refresh(_tick: Any, _message: Any, data: Any, theme: Any, key: Any, seen: Any) -> tuple[Any, Any]:
        view = parse(data, theme)
        try:
            timeline = reads.timeline(key) if isinstance(key, str) and key else None
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return no_update, no_update
        if timeline is None:
            return None, None
        parts, now = Parts(seen, view), reads.now()
        mark = (revision(timeline.events), int(now.timestamp()) // 60)
        return parts.new("ratings", mark, lambda: ratings(timeline.events, now, view)), parts.kept

    @app.callback(
        Output("vd-message", "children"),
        Output("vd-note", "value"),
        *(Input(name, "n_clicks") for name in BUTTONS),
        State("al-key", "data"),
        State("vd-note", "value"),
        State("view", "data"),
        prevent_initial_call=True,
    )  # type: ignore[untyped-decorator]
    def judge(*args: Any) -> tuple[Any, Any]:
        *clicks, key, note, data = args
        view, pressed = parse(data), dash.ctx.triggered_id
        if not any(clicks) or not isinstance(key, str) or pressed not in BUTTONS:
            return no_update, no_update
        verdict = BUTTONS[pressed]
        try:
            actions.act(key, KINDS[verdict], str(note or ""))
        except UserError as error:
            return error_message(str(error)), no_update
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return error_message(i18n.text("store.title", view.language)), no_update
        reads.forget(("timeline", key), *(("precision", days) for days in precision.DAYS))
        return "✓ " + i18n.text("verdict.kept", view.language, verdict=i18n.text(f"verdict.{verdict}", view.language)), ""
