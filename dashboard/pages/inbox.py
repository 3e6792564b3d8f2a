"""The inbox: the alerts of the last month with state and assignee, and their precision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import dash
import dash_mantine_components as dmc
from dash import ClientsideFunction, Input, Output, State, dcc, html, no_update

from core.errors import StoreError
from core.log import get_logger
from core.series import kind_of
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.figures.palette import SEVERITY_GLYPHS
from dashboard.pages.components import Parts, ago, counts, error_message, href, name_of, panel, severity, state_badge, store_problem
from dashboard.reads.queries import InboxRow, Reads, revision
from dashboard.translations import LABELS
from dashboard.view import STATES, View, parse
from domain.alert_lifecycle import AlertEvent
from domain.alert_lifecycle.verdicts import VERDICTS, Verdict, VerdictCounts, tally, verdict_of
from storage.store import AlertSummary, Store

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
            precision_panel(view),
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


PRECISION_DAYS = (31, 90)
PRECISION_TTL_S = 30.0
GROUPINGS = ("rule", "kind", "severity")


class Precision(NamedTuple):
    """Ratings of all alerts of a period, and by rule, kind of series and severity, most rated first."""

    whole: VerdictCounts
    by: Mapping[str, Mapping[str, VerdictCounts]]


def read_precision(store: Store, since: datetime) -> Precision:
    """The precision of alerts detected since a moment. Raises StoreError."""
    facts, verdict_events = store.alerts.summaries(since), store.alert_lifecycle.verdicts(since)
    of_alert: dict[str, list[AlertEvent]] = {}
    for each in verdict_events:
        of_alert.setdefault(each.alert_id, []).append(each)
    verdicts = {ident: verdict for ident, events in of_alert.items() if (verdict := verdict_of(events)) is not None}
    judged = [(fact, verdicts[fact.id]) for fact in facts if fact.id in verdicts]

    def by(side: str) -> dict[str, VerdictCounts]:
        groups: list[tuple[str, Verdict]] = [(_group(fact, side), verdict) for fact, verdict in judged]
        found = tally(Counter(_group(fact, side) for fact in facts), groups)
        return dict(sorted(found.items(), key=lambda item: (-item[1].with_verdict, -item[1].alerts, item[0])))

    whole = tally({"": len(facts)}, [("", verdict) for _, verdict in judged])[""]
    return Precision(whole, {side: by(side) for side in GROUPINGS})


def _group(fact: AlertSummary, side: str) -> str:
    return kind_of(fact.series) if side == "kind" else fact.severity if side == "severity" else fact.rule


def precision_panel(view: View) -> Any:
    """The panel before its first refresh."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    picker = dmc.SegmentedControl(
        id="pr-days",
        data=[{"value": str(days), "label": i18n.text("precision.days", view.language, n=days)} for days in PRECISION_DAYS],
        value=str(PRECISION_DAYS[0]),
        size="xs",
        **{"aria-label": words("range")},
    )
    body = [dcc.Store(id="pr-seen"), picker, html.Div(dmc.Skeleton(height=120, radius="md"), id="pr-table")]
    return panel(words("precision"), body, note=words("precision.help"))


def precision_table(found: Precision, days: int, view: View) -> Any:
    """A summary, and a row for each rule, kind and severity."""

    def words(key: str, **values: object) -> str:
        return i18n.text(key, view.language, **values)

    whole = found.whole
    if not whole.alerts:
        return html.P(words("precision.no_alerts", n=days), className="empty-state")
    sentence = html.P(words("precision.judged", judged=whole.with_verdict, alerts=whole.alerts), className="sentence")
    if not whole.with_verdict:
        return html.Div([sentence, html.P(words("precision.none"), className="empty-state")])
    names = [words(f"precision.{name}") for name in ("alerts", "judged_column", *VERDICTS, "share")]
    head = html.Tr([html.Td(), *(html.Th(name, scope="col") for name in names)])
    rows = [_precision_row(words("precision.whole"), whole, view)]
    for side in GROUPINGS:
        rows.append(html.Tr(html.Th(words(f"precision.by.{side}"), scope="rowgroup", colSpan=len(names) + 1)))
        rows += [_precision_row(_group_name(group, side, view), each, view) for group, each in found.by[side].items()]
    shown = html.Table([html.Thead(head), html.Tbody(rows)], className="table scores")
    return html.Div([sentence, html.Div(shown, className="scroll")])


def _precision_row(name: str, each: VerdictCounts, view: View) -> Any:
    known = each.precision
    label = i18n.text("precision.interval", view.language, low=f"{known.low:.0%}", high=f"{known.high:.0%}") if known else ""
    share = [html.Strong(f"{known.share:.0%}"), html.Span(f" {label}", className="muted small")] if known else "–"
    counts = (each.alerts, each.with_verdict, each.right, each.false, each.late)
    return html.Tr([html.Th(html.Bdi(name), scope="row"), *(html.Td(f"{count:,}") for count in counts), html.Td(share)])


def _group_name(group: str, side: str, view: View) -> str:
    key = f"{side}.{group}"
    if side == "rule" or key not in LABELS:
        return plain(group, 80)
    glyph = f"{SEVERITY_GLYPHS.get(group, '')} " if side == "severity" else ""
    return glyph + i18n.text(key, view.language)


def register_precision(app: dash.Dash, reads: Reads) -> None:
    """Register the refresh of the panel."""

    @app.callback(
        Output("pr-table", "children"),
        Output("pr-seen", "data"),
        Input("tick", "n_intervals"),
        Input("pr-days", "value"),
        Input("view", "data"),
        Input("theme", "data"),
        State("pr-seen", "data"),
    )  # type: ignore[untyped-decorator]
    def refresh(_tick: Any, chosen: Any, data: Any, theme: Any, seen: Any) -> tuple[Any, Any]:
        view = parse(data, theme)
        days = next((each for each in PRECISION_DAYS if chosen == str(each)), PRECISION_DAYS[0])
        try:
            found = reads.shared(
                ("precision", days), PRECISION_TTL_S, lambda store: read_precision(store, reads.now() - timedelta(days=days))
            )
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return (no_update, no_update) if seen else (error_message(i18n.text("store.title", view.language)), None)
        parts = Parts(seen, (view, days))
        return parts.new("table", revision(found), lambda: precision_table(found, days, view)), parts.kept
