"""Actions of an admin on model versions: refresh, promote, roll back, each with a confirmation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import dash
import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html, no_update

from core.errors import InvalidInput, ModelError, UserError
from core.log import get_logger
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.figures.model_charts import VERDICTS, test_name, verdict
from dashboard.pages.model_parts import contest_note, name_of, share, words
from dashboard.reads.model_reads import ModelReads
from dashboard.services import ModelComparison, ModelService, ModelVersions
from dashboard.view import View, parse
from dashboard.web.authentication import current_person
from domain.accounts import may

BUTTONS = {"mo-do-refresh": "refresh", "mo-do-promote": "promote", "mo-do-rollback": "rollback"}
MAX_WHY_CHARS = 500
log = get_logger("dashboard.models")


def layout(view: View) -> list[Any]:
    """The buttons and the confirmation dialog; [] for other roles."""
    person = current_person()
    if person is None or not may(person.role, "admin"):
        return []
    buttons = [
        dmc.Button(words(view, f"do_{what}"), id=id_, variant="filled" if what == "refresh" else "default", size="xs", n_clicks=0)
        for id_, what in BUTTONS.items()
    ]
    which = dmc.Select(
        id="mo-which",
        data=[],
        placeholder=words(view, "which"),
        searchable=True,
        clearable=True,
        size="xs",
        className="grow",
        **{"aria-label": words(view, "which")},
    )
    dialog = dmc.Modal(
        [
            html.Div(id="mo-question"),
            dmc.TextInput(id="mo-why", label=words(view, "why"), size="xs", mt="sm"),
            dmc.Checkbox(id="mo-force", label=words(view, "force"), checked=False, size="xs", mt="sm"),
            html.Div(
                [
                    dmc.Button(words(view, "confirm"), id="mo-confirm", size="xs", n_clicks=0),
                    dmc.Button(words(view, "cancel"), id="mo-cancel", variant="default", size="xs", n_clicks=0),
                ],
                className="actions after",
            ),
        ],
        id="mo-dialog",
        opened=False,
        centered=True,
        title=words(view, "really"),
    )
    row = html.Div([buttons[0], which, *buttons[1:]], className="actions")
    return [dcc.Store(id="mo-asked"), row, dialog]


def offered(found: ModelVersions, view: View) -> list[dict[str, str]]:
    """The versions that can be promoted, newest first."""
    return [
        {"value": each.name, "label": name_of(each.name, view)} for each in reversed(found.versions) if not each.champion and not each.fault
    ]


def question(what: str, found: ModelVersions, version: str, reads: ModelReads, view: View) -> Any:
    """The question of the dialog, with the comparison of the versions; a message where the action is not possible."""
    if what == "refresh":
        return html.P(words(view, "ask_refresh"))
    if not version:
        return html.P(words(view, "no_before" if what == "rollback" else "no_version"))
    asked = words(view, f"ask_{what}", version=name_of(version, view), champion=name_of(found.champion, view) or "?")
    kept = next((move for move in reversed(found.history) if move.version == version and move.gate), None)
    contest = reads.contest(version, found.champion)
    return html.Div(
        [
            html.P(asked, className="sentence"),
            html.P([words(view, "gate_result"), " ", plain(kept.why, 800)], className="small") if kept is not None else None,
            *figures_of(contest, view),
            html.P(words(view, "ask_after"), className="muted"),
        ]
    )


def figures_of(found: ModelComparison | None, view: View) -> list[Any]:
    """The comparison in short: overall accuracy on each test."""
    if found is None:
        return []
    rows = []
    for each in found.figures:
        if each.group == "all" and each.metric == "accuracy":
            glyph = VERDICTS[verdict(each.low, each.high)]
            change = f"{share(each.before)} → {share(each.now)}"
            rows.append(html.Li(f"{glyph} {i18n.labelled(test_name(each.test, view), change, view.language)}"))
    return [html.P(contest_note(found, view), className="muted small"), html.Ul(rows, className="plain")]


def register(app: dash.Dash, reads: ModelReads, actor: Callable[[], str]) -> None:
    """Register the dialog and its actions."""

    @app.callback(Output("mo-which", "data"), Input("tick", "n_intervals"), Input("mo-message", "children"), State("view", "data"))  # type: ignore[untyped-decorator]
    def offer(_tick: Any, _message: Any, data: Any) -> Any:
        try:
            found = reads.models()
        except (UserError, ModelError, OSError):
            return no_update
        return offered(found, parse(data)) if found is not None else []

    hidden, shown = {"display": "none"}, {"display": "block"}

    @app.callback(
        Output("mo-dialog", "opened"),
        Output("mo-question", "children"),
        Output("mo-asked", "data"),
        Output("mo-confirm", "disabled"),
        Output("mo-why", "style"),
        Output("mo-force", "style"),
        *(Input(id_, "n_clicks") for id_ in (*BUTTONS, "mo-cancel")),
        State("mo-which", "value"),
        State("view", "data"),
        prevent_initial_call=True,
    )  # type: ignore[untyped-decorator]
    def ask(*given: Any) -> tuple[Any, ...]:
        *clicks, chosen, data = given
        pressed, view = dash.ctx.triggered_id, parse(data)
        what = BUTTONS.get(str(pressed), "")
        if not any(clicks) or not what:
            return False, no_update, None, no_update, no_update, no_update
        try:
            found = reads.models()
            if found is None:
                return True, html.P(words(view, "away")), None, True, hidden, hidden
            version = found.before if what == "rollback" else str(chosen or "") if what == "promote" else ""
            message = question(what, found, version, reads, view)
        except (UserError, ModelError, OSError) as error:
            return True, html.P(["✗ ", plain(str(error), 400)]), None, True, hidden, hidden
        asked = {"what": what, "version": version, "champion": found.champion}
        why = hidden if what == "refresh" else shown
        return True, message, asked, what != "refresh" and not version, why, shown if what == "refresh" else hidden

    @app.callback(
        Output("mo-message", "children"),
        Output("mo-dialog", "opened", allow_duplicate=True),
        Output("mo-why", "value"),
        Output("mo-which", "value"),
        Input("mo-confirm", "n_clicks"),
        State("mo-asked", "data"),
        State("mo-why", "value"),
        State("mo-force", "checked"),
        State("view", "data"),
        prevent_initial_call=True,
    )  # type: ignore[untyped-decorator]
    def do(clicks: Any, asked: Any, why: Any, force: Any, data: Any) -> tuple[Any, ...]:
        view, service = parse(data), reads.model_service
        if not clicks or service is None or not isinstance(asked, Mapping):
            return (no_update,) * 4
        try:
            message = done(service, asked, plain(str(why or ""), MAX_WHY_CHARS), bool(force), actor(), view)
        except (UserError, ModelError, OSError) as error:
            return html.Span(["✗ ", plain(str(error), 600)], className="sentiment negative"), False, no_update, no_update
        finally:
            reads.forget()
        return f"✓ {message}", False, "", None


def done(service: ModelService, asked: Mapping[str, Any], why: str, force: bool, actor: str, view: View) -> str:
    """Run the confirmed action and return a message. Values from the browser are not trusted. Raises as ModelService does."""
    what, version, champion = (str(asked.get(key) or "") for key in ("what", "version", "champion"))
    if what == "promote":
        service.promote(version, champion, why, actor)
        return words(view, "done.promote", version=name_of(version, view))
    if what == "rollback":
        service.rollback(champion, why, actor)
        return words(view, "done.rollback", version=name_of(version, view))
    if what == "refresh":
        service.refresh(actor, force)
        return words(view, "done.refresh")
    raise InvalidInput("unknown action")
