"""API tokens: a part of the page of people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import dash
import dash_mantine_components as dmc
from dash import Input, Output, State, html, no_update

from actions.audited_actions import AuditedActions
from core.errors import StoreError, UserError
from core.log import get_logger
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.pages.components import error_message, once, panel, selectable_table
from dashboard.reads.queries import Reads
from dashboard.view import View, parse
from domain.tokens import SCOPES, Token, new_token

LASTS = {"30d": timedelta(days=30), "90d": timedelta(days=90), "365d": timedelta(days=365), "ever": None}
ENDED_SHOWN = timedelta(days=90)
"""An expired or revoked token is listed for this long."""
STATE_GLYPHS = {"live": "●", "expired": "○", "revoked": "✕"}
log = get_logger("dashboard.tokens")


def part(view: View) -> Any:
    """The panel before its first refresh."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    def button(id_: str, variant: str = "default") -> Any:
        return dmc.Button(words(id_.replace("tk-", "tokens.")), id=id_, variant=variant, size="xs", n_clicks=0)

    name = dmc.TextInput(id="tk-name", placeholder=words("tokens.name"), size="xs", **{"aria-label": words("tokens.name")})
    scopes = dmc.MultiSelect(
        id="tk-scopes",
        data=[{"value": scope, "label": scope} for scope in SCOPES],
        value=["read"],
        size="xs",
        className="grow",
        **{"aria-label": words("tokens.scopes")},
    )
    lasts = dmc.Select(
        id="tk-lasts",
        data=[{"value": key, "label": words(f"tokens.lasts.{key}")} for key in LASTS],
        value="90d",
        size="xs",
        w=130,
        allowDeselect=False,
        **{"aria-label": words("tokens.lasts")},
    )
    return panel(
        words("tokens"),
        [
            selectable_table("tk-chosen", "tk-rows", words("tokens.chosen")),
            html.Div(button("tk-revoke"), className="actions after"),
            html.Div([name, scopes, lasts, button("tk-make", "filled")], className="actions"),
            html.Div(id="tk-message", role="status", className="message"),
        ],
        note=words("tokens.help"),
    )


def state_of(token: Token, now: datetime) -> str:
    """ "live", "expired" or "revoked"."""
    return "revoked" if token.revoked_at is not None else "live" if token.is_valid(now) else "expired"


def table(found: Sequence[Token], now: datetime, view: View) -> Any:
    """The table of active and recently ended tokens."""

    def words(key: str, **values: object) -> str:
        return i18n.text(key, view.language, **values)

    def time(at: datetime | None) -> str:
        return i18n.clock(at, view.tz) if at else words("tokens.never")

    def ended(token: Token) -> datetime:
        return min(at for at in (token.revoked_at, token.expires_at, now) if at is not None)

    listed = [token for token in found if token.is_valid(now) or ended(token) > now - ENDED_SHOWN]
    if not listed:
        return html.P(words("tokens.none"), className="empty-state")
    names = ("name", "scopes", "author", "expires", "used", "state")
    head = html.Tr([html.Td(), *(html.Th(words(f"tokens.column.{name}"), scope="col") for name in names)])
    rows = []
    for token in listed:
        state = state_of(token, now)
        by = words("tokens.by", actor=plain(token.revoked_by, 60)) if token.revoked_by else ""
        label = {"aria-label": f"{plain(token.name, 60)} {token.id[:10]}"}
        choice = dmc.Radio(value=token.id, size="md", **label) if state == "live" else None
        rows.append(
            html.Tr(
                [
                    html.Td(choice),
                    html.Th([html.Bdi(plain(token.name, 100)), html.Span(f" {token.id[:10]}", className="muted small")], scope="row"),
                    html.Td(" ".join(token.scopes)),
                    html.Td(html.Bdi(plain(token.author, 60))),
                    html.Td(time(token.expires_at)),
                    html.Td(time(token.used_at)),
                    html.Td([f"{STATE_GLYPHS[state]} {words(f'tokens.state.{state}')}", html.Bdi(by, className="muted small")]),
                ]
            )
        )
    return html.Div(html.Table([html.Thead(head), html.Tbody(rows)], className="table"), className="scroll")


def register(app: dash.Dash, reads: Reads, actions: AuditedActions) -> None:
    """Register the actions of the buttons."""

    @app.callback(
        Output("tk-message", "children"),
        Output("tk-name", "value"),
        Input("tk-make", "n_clicks"),
        Input("tk-revoke", "n_clicks"),
        State("tk-chosen", "value"),
        State("tk-name", "value"),
        State("tk-scopes", "value"),
        State("tk-lasts", "value"),
        State("view", "data"),
        prevent_initial_call=True,
    )  # type: ignore[untyped-decorator]
    def act(making: Any, revoking: Any, chosen: Any, name: Any, scopes: Any, lasts: Any, data: Any) -> tuple[Any, Any]:
        view, pressed = parse(data), dash.ctx.triggered_id
        if not (making or revoking):
            return no_update, no_update
        try:
            if pressed == "tk-make":
                return _make(str(name or ""), scopes, LASTS.get(str(lasts), LASTS["90d"]), view), ""
            return _revoke(chosen, view), no_update
        except UserError as error:
            return error_message(str(error)), no_update
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return error_message(i18n.text("store.title", view.language)), no_update
        finally:
            reads.forget("tokens")

    def _make(name: str, scopes: Any, lasts: timedelta | None, view: View) -> Any:
        now = reads.now()
        given = [str(scope) for scope in scopes] if isinstance(scopes, list) else []
        secret, token = new_token(name, given, author=actions.actor(), now=now, expires_at=now + lasts if lasts else None)
        actions.add_token(token)
        return once(i18n.text("tokens.made", view.language, name=plain(token.name, 100)), secret, i18n.text("tokens.once", view.language))

    def _revoke(chosen: Any, view: View) -> Any:
        found = next((token for token in reads.once(lambda store: store.tokens.all()) if token.id == chosen), None)
        if found is None:
            return error_message(i18n.text("tokens.choose", view.language))
        if found.revoked_at is None:
            actions.revoke_token(found.id)
        return "✓ " + i18n.text("tokens.revoked", view.language, name=plain(found.name, 100))
