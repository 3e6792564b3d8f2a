"""Actions on an alert and its timeline: the part of the alert's page that writes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import dash
import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html, no_update

from actions.audited_actions import AuditedActions
from core.errors import NotFound, StoreError, UserError
from core.log import get_logger
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.pages import inbox
from dashboard.pages.components import Parts, ago, error_message, for_role, href, name_of, panel, state_badge
from dashboard.reads.queries import AlertTimeline, Reads, revision
from dashboard.view import View, parse
from domain.alert_lifecycle import AlertEvent, EventKind
from domain.alert_lifecycle.verdicts import KINDS, OF_KIND, VERDICTS, Verdict, latest_verdicts, verdict_of
from storage.store import SuppressedDelivery

BUTTONS: dict[str, EventKind] = {
    "ac-acknowledge": "acknowledged",
    "ac-unacknowledge": "unacknowledged",
    "ac-resolve": "resolved",
    "ac-reopen": "reopened",
    "ac-assign": "assigned",
    "ac-note": "note",
}
SPANS = {"1h": timedelta(hours=1), "4h": timedelta(hours=4), "1d": timedelta(days=1), "1w": timedelta(weeks=1)}
log = get_logger("dashboard.actions")


def layout(view: View) -> Any:
    """Buttons and fields. They are not part of the refresh, so that typed text is kept."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    def button(id_: str, variant: str = "default") -> Any:
        return dmc.Button(words(id_.replace("ac-", "action.")), id=id_, variant=variant, size="xs", n_clicks=0)

    def field(id_: str, key: str) -> Any:
        return dmc.TextInput(id=id_, placeholder=words(key), size="xs", className="grow", **{"aria-label": words(key)})

    spans = [{"value": key, "label": words(f"action.span.{key}")} for key in SPANS]
    span = dmc.Select(id="ac-span", data=spans, value="4h", size="xs", w=110, allowDeselect=False, **{"aria-label": words("action.span")})
    rows = [
        html.Div([button("ac-acknowledge", "filled"), *map(button, ("ac-unacknowledge", "ac-resolve", "ac-reopen"))], className="actions"),
        html.Div([field("ac-words", "action.words"), button("ac-note"), button("ac-assign")], className="actions"),
        html.Div([field("ac-reason", "action.reason"), span, button("ac-silence")], className="actions"),
    ]
    return panel(
        words("action.title"),
        [
            dcc.Store(id="ac-seen"),
            for_role("analyst", [*rows, html.P(id="ac-message", className="message", role="status")], view),
            html.Div(id="ac-timeline"),
        ],
    )


def activity(timeline: AlertTimeline, now: datetime, view: View) -> Any:
    """State of the alert, reasons why it is not delivered, and its events, newest first."""

    def words(key: str, **values: object) -> str:
        return i18n.text(key, view.language, **values)

    known = timeline.life
    head = [state_badge(known.state, view)]
    if known.assignee:
        head.append(html.Span([words("action.assigned_to"), html.Bdi(plain(known.assignee, 60))], className="muted"))
    held = []
    for each in known.silenced:
        until = i18n.when(each.until, view.tz, view.language)
        held.append(html.Li(words("action.silenced", actor=plain(each.author, 60), until=until, why=plain(each.comment, 200))))
    if known.inhibited:
        other = dcc.Link(name_of(known.inhibited.series, view), href=href(f"/alert/{known.inhibited.alert_id}", view))
        held.append(html.Li([words("action.inhibited"), other]))
    held += [html.Li(_withheld(each, view)) for each in timeline.withheld]
    done = [html.Li(_event(each, now, view)) for each in reversed(timeline.events)]
    return html.Div(
        [
            html.Div(head, className="row start"),
            html.Ul(held, className="suppressed") if held else None,
            html.Ol(done, className="events") if done else html.P(words("action.nothing"), className="muted"),
        ]
    )


def _withheld(each: SuppressedDelivery, view: View) -> str:
    at = i18n.when(each.at, view.tz, view.language)
    return i18n.text("action.withheld", view.language, endpoint=plain(each.endpoint, 80), at=at, why=plain(each.text, 200))


def _event(each: AlertEvent, now: datetime, view: View) -> list[Any]:
    did = i18n.text(f"event.{each.kind}", view.language)
    message = [html.Bdi(plain(each.text, 4_000), className="words")] if each.text else []
    return [html.Bdi(plain(each.actor, 100), className="who"), f" {did} ", *message, " ", ago(each.at, now, view, "muted")]


def register(app: dash.Dash, reads: Reads, actions: AuditedActions) -> None:
    """Register the refresh and the actions of the buttons."""
    shown = [Output("ac-timeline", "children"), *(Output(name, "disabled") for name in list(BUTTONS)[:4]), Output("ac-seen", "data")]

    @app.callback(
        shown,
        Input("tick", "n_intervals"),
        Input("ac-message", "children"),
        Input("view", "data"),
        Input("theme", "data"),
        State("al-key", "data"),
        State("ac-seen", "data"),
    )  # type: ignore[untyped-decorator]
    def refresh(_tick: Any, _message: Any, data: Any, theme: Any, key: Any, seen: Any) -> list[Any]:
        view = parse(data, theme)
        try:
            timeline = reads.timeline(key) if isinstance(key, str) and key else None
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return [no_update] * len(shown)
        if timeline is None:
            return [None, *[True] * 4, None]
        now = reads.now()
        parts = Parts(seen, view)
        state = timeline.life.state
        over, taken = state == "resolved", state == "acknowledged"
        body = parts.new("activity", revision(timeline), lambda: activity(timeline, now, view))
        return [body, over or taken, not taken, over, not over, parts.kept]

    @app.callback(
        Output("ac-message", "children"),
        Output("ac-words", "value"),
        Output("ac-reason", "value"),
        *(Input(name, "n_clicks") for name in (*BUTTONS, "ac-silence")),
        State("al-key", "data"),
        State("ac-words", "value"),
        State("ac-reason", "value"),
        State("ac-span", "value"),
        State("view", "data"),
        prevent_initial_call=True,
    )  # type: ignore[untyped-decorator]
    def act(*given: Any) -> tuple[Any, Any, Any]:
        *clicks, key, words, reason, span, data = given
        view, pressed = parse(data), dash.ctx.triggered_id
        if not any(clicks) or not isinstance(key, str) or not isinstance(pressed, str):
            return no_update, no_update, no_update
        try:
            if pressed == "ac-silence":
                return _silence(key, str(reason or ""), SPANS.get(str(span), SPANS["4h"]), view), no_update, ""
            with_words = pressed in ("ac-note", "ac-assign")
            done = actions.act(key, BUTTONS[pressed], str(words or "") if with_words else "")
        except (UserError, KeyError) as error:
            return html.Span(["✗ ", str(error)], className="sentiment negative"), no_update, no_update
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return html.Span(["✗ ", i18n.text("store.title", view.language)], className="sentiment negative"), no_update, no_update
        reads.forget(("timeline", key), "inbox")
        message = i18n.text("action.done", view.language, did=i18n.text(f"event.{done.kind}", view.language))
        return f"✓ {message} ({i18n.clock(done.at, view.tz)})", "" if with_words else no_update, no_update

    def _silence(key: str, reason: str, lasts: timedelta, view: View) -> str:
        found = reads.alert(key)
        if found is None:
            raise NotFound(f"there is no alert {key[:64]!r}")
        made = actions.silence(found.alert.series, lasts, reason)
        reads.forget(("timeline", key), "inbox")
        until = i18n.when(made.until, view.tz, view.language)
        return "✓ " + i18n.text("action.silence_made", view.language, series=name_of(found.alert.series, view), until=until)


RATING_BUTTONS: dict[str, Verdict] = {f"vd-{verdict}": verdict for verdict in VERDICTS}
VERDICT_GLYPHS: dict[Verdict, str] = {"right": "✓", "false": "✗", "late": "◷"}


def ratings_panel(view: View) -> Any:
    """Buttons and a field, which are not part of the refresh."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    buttons = [
        dmc.Button(f"{VERDICT_GLYPHS[verdict]} {words(f'verdict.{verdict}')}", id=name, variant="default", size="xs", n_clicks=0)
        for name, verdict in RATING_BUTTONS.items()
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
    return f"{VERDICT_GLYPHS[verdict]} {i18n.text(f'verdict.{verdict}', view.language)}"


def _word(each: AlertEvent, now: datetime, view: View) -> Any:
    ago = html.Span(i18n.ago(each.at, now, view.language), className="muted", title=i18n.clock(each.at, view.tz))
    message = [html.Bdi(plain(each.text, 4_000), className="words"), " "] if each.text else []
    return html.Li([html.Bdi(plain(each.actor, 100), className="who"), f": {named(OF_KIND[each.kind], view)} ", *message, ago])


def register_ratings(app: dash.Dash, reads: Reads, actions: AuditedActions) -> None:
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
        *(Input(name, "n_clicks") for name in RATING_BUTTONS),
        State("al-key", "data"),
        State("vd-note", "value"),
        State("view", "data"),
        prevent_initial_call=True,
    )  # type: ignore[untyped-decorator]
    def judge(*args: Any) -> tuple[Any, Any]:
        *clicks, key, note, data = args
        view, pressed = parse(data), dash.ctx.triggered_id
        if not any(clicks) or not isinstance(key, str) or pressed not in RATING_BUTTONS:
            return no_update, no_update
        verdict = RATING_BUTTONS[pressed]
        try:
            actions.act(key, KINDS[verdict], str(note or ""))
        except UserError as error:
            return error_message(str(error)), no_update
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return error_message(i18n.text("store.title", view.language)), no_update
        reads.forget(("timeline", key), *(("precision", days) for days in inbox.PRECISION_DAYS))
        return "✓ " + i18n.text("verdict.kept", view.language, verdict=i18n.text(f"verdict.{verdict}", view.language)), ""
