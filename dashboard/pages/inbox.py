"""The inbox: the alerts of the last month with state and assignee, and their precision."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import dash
import dash_mantine_components as dmc
from dash import ClientsideFunction, Input, Output, State, dcc, html, no_update

from core.errors import StoreError
from core.log import get_logger
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.pages import precision
from dashboard.pages.components import Parts, ago, counts, href, name_of, panel, severity, state_badge, store_problem
from dashboard.reads.queries import InboxRow, Reads, revision
from dashboard.view import STATES, View, parse

PATH = "/alerts"
SHOWN = 200
FOLLOWS = ("alerts", "actions")
"""Kinds of changes that refresh this page."""
NONE = {"open": "alerts.none", "resolved": "inbox.none.resolved", "all": "inbox.none.all"}
log = get_logger("dashboard.inbox")


def match(path: str) -> str | None:
    """ "" for the path of this page; None for others."""
    return "" if path.rstrip("/") == PATH else None


def layout(view: View, _key: str) -> Any:
    """The page before its first refresh."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    picker = dmc.SegmentedControl(
        id="states",
        data=[{"value": key, "label": words(f"inbox.{key}")} for key in STATES],
        value=view.state,
        size="sm",
        **{"aria-label": words("inbox.states")},
    )
    return html.Div(
        [
            dcc.Store(id="in-seen"),
            html.Div(id="in-problem", role="alert"),
            html.Div([html.H1(words("inbox")), picker], className="page-head"),
            panel(words("inbox.alerts"), html.Div(dmc.Skeleton(height=220, radius="md"), id="in-rows"), note=words("inbox.help")),
            precision.layout(view),
        ]
    )


def table(rows: Sequence[InboxRow], now: datetime, view: View) -> Any:
    """The table of alerts in the selected state, newest first."""
    shown = [each for each in rows if view.state == "all" or (each.life.resolved is None) == (view.state == "open")]
    if not shown:
        return html.P(["● ", i18n.text(NONE[view.state], view.language)], className="empty-state")
    names = ("state", "severity", "series", "counts", "detected", "assignee")
    head = html.Tr([html.Th(i18n.text(f"inbox.{name}", view.language), scope="col") for name in names])
    body = html.Table([html.Thead(head), html.Tbody([_row(each, now, view) for each in shown[:SHOWN]])], className="table inbox")
    more = html.P(i18n.text("inbox.more", view.language, n=len(shown) - SHOWN), className="muted") if len(shown) > SHOWN else None
    return html.Div([html.Div(body, className="scroll"), more])


def _row(each: InboxRow, now: datetime, view: View) -> Any:
    alert, life = each.alert, each.life
    quiet = [html.Span(i18n.text("inbox.muted", view.language), className="muted small")] if life.silenced or life.inhibited else []
    return html.Tr(
        [
            html.Td([state_badge(life.state, view), *quiet]),
            html.Td(severity(alert, view)),
            html.Td(dcc.Link(html.Bdi(name_of(alert.series, view)), href=href(f"/alert/{alert.id}", view))),
            html.Td(counts(alert, view)),
            html.Td(ago(alert.detected_at, now, view)),
            html.Td(html.Bdi(plain(life.assignee or (life.acknowledged.actor if life.acknowledged else ""), 60))),
        ]
    )


def register(app: dash.Dash, reads: Reads) -> None:
    """Register the refresh of the page."""

    @app.callback(
        Output("in-problem", "children"),
        Output("in-rows", "children"),
        Output("in-seen", "data"),
        Input("tick", "n_intervals"),
        Input("view", "data"),
        Input("theme", "data"),
        State("in-seen", "data"),
    )  # type: ignore[untyped-decorator]
    def refresh(_tick: Any, data: Any, theme: Any, seen: Any) -> list[Any]:
        view = parse(data, theme)
        try:
            rows = reads.inbox()
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return [store_problem(view), no_update, no_update]
        now = reads.now()
        parts = Parts(seen, view)
        return [None, parts.new("rows", revision(rows), lambda: table(rows, now, view)), parts.kept]

    app.clientside_callback(
        ClientsideFunction("tocsin", "setState"),
        Output("url", "search", allow_duplicate=True),
        Input("states", "value"),
        State("url", "search"),
        prevent_initial_call=True,
    )
