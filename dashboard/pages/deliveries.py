"""The page of deliveries: endpoints with their counts, the deliveries of the last month, resending and test messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import dash
import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html, no_update

from actions.audited_actions import AuditedActions
from core.errors import StoreError, UserError
from core.log import get_logger, mask
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.pages.components import Parts, error_message, for_role, href, name_of, panel, selectable_table, store_problem
from dashboard.reads.queries import Reads, revision
from dashboard.services import OUTCOMES, DeliveryLog, DeliveryRecord, DeliveryService, EndpointStatus
from dashboard.view import View, parse
from storage.tables.notifications import PREFIX

PATH = "/deliveries"
SHOWN = 200
TTL_S = 4.0
BUTTONS = ("de-replay", "de-replay-failed", "de-test")
GLYPHS = {"delivered": "✓", "waiting": "◔", "failed": "✗", "dead": "⊘"}
CLASSES = {"delivered": "positive", "waiting": "neutral", "failed": "negative", "dead": "negative"}
_BETWEEN = "\x1f"
"""Separates endpoint and subject in the value of a row; neither contains it."""
FOLLOWS = ("alerts", "actions")
EVERY_S = 4
"""Refresh interval in seconds: the change feed does not cover delivery attempts."""
log = get_logger("dashboard.deliveries")


def match(path: str) -> str | None:
    """ "" for the path of this page; None for others."""
    return "" if path.rstrip("/") == PATH else None


def layout(view: View, _key: str) -> Any:
    """The page before its first refresh. The selection is kept while the tables are refreshed."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    def button(id_: str) -> Any:
        return dmc.Button(words(id_.replace("de-", "deliveries.")), id=id_, variant="default", size="xs", n_clicks=0)

    def filter_of(id_: str, key: str, data: Sequence[Mapping[str, str]]) -> Any:
        return dmc.Select(id=id_, data=list(data), placeholder=words(key), size="xs", clearable=True, **{"aria-label": words(key)})

    outcomes = [{"value": name, "label": f"{GLYPHS[name]} {words(f'deliveries.{name}')}"} for name in OUTCOMES]
    filters = [
        filter_of("de-where", "deliveries.anywhere", []),
        filter_of("de-outcome", "deliveries.any", outcomes),
        for_role("analyst", button("de-replay"), view),
    ]
    return html.Div(
        [
            dcc.Store(id="de-seen"),
            html.Div(id="de-problem", role="alert"),
            html.Div(html.H1(words("deliveries")), className="page-head"),
            html.Div(id="de-message", role="status", className="message"),
            panel(
                words("deliveries.endpoints"),
                [
                    selectable_table("de-endpoint", "de-endpoints", words("deliveries.chosen_endpoint")),
                    for_role("analyst", html.Div([button("de-replay-failed"), button("de-test")], className="actions after"), view),
                ],
                note=words("deliveries.endpoints_help"),
            ),
            panel(
                words("deliveries.log"),
                [
                    html.Div(filters, className="actions"),
                    selectable_table("de-chosen", "de-rows", words("deliveries.chosen"), several=True),
                ],
                note=words("deliveries.help"),
            ),
        ]
    )


def places(found: Sequence[EndpointStatus], now: datetime, view: View) -> Any:
    """The table of endpoints."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    if not found:
        return html.P(words("deliveries.no_endpoints"), className="empty-state")
    names = ["endpoint", "state", "last", *OUTCOMES]
    head = html.Tr([html.Td(), *(html.Th(words(f"deliveries.{name}"), scope="col") for name in names)])
    rows = []
    for each in found:
        name = plain(mask(each.endpoint), 120)
        choice = dmc.Radio(value=each.endpoint, size="md", **{"aria-label": name}) if each.state else None
        last = i18n.ago(each.last_at, now, view.language) if each.last_at else "–"
        kind = "negative" if each.state in ("failing", "gone") else "positive" if each.state == "ok" else "neutral"
        state = html.Span(words(f"deliveries.state.{each.state or 'removed'}"), className=f"sentiment {kind}")
        keyword = html.Div(i18n.text("deliveries.keyword", view.language, keyword=plain(each.keyword, 50))) if each.keyword else None
        cells = [html.Td(choice), html.Th([html.Bdi(name), keyword], scope="row"), html.Td(state), html.Td(last)]
        rows.append(html.Tr([*cells, *(html.Td(f"{each.counts[outcome]:,}") for outcome in OUTCOMES)]))
    return html.Div(html.Table([html.Thead(head), html.Tbody(rows)], className="table"), className="scroll")


def table(found: Sequence[DeliveryRecord], series: Mapping[str, str], now: datetime, view: View) -> Any:
    """The table of deliveries, newest first. series: alert ID to its series, where known"""

    def words(key: str, **values: object) -> str:
        return i18n.text(key, view.language, **values)

    if not found:
        return html.P(words("deliveries.none"), className="empty-state")
    names = ("endpoint", "what", "attempt", "result", "sent", "next")
    head = html.Tr([html.Td(), *(html.Th(words(f"deliveries.{name}"), scope="col") for name in names)])
    rows = []
    for each in found[:SHOWN]:
        label = {"aria-label": f"{plain(mask(each.endpoint), 80)} {plain(each.subject, 20)}"}
        choice = dmc.Checkbox(value=value_of(each), size="md", radius="xs", **label) if each.alert_ids else None
        rows.append(
            html.Tr(
                [
                    html.Td(choice),
                    html.Td(html.Bdi(plain(mask(each.endpoint), 80))),
                    html.Td(_what(each, series, view)),
                    html.Td(each.attempt),
                    html.Td(_result(each, view)),
                    html.Td(i18n.ago(each.sent_at, now, view.language), title=i18n.clock(each.sent_at, view.tz)),
                    html.Td(_next(each, now, view)),
                ]
            )
        )
    more = html.P(words("deliveries.more", n=len(found) - SHOWN), className="muted") if len(found) > SHOWN else None
    return html.Div([html.Div(html.Table([html.Thead(head), html.Tbody(rows)], className="table inbox"), className="scroll"), more])


def value_of(each: DeliveryRecord) -> str:
    """The value of a row's checkbox."""
    return f"{each.endpoint}{_BETWEEN}{each.subject}"


def _what(each: DeliveryRecord, series: Mapping[str, str], view: View) -> Any:
    if not each.alert_ids:
        return html.Span(i18n.text("deliveries.a_test", view.language), className="muted")
    first = each.alert_ids[0]
    name = name_of(series[first], view) if first in series else plain(first, 10)
    link = dcc.Link(html.Bdi(name), href=href(f"/alert/{first}", view))
    if not each.subject.startswith(PREFIX):
        return link
    return [link, html.Span(i18n.text("deliveries.group", view.language, n=len(each.alert_ids)), className="muted small")]


def _result(each: DeliveryRecord, view: View) -> Any:
    label = f"{GLYPHS[each.outcome]} {i18n.text(f'deliveries.{each.outcome}', view.language)}"
    status = f" ({each.status})" if each.status else ""
    error = html.Div(html.Bdi(plain(mask(each.error), 200)), className="small muted wrap") if each.error else None
    return [html.Span(label + status, className=f"sentiment {CLASSES[each.outcome]}"), error]


def _next(each: DeliveryRecord, now: datetime, view: View) -> Any:
    if each.requested_by:
        return html.Span(i18n.text("deliveries.asked", view.language, actor=plain(each.requested_by, 60)), className="muted")
    if each.next_at is None:
        return "–"
    return i18n.text("deliveries.soon", view.language) if each.next_at <= now else i18n.when(each.next_at, view.tz, view.language)


def register(app: dash.Dash, reads: Reads, actions: AuditedActions, delivery_service: DeliveryService | None) -> None:
    """Register the refresh and the actions. delivery_service: None where this process does not offer it"""
    shown = [
        Output("de-problem", "children"),
        Output("de-endpoints", "children"),
        Output("de-rows", "children"),
        Output("de-where", "data"),
        Output("de-seen", "data"),
    ]

    def read() -> DeliveryLog:
        return reads.shared("deliveries", TTL_S, lambda _: delivery_service.log() if delivery_service else DeliveryLog((), ()))

    @app.callback(
        shown,
        Input("tick", "n_intervals"),
        Input("de-message", "children"),
        Input("de-where", "value"),
        Input("de-outcome", "value"),
        Input("view", "data"),
        Input("theme", "data"),
        State("de-seen", "data"),
    )  # type: ignore[untyped-decorator]
    def refresh(_tick: Any, _message: Any, where: Any, outcome: Any, data: Any, theme: Any, seen: Any) -> list[Any]:
        view = parse(data, theme)
        if delivery_service is None:
            return [error_message(i18n.text("deliveries.away", view.language)), None, None, [], None]
        try:
            found = read()
            series = {each.alert.id: each.alert.series for each in reads.inbox()}
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return [store_problem(view), *[no_update] * (len(shown) - 1)]
        except UserError as error:
            return [error_message(str(error)), None, None, [], None]
        now = reads.now()
        rows = [each for each in found.deliveries if where in (None, "", each.endpoint) and outcome in (None, "", each.outcome)]
        parts, minute = Parts(seen, view), int(now.timestamp()) // 60
        names = [{"value": each.endpoint, "label": plain(mask(each.endpoint), 80)} for each in found.endpoints]
        return [
            None,
            parts.new("places", (revision(found.endpoints), minute), lambda: places(found.endpoints, now, view)),
            parts.new("rows", (revision((rows, where, outcome)), minute), lambda: table(rows, series, now, view)),
            parts.new("where", revision(names), lambda: names),
            parts.kept,
        ]

    @app.callback(
        Output("de-message", "children"),
        Output("de-chosen", "value"),
        *(Input(name, "n_clicks") for name in BUTTONS),
        State("de-endpoint", "value"),
        State("de-chosen", "value"),
        State("view", "data"),
        prevent_initial_call=True,
    )  # type: ignore[untyped-decorator]
    def act(*given: Any) -> tuple[Any, Any]:
        *clicks, place, chosen, data = given
        view, pressed = parse(data), dash.ctx.triggered_id
        if not any(clicks) or pressed not in BUTTONS or delivery_service is None:
            return no_update, no_update
        try:
            if pressed == "de-replay":
                return _replay(delivery_service, chosen, view), []
            if not isinstance(place, str) or not place:
                return error_message(i18n.text("deliveries.choose_endpoint", view.language)), no_update
            if pressed == "de-test":
                delivery_service.send_test(place, actions)
                return "✓ " + i18n.text("deliveries.tested", view.language, endpoint=plain(mask(place), 80)), no_update
            return _asked(delivery_service.replay_failed(place, actions), view), no_update
        except UserError as error:
            return error_message(str(error)), no_update
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return error_message(i18n.text("store.title", view.language)), no_update
        finally:
            reads.forget("deliveries")

    def _replay(service: DeliveryService, chosen: Any, view: View) -> Any:
        by_place: dict[str, list[str]] = {}
        for value in chosen if isinstance(chosen, list) else []:
            endpoint, between, subject = str(value).partition(_BETWEEN)
            if between:
                by_place.setdefault(endpoint, []).append(subject)
        if not by_place:
            return error_message(i18n.text("deliveries.choose", view.language))
        return _asked(sum(service.replay(endpoint, subjects, actions) for endpoint, subjects in by_place.items()), view)


def _asked(count: int, view: View) -> Any:
    return "✓ " + i18n.text("deliveries.replayed", view.language, n=count)
