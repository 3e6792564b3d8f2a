"""The page of people, for admins: accounts, API tokens and the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import dash
import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html, no_update

from actions.audited_actions import AuditedActions
from core.errors import InvalidInput, StoreError, UserError
from core.log import get_logger
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.pages import audit
from dashboard.pages.components import Parts, error_message, once, panel, selectable_table, store_problem
from dashboard.reads import admin
from dashboard.reads.admin import AccountRow
from dashboard.reads.queries import Reads, revision
from dashboard.view import View, parse
from domain import passwords
from domain.accounts import FREE, ROLES, Role
from domain.tokens import SCOPES, Token, new_token

PATH = "/people"
LEAST: Role = "admin"
BUTTONS = ("pe-add", "pe-role-set", "pe-password", "pe-logout", "pe-unlock", "pe-disable", "pe-enable")
STATE_GLYPHS = {"active": "●", "must_change": "◐", "disabled": "○"}
EVERY_S = 4
"""Refresh interval in seconds: the change feed does not cover sessions."""
log = get_logger("dashboard.people")


def match(path: str) -> str | None:
    """ "" for the path of this page; None for others."""
    return "" if path.rstrip("/") == PATH else None


def layout(view: View, _key: str) -> Any:
    """The page before its first refresh. Fields and buttons are not part of the refresh."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    def button(id_: str, variant: str = "default") -> Any:
        return dmc.Button(words(id_.replace("pe-", "people.")), id=id_, variant=variant, size="xs", n_clicks=0)

    def roles(id_: str) -> Any:
        data = [{"value": role, "label": words(f"role.{role}")} for role in ROLES]
        return dmc.Select(id=id_, data=data, value="viewer", size="xs", w=130, allowDeselect=False, **{"aria-label": words("people.role")})

    name = dmc.TextInput(id="pe-name", placeholder=words("people.name"), size="xs", **{"aria-label": words("people.name")})
    return html.Div(
        [
            dcc.Store(id="pe-seen"),
            html.Div(id="pe-problem", role="alert"),
            html.Div(html.H1(words("people")), className="page-head"),
            panel(
                words("people.accounts"),
                [
                    selectable_table("pe-chosen", "pe-rows", words("people.chosen")),
                    html.Div([roles("pe-role"), *map(button, BUTTONS[1:])], className="actions after"),
                    html.Div([name, roles("pe-new-role"), button("pe-add", "filled")], className="actions"),
                    html.Div(id="pe-message", role="status", className="message"),
                ],
                note=words("people.help"),
            ),
            tokens_panel(view),
            audit.part(view),
        ]
    )


def state_of(known: AccountRow) -> str:
    """ "active", "must_change" (the password was set by another person) or "disabled"."""
    return "disabled" if known.account.disabled else "must_change" if known.account.must_change else "active"


def table(found: Sequence[AccountRow], now: datetime, view: View) -> Any:
    """The table of accounts."""

    def words(key: str, **values: object) -> str:
        return i18n.text(key, view.language, **values)

    if not found:
        return html.P(words("people.nobody"), className="empty-state")
    names = ("name", "role", "state", "sessions", "password_of")
    head = html.Tr([html.Td(), *(html.Th(words(f"people.column.{name}"), scope="col") for name in names)])
    rows = []
    for each in found:
        account, state = each.account, state_of(each)
        failed = words("people.failed", n=each.failed) if each.failed >= FREE["account"] else ""
        seen = words("people.seen", n=each.sessions, ago=i18n.ago(each.seen_at, now, view.language)) if each.seen_at else "0"
        rows.append(
            html.Tr(
                [
                    html.Td(dmc.Radio(value=account.name, size="md", **{"aria-label": plain(account.name, 64)})),
                    html.Th(html.Bdi(plain(account.name, 64)), scope="row"),
                    html.Td(words(f"role.{account.role}")),
                    html.Td([f"{STATE_GLYPHS[state]} {words(f'people.state.{state}')}", html.Div(failed, className="small muted")]),
                    html.Td(seen),
                    html.Td(i18n.clock(account.password_at, view.tz)),
                ]
            )
        )
    return html.Div(html.Table([html.Thead(head), html.Tbody(rows)], className="table"), className="scroll")


def register(app: dash.Dash, reads: Reads, actions: AuditedActions) -> None:
    """Register the refresh of the page and the actions of its buttons."""
    shown = [Output("pe-problem", "children"), Output("pe-rows", "children"), Output("tk-rows", "children"), Output("pe-seen", "data")]

    @app.callback(
        shown,
        Input("tick", "n_intervals"),
        Input("pe-message", "children"),
        Input("tk-message", "children"),
        Input("view", "data"),
        Input("theme", "data"),
        State("pe-seen", "data"),
    )  # type: ignore[untyped-decorator]
    def refresh(_tick: Any, _message: Any, _token: Any, data: Any, theme: Any, seen: Any) -> list[Any]:
        view = parse(data, theme)
        try:
            known, granted = admin.accounts(reads), admin.tokens(reads)
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return [store_problem(view), *[no_update] * (len(shown) - 1)]
        now = reads.now()
        parts, minute = Parts(seen, view), int(now.timestamp()) // 60
        return [
            None,
            parts.new("accounts", (revision(_plain(known)), minute), lambda: table(known, now, view)),
            parts.new("tokens", (revision(granted), minute), lambda: tokens_table(granted, now, view)),
            parts.kept,
        ]

    @app.callback(
        Output("pe-message", "children"),
        Output("pe-name", "value"),
        *(Input(name, "n_clicks") for name in BUTTONS),
        State("pe-chosen", "value"),
        State("pe-role", "value"),
        State("pe-name", "value"),
        State("pe-new-role", "value"),
        State("view", "data"),
        prevent_initial_call=True,
    )  # type: ignore[untyped-decorator]
    def act(*given: Any) -> tuple[Any, Any]:
        *clicks, chosen, role, name, new_role, data = given
        view, pressed = parse(data), dash.ctx.triggered_id
        if not any(clicks) or pressed not in BUTTONS:
            return no_update, no_update
        try:
            if pressed == "pe-add":
                return _add(actions, str(name or ""), _role(new_role), view), ""
            if not isinstance(chosen, str) or not chosen:
                return error_message(i18n.text("people.choose", view.language)), no_update
            return _do(actions, pressed, chosen, role, view), no_update
        except UserError as error:
            return error_message(str(error)), no_update
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return error_message(i18n.text("store.title", view.language)), no_update
        finally:
            reads.forget("known accounts")

    register_tokens(app, reads, actions)
    audit.register(app, reads)


def _add(actions: AuditedActions, name: str, role: Role, view: View) -> Any:
    password = passwords.one_time()
    account = actions.accounts.make(name, role, password)
    actions.accounts.add(account, actor=actions.actor(), address=actions.address)
    message = i18n.text("people.added", view.language, name=account.name, role=i18n.text(f"role.{role}", view.language))
    return once(message, password, i18n.text("people.once", view.language))


def _do(actions: AuditedActions, pressed: str, name: str, role: Any, view: View) -> Any:
    """Run the action of a button on an account and return a message."""
    people, by = actions.accounts, {"actor": actions.actor(), "address": actions.address}
    if pressed == "pe-password":
        password = passwords.one_time()
        account = people.set_password(name, password, must_change=True, **by)
        return once(i18n.text("people.reset", view.language, name=account.name), password, i18n.text("people.once", view.language))
    values: dict[str, object] = {"name": people.get(name).name}
    if pressed == "pe-role-set":
        account = people.set_role(name, _role(role), **by)
        values["role"] = i18n.text(f"role.{account.role}", view.language)
    elif pressed == "pe-logout":
        values["n"] = people.log_out(name, **by)
    elif pressed == "pe-unlock":
        people.unlock(name, **by)
    else:
        people.set_disabled(name, pressed == "pe-disable", **by)
    return "✓ " + i18n.text(f"people.done.{pressed.removeprefix('pe-')}", view.language, **values)


def _role(value: Any) -> Role:
    """The role in a value from the browser. Raises UserError."""
    for role in ROLES:
        if value == role:
            return role
    raise InvalidInput(f"unknown role; the roles are {', '.join(ROLES)}")


def _plain(known: Sequence[AccountRow]) -> list[object]:
    return [(each.account.name, each.account.public(), each.account.password_at, each[1:]) for each in known]


TOKEN_LIFETIMES = {"30d": timedelta(days=30), "90d": timedelta(days=90), "365d": timedelta(days=365), "ever": None}
ENDED_SHOWN = timedelta(days=90)
"""An expired or revoked token is listed for this long."""
TOKEN_GLYPHS = {"live": "●", "expired": "○", "revoked": "✕"}


def tokens_panel(view: View) -> Any:
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
        data=[{"value": key, "label": words(f"tokens.lasts.{key}")} for key in TOKEN_LIFETIMES],
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


def token_state(token: Token, now: datetime) -> str:
    """ "live", "expired" or "revoked"."""
    return "revoked" if token.revoked_at is not None else "live" if token.is_valid(now) else "expired"


def tokens_table(found: Sequence[Token], now: datetime, view: View) -> Any:
    """The tokens_table of active and recently ended tokens."""

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
        state = token_state(token, now)
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
                    html.Td([f"{TOKEN_GLYPHS[state]} {words(f'tokens.state.{state}')}", html.Bdi(by, className="muted small")]),
                ]
            )
        )
    return html.Div(html.Table([html.Thead(head), html.Tbody(rows)], className="table"), className="scroll")


def register_tokens(app: dash.Dash, reads: Reads, actions: AuditedActions) -> None:
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
                return _make(str(name or ""), scopes, TOKEN_LIFETIMES.get(str(lasts), TOKEN_LIFETIMES["90d"]), view), ""
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
