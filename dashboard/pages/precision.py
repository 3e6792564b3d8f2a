"""Precision of alerts by people's ratings: a panel of the inbox."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import dash
import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html, no_update

from core.errors import StoreError
from core.log import get_logger
from core.series import kind_of
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.figures.palette import SEVERITY_GLYPHS
from dashboard.pages.components import Parts, error_message, panel
from dashboard.reads.queries import Reads, revision
from dashboard.translations import LABELS
from dashboard.view import View, parse
from domain.alert_lifecycle import AlertEvent
from domain.alert_lifecycle.verdicts import VERDICTS, Verdict, VerdictCounts, tally, verdict_of
from storage.store import AlertSummary, Store

DAYS = (31, 90)
TTL_S = 30.0
SIDES = ("rule", "kind", "severity")
log = get_logger("dashboard.precision")


class Precision(NamedTuple):
    """Ratings of all alerts of a period, and by rule, kind of series and severity, most rated first."""

    whole: VerdictCounts
    by: Mapping[str, Mapping[str, VerdictCounts]]


def read(store: Store, since: datetime) -> Precision:
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
    return Precision(whole, {side: by(side) for side in SIDES})


def _group(fact: AlertSummary, side: str) -> str:
    return kind_of(fact.series) if side == "kind" else fact.severity if side == "severity" else fact.rule


def layout(view: View) -> Any:
    """The panel before its first refresh."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    picker = dmc.SegmentedControl(
        id="pr-days",
        data=[{"value": str(days), "label": i18n.text("precision.days", view.language, n=days)} for days in DAYS],
        value=str(DAYS[0]),
        size="xs",
        **{"aria-label": words("range")},
    )
    body = [dcc.Store(id="pr-seen"), picker, html.Div(dmc.Skeleton(height=120, radius="md"), id="pr-table")]
    return panel(words("precision"), body, note=words("precision.help"))


def table(found: Precision, days: int, view: View) -> Any:
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
    rows = [_row(words("precision.whole"), whole, view)]
    for side in SIDES:
        rows.append(html.Tr(html.Th(words(f"precision.by.{side}"), scope="rowgroup", colSpan=len(names) + 1)))
        rows += [_row(_named(group, side, view), each, view) for group, each in found.by[side].items()]
    shown = html.Table([html.Thead(head), html.Tbody(rows)], className="table scores")
    return html.Div([sentence, html.Div(shown, className="scroll")])


def _row(name: str, each: VerdictCounts, view: View) -> Any:
    known = each.precision
    label = i18n.text("precision.interval", view.language, low=f"{known.low:.0%}", high=f"{known.high:.0%}") if known else ""
    share = [html.Strong(f"{known.share:.0%}"), html.Span(f" {label}", className="muted small")] if known else "–"
    counts = (each.alerts, each.with_verdict, each.right, each.false, each.late)
    return html.Tr([html.Th(html.Bdi(name), scope="row"), *(html.Td(f"{count:,}") for count in counts), html.Td(share)])


def _named(group: str, side: str, view: View) -> str:
    key = f"{side}.{group}"
    if side == "rule" or key not in LABELS:
        return plain(group, 80)
    glyph = f"{SEVERITY_GLYPHS.get(group, '')} " if side == "severity" else ""
    return glyph + i18n.text(key, view.language)


def register(app: dash.Dash, reads: Reads) -> None:
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
        days = next((each for each in DAYS if chosen == str(each)), DAYS[0])
        try:
            found = reads.shared(("precision", days), TTL_S, lambda store: read(store, reads.now() - timedelta(days=days)))
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return (no_update, no_update) if seen else (error_message(i18n.text("store.title", view.language)), None)
        parts = Parts(seen, (view, days))
        return parts.new("table", revision(found), lambda: table(found, days, view)), parts.kept
