"""The audit log of changes and logins: the read-only part of the page of people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import dash
import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html, no_update

from core.errors import StoreError
from core.log import get_logger
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.pages.components import error_message, panel
from dashboard.reads import admin
from dashboard.reads.admin import AUDIT_PATH, SHOWN, SPANS, AuditFilter
from dashboard.reads.queries import Reads
from dashboard.translations import LABELS
from dashboard.view import View, parse
from storage.store import AuditEntry

SHORT_CHARS = 80
log = get_logger("dashboard.audit")


def part(view: View) -> Any:
    """The panel before its first refresh."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    def choice(id_: str, key: str) -> Any:
        return dmc.Select(id=id_, data=[], placeholder=words(key), size="xs", searchable=True, clearable=True, **{"aria-label": words(key)})

    span = dmc.Select(
        id="au-span",
        data=[{"value": key, "label": words(f"audit.span.{key}")} for key in SPANS],
        value=admin.DEFAULT_SPAN,
        size="xs",
        allowDeselect=False,
        **{"aria-label": words("range")},
    )
    tools = [
        dmc.Button(words("audit.newest"), id="au-newest", variant="default", size="xs", n_clicks=0),
        dmc.Button(words("audit.older"), id="au-older", variant="default", size="xs", n_clicks=0),
        html.A(words("audit.export"), id="au-export", href=AUDIT_PATH, className="button small"),
    ]
    return panel(
        words("audit"),
        [
            dcc.Store(id="au-oldest"),
            html.Div([choice("au-who", "audit.anybody"), choice("au-what", "audit.anything"), span, *tools], className="actions"),
            html.Div(dmc.Skeleton(height=160, radius="md"), id="au-rows"),
        ],
        note=words("audit.help"),
    )


def kind_words(what: str, view: View) -> str:
    """The display name of an action."""
    key = f"did.{what}"
    return i18n.text(key, view.language) if key in LABELS else plain(what, 80)


def table(found: Sequence[AuditEntry], view: View) -> Any:
    """The table of entries."""
    if not found:
        return html.P(i18n.text("audit.none", view.language), className="empty-state")
    head = html.Tr(
        [html.Th(i18n.text(f"audit.{name}", view.language), scope="col") for name in ("at", "actor", "action", "target", "changed")]
    )
    return html.Div(
        html.Table([html.Thead(head), html.Tbody([_row(each, view) for each in found])], className="table inbox"), className="scroll"
    )


def _row(entry: AuditEntry, view: View) -> Any:
    return html.Tr(
        [
            html.Td(f"{entry.at.astimezone(view.tz):%Y-%m-%d %H:%M:%S}"),
            html.Td([html.Bdi(plain(entry.actor, 60) or "–"), html.Div(html.Bdi(plain(entry.address, 60)), className="muted small")]),
            html.Td(kind_words(entry.action, view), title=plain(entry.action, 80)),
            html.Td(html.Bdi(_short(entry.target)), title=plain(entry.target, 200)),
            html.Td([*_words("−", entry.before), *_words("+", entry.after)], className="fold"),
        ]
    )


def _short(about: str) -> str:
    return plain(about, 64) if len(about) < 40 else plain(about, 12)


def _words(sign: str, text: str) -> list[Any]:
    """A value before or after the change: one line that can be expanded."""
    if not text:
        return []
    whole = plain(text, admin.MAX_CHARS)
    if len(whole) <= SHORT_CHARS:
        return [html.Div([sign, " ", html.Bdi(whole)])]
    return [html.Details([html.Summary([sign, " ", html.Bdi(plain(text, SHORT_CHARS))]), html.Bdi(whole)])]


def export_href(given: AuditFilter, view: View) -> str:
    """The URL of the CSV export of the filtered entries."""
    asked = {"who": given.actor, "what": given.what, "span": given.span, "lang": view.language, "zone": view.zone}
    return f"{AUDIT_PATH}?{urlencode({key: value for key, value in asked.items() if value})}"


def register(app: dash.Dash, reads: Reads) -> None:
    """Register the table's refresh, which runs when a filter changes or after an action on the page."""

    @app.callback(
        Output("au-rows", "children"),
        Output("au-oldest", "data"),
        Output("au-older", "disabled"),
        Output("au-who", "data"),
        Output("au-what", "data"),
        Output("au-export", "href"),
        Input("au-who", "value"),
        Input("au-what", "value"),
        Input("au-span", "value"),
        Input("au-newest", "n_clicks"),
        Input("au-older", "n_clicks"),
        Input("pe-message", "children"),
        Input("tk-message", "children"),
        State("au-oldest", "data"),
        State("view", "data"),
        State("theme", "data"),
    )  # type: ignore[untyped-decorator]
    def show(actor: Any, what: Any, span: Any, *given: Any) -> tuple[Any, ...]:
        oldest, data, theme = given[-3:]
        view = parse(data, theme)
        asked = admin.asked(actor, what, span, oldest if dash.ctx.triggered_id == "au-older" else None)
        try:
            found, (people, kinds) = admin.entries(reads, asked), admin.choices(reads)
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return error_message(i18n.text("store.title", view.language)), *[no_update] * 5
        return (
            table(found, view),
            found[-1].at.isoformat() if found else None,
            len(found) < SHOWN,
            [{"value": name, "label": plain(name, 60)} for name in people],
            [{"value": kind, "label": kind_words(kind, view)} for kind in kinds],
            export_href(asked, view),
        )
