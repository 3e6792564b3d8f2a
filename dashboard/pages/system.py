"""The page of the system: processes, consumer lag, throughput, latency, deliveries, dead letters and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import dash
import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html, no_update

from core.errors import BrokerError, StoreError
from core.log import get_logger, mask
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.figures.charts import rates
from dashboard.figures.palette import PROCESS_GLYPHS
from dashboard.pages.components import Parts, chart, fresh, keep_zoom, panel, store_problem, tile
from dashboard.pages.sources import health
from dashboard.reads.operations import CHART_WIDTH_S, Endpoint, OperationsReads, SystemView, is_gone
from dashboard.reads.queries import revision
from dashboard.view import View, parse
from storage.store import DeadReason, Heartbeat, Latency, TableSize

PATH = "/system"
LATELY = 2
"""Number of windows for the current rate."""
EVERY_S = 5
"""Refresh interval in seconds: the change feed does not cover heartbeats and lag."""
log = get_logger("dashboard.system")


def match(path: str) -> str | None:
    """ "" for the path of this page; None for others."""
    return "" if path.rstrip("/") == PATH else None


def layout(view: View, _key: str) -> Any:
    """The page before its first refresh."""

    def words(key: str, **values: object) -> str:
        return i18n.text(key, view.language, **values)

    def part(name: str) -> Any:
        note = html.Span(id="sy-stages-note") if name == "stages" else words(f"system.{name}.help")
        return panel(words(f"system.{name}"), html.Div(dmc.Skeleton(height=90, radius="md"), id=f"sy-{name}"), note=note)

    width = i18n.width(CHART_WIDTH_S, view.language)
    return html.Div(
        [
            dcc.Store(id="sy-seen"),
            html.Div(id="sy-problem", role="alert"),
            html.Div(html.H1(words("system")), className="page-head"),
            html.Div([dmc.Skeleton(height=84, radius="md") for _ in range(4)], id="sy-kpis", className="kpis"),
            part("workers"),
            html.Div(
                [
                    panel(
                        words("system.throughput"),
                        chart("sy-rate", 400, view, label=words("system.throughput")),
                        note=words("system.throughput.help", width=width),
                    ),
                    html.Div([part("lag"), part("stages")]),
                ],
                className="split",
            ),
            html.Div([part("deliveries"), part("dead")], className="halves"),
            part("tables"),
        ]
    )


def kpis(found: SystemView, now: datetime, view: View) -> list[Any]:
    """The four figures at the top."""

    def words(key: str, **values: object) -> str:
        return i18n.text(key, view.language, **values)

    lost = sum(is_gone(heartbeat, now) for heartbeat in found.heartbeats)
    alive = sum(heartbeat.state != "ended" for heartbeat in found.heartbeats) - lost
    minutes = (len(found.stored[-LATELY:]) - 1) * CHART_WIDTH_S / 60 + (CHART_WIDTH_S - (found.until - now).total_seconds()) / 60
    rate = sum(found.stored[-LATELY:]) / max(1.0, minutes)
    whole = next((stage for stage in found.latency.stages if stage.name == "whole"), None)
    late = words("system.latency_note", p99=i18n.duration(whole.p99_s, view.language)) if whole else words("system.latency_none")
    free = words("system.free", n=i18n.size(found.disk.free_bytes)) if found.disk else words("system.free_unknown")
    return [
        tile(words("system.alive"), str(alive), words("system.lost", n=lost)),
        tile(words("system.rate"), f"{rate:,.1f}", words("system.rate_note")),
        tile(words("system.latency"), i18n.duration(whole.p50_s, view.language) if whole else "–", late),
        tile(words("system.size"), i18n.size(sum(table.size_bytes for table in found.tables)), free),
    ]


def table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], view: View, *, numbers: Sequence[int] = (), long: Sequence[int] = ()
) -> Any:
    """A table. columns: keys of texts; numbers, long: indices of numeric columns, and of columns with long text"""
    kinds = {**dict.fromkeys(numbers, "number"), **dict.fromkeys(long, "long")}
    head = html.Tr([html.Th(i18n.text(key, view.language), scope="col", className=kinds.get(n, "")) for n, key in enumerate(columns)])
    body = [html.Tr([html.Td(cell, className=kinds.get(n, "")) for n, cell in enumerate(row)]) for row in rows]
    return html.Div(html.Table([html.Thead(head), html.Tbody(body)], className="table"), className="scroll")


def workers(heartbeats: Sequence[Heartbeat], now: datetime, view: View) -> Any:
    """The table of processes, running ones first."""
    if not heartbeats:
        return html.P(i18n.text("system.workers.none", view.language), className="empty-state")
    columns = [f"system.{name}" for name in ("state", "roles", "last_heartbeat", "since", "model", "version", "host")]
    return table(columns, [_worker(heartbeat, now, view) for heartbeat in heartbeats], view, long=(4,))


def _worker(heartbeat: Heartbeat, now: datetime, view: View) -> list[Any]:
    language = view.language
    state = "gone" if is_gone(heartbeat, now) else heartbeat.state
    roles: list[Any] = [" + ".join(i18n.text(f"system.role.{role}", language) for role in heartbeat.roles if role in ROLES)]
    if heartbeat.waiting:
        roles.append(html.Div(i18n.text("system.waiting", language, n=f"{heartbeat.waiting:,}"), className="muted small"))
    return [
        health(state, PROCESS_GLYPHS[state], i18n.text(f"system.state.{state}", language)),
        roles,
        html.Span(i18n.ago(heartbeat.at, now, language), title=i18n.clock(heartbeat.at, view.tz)),
        i18n.when(heartbeat.started_at, view.tz, language),
        plain(heartbeat.model, 60) or "–",
        plain(heartbeat.version, 30),
        html.Span(f"{plain(heartbeat.host, 40)} · {heartbeat.pid}"),
    ]


ROLES = ("crawl", "work", "dashboard", "schedule")


def stages(found: Latency, view: View) -> Any:
    """The latency of each stage."""
    if not found.articles:
        return html.P(i18n.text("system.latency_none", view.language), className="empty-state")
    rows = [
        (
            i18n.text(f"system.stage.{stage.name}", view.language),
            i18n.duration(stage.p50_s, view.language),
            i18n.duration(stage.p99_s, view.language),
        )
        for stage in found.stages
    ]
    return table([f"system.{name}" for name in ("stage", "p50", "p99")], rows, view, numbers=(1, 2))


def lag(found: Mapping[str, list[int]] | None, view: View) -> Any:
    """The consumer lag by topic."""
    if found is None:
        return html.P(i18n.text("system.lag.away", view.language), className="empty-state")
    missing = i18n.text("system.lag.missing", view.language)
    rows = [
        (name, f"{sum(behind):,}" if behind else missing, f"{max(behind, default=0):,}", str(len(behind))) for name, behind in found.items()
    ]
    return table([f"system.lag.{name}" for name in ("topic", "messages", "worst", "partitions")], rows, view, numbers=(1, 2, 3))


def deliveries(found: Sequence[Endpoint], now: datetime, view: View) -> Any:
    """Deliveries by endpoint."""
    if not found:
        return html.P(i18n.text("system.deliveries.none", view.language), className="empty-state")
    rows = []
    for each in found:
        last = ""
        if each.last_at is not None:
            last = i18n.labelled(i18n.ago(each.last_at, now, view.language), plain(mask(each.last_error), 160), view.language)
        rows.append((html.Bdi(plain(each.name, 60)), f"{each.taken:,}", f"{each.failed:,}", f"{each.waiting:,}", last))
    columns = [f"system.{name}" for name in ("endpoint", "delivered", "failed", "waits", "last_error")]
    return table(columns, rows, view, numbers=(1, 2, 3), long=(4,))


def dead(found: Sequence[DeadReason], now: datetime, view: View) -> Any:
    """Dead letters by reason, most frequent first."""
    if not found:
        return html.P(["● ", i18n.text("system.dead.none", view.language)], className="empty-state")
    rows = [
        (
            plain(each.stage, 30),
            plain(each.reason, 160),
            f"{each.records:,}",
            f"{each.unsettled:,}",
            i18n.ago(each.last_at, now, view.language),
        )
        for each in found
    ]
    columns = [f"system.{name}" for name in ("stage", "reason", "records", "unsettled", "newest")]
    return table(columns, rows, view, numbers=(2, 3), long=(1,))


def tables(found: Sequence[TableSize], view: View) -> Any:
    """The tables of the store, largest first."""
    rows = [(each.name, f"{each.rows:,}", i18n.size(each.size_bytes), f"{each.parts:,}") for each in found]
    return table([f"system.{name}" for name in ("table", "rows", "bytes", "parts")], rows, view, numbers=(1, 2, 3))


def register(app: dash.Dash, operations_reads: OperationsReads) -> None:
    """Register the refresh of the page. The lag has a callback of its own, so that an unreachable broker does not block the rest."""
    outputs = [
        Output("sy-problem", "children"),
        Output("sy-kpis", "children"),
        Output("sy-workers", "children"),
        Output(fresh("sy-rate"), "data"),
        Output("sy-stages", "children"),
        Output("sy-stages-note", "children"),
        Output("sy-deliveries", "children"),
        Output("sy-dead", "children"),
        Output("sy-tables", "children"),
        Output("sy-seen", "data"),
    ]

    @app.callback(outputs, Input("tick", "n_intervals"), Input("view", "data"), Input("theme", "data"), State("sy-seen", "data"))  # type: ignore[untyped-decorator]
    def refresh(_tick: Any, data: Any, theme: Any, seen: Any) -> list[Any]:
        view = parse(data, theme)
        try:
            found = operations_reads.system()
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return [store_problem(view), *[no_update] * (len(outputs) - 1)]
        now, parts = operations_reads.now(), Parts(seen, view)
        minute, quarter = int(now.timestamp()) // 60, int(now.timestamp()) // 15
        bounds = (found.since, found.until, CHART_WIDTH_S)
        measured = i18n.text("system.stages.help", view.language, n=f"{found.latency.articles:,}")
        return [
            None,
            parts.new("kpis", (revision(found), quarter), lambda: kpis(found, now, view)),
            parts.new("workers", (revision(found.heartbeats), quarter), lambda: workers(found.heartbeats, now, view)),
            parts.new("rate", revision((found.stored, found.until)), lambda: rates(found.stored, bounds, now, view)),
            parts.new("stages", revision(found.latency), lambda: stages(found.latency, view)),
            parts.new("stages-note", found.latency.articles, lambda: measured if found.latency.articles else ""),
            parts.new("deliveries", (revision(found.endpoints), minute), lambda: deliveries(found.endpoints, now, view)),
            parts.new("dead", (revision(found.dead), minute), lambda: dead(found.dead, now, view)),
            parts.new("tables", revision(found.tables), lambda: tables(found.tables, view)),
            parts.kept,
        ]

    @app.callback(Output("sy-lag", "children"), Input("tick", "n_intervals"), Input("view", "data"), Input("theme", "data"))  # type: ignore[untyped-decorator]
    def behind(_tick: Any, data: Any, theme: Any) -> Any:
        view = parse(data, theme)
        try:
            return lag(operations_reads.lag(), view)
        except BrokerError as error:
            message = i18n.text("system.lag.broken", view.language, error=plain(mask(str(error)), 200))
            return html.P(["✕ ", message], className="sentiment negative reason")
        except StoreError:  # the request of another viewer takes long
            return no_update

    keep_zoom(app, "sy-rate")
