"""Commands `users`, `tokens` and `audit`: dashboard accounts, API tokens, and the audit log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import cast

import click

from actions.account_service import AccountService
from core.errors import Conflict, InvalidInput, NotFound
from domain.accounts import FREE, ROLES, Role
from domain.passwords import one_time
from domain.tokens import Token
from storage.store import Store
from tocsin.cli.common import ExampleCommand, ExampleGroup, echo, opened_store, person, plain, print_json, results, table_of

NAME = click.argument("name")
NAMES = click.argument("names", nargs=-1, required=True, metavar="NAME...")
WHO = click.option("--who", "actor", metavar="NAME", help="Name of the acting user, for the audit log.  [default: your login name]")


@click.group(
    cls=ExampleGroup,
    examples="""
    tocsin users add 王芳 --role analyst
    tocsin users list
    tocsin users unlock 王芳
    """,
)
def users() -> None:
    """Manage dashboard accounts.

    Viewers can read, analysts can also act on alerts, and admins can do everything. A running dashboard applies changes within 5
    seconds. The embedded store can only be used while `tocsin up` is stopped.
    """


@users.command("list", cls=ExampleCommand, examples="tocsin users list\ntocsin users list --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.pass_context
def list_users(ctx: click.Context, as_json: bool) -> None:
    """List all accounts, including disabled ones."""
    with opened_store(ctx) as (_, store):
        people = _people(store)
        found = [(account, people.failures(account.name), len(store.sessions.of(account.name))) for account in store.accounts.all()]
    if as_json:
        for account, failures, sessions in found:
            row = {"name": account.name, **account.public(), "created_at": account.created_at, "password_at": account.password_at}
            print_json({**row, "failed_logins": failures.count if failures else 0, "sessions": sessions})
        return
    if not found:
        echo("no accounts; create one with `tocsin users add NAME --role admin`")
        return
    table = table_of("name", "role", "state", "password set (UTC)", "sessions")
    for account, failures, sessions in found:
        state = "disabled" if account.disabled else "must change the password" if account.must_change else "active"
        if failures and failures.count >= FREE["account"]:
            state += f", {failures.count} failed logins"
        table.add_row(plain(account.name), account.role, state, f"{account.password_at:%Y-%m-%d %H:%M}", str(sessions))
    results.print(table, markup=False)


@users.command(cls=ExampleCommand, examples="tocsin users add 王芳 --role analyst\ntocsin users add lee --role admin")
@NAME
@click.option("--role", type=click.Choice(ROLES), default="viewer", show_default=True, help="Role of the account.")
@WHO
@click.pass_context
def add(ctx: click.Context, name: str, role: str, actor: str | None) -> None:
    """Create an account and print its initial password.

    The password must be changed at the first login.
    """
    password = one_time()
    with _changed(ctx) as people:
        account = people.make(name, cast("Role", role), password)
        people.add(account, actor=person(actor))
    echo(f"created {account.name} ({account.role}); initial password: {password}")


@users.command(cls=ExampleCommand, examples="tocsin users role 王芳 admin")
@NAME
@click.argument("role", type=click.Choice(ROLES))
@WHO
@click.pass_context
def role(ctx: click.Context, name: str, role: str, actor: str | None) -> None:
    """Change the role of an account."""
    with _changed(ctx) as people:
        account = people.set_role(name, cast("Role", role), actor=person(actor))
    echo(f"{account.name} now has the role {account.role}")


@users.command(cls=ExampleCommand, examples="tocsin users passwd 王芳")
@NAME
@WHO
@click.pass_context
def passwd(ctx: click.Context, name: str, actor: str | None) -> None:
    """Reset the password of an account and end its sessions. The new password must be changed at the next login."""
    password = one_time()
    with _changed(ctx) as people:
        account = people.set_password(name, password, actor=person(actor), must_change=True)
    echo(f"new password of {account.name}: {password}")


@users.command(cls=ExampleCommand, examples="tocsin users disable 王芳 lee\ntocsin users disable 王芳 --hand-over lee")
@NAMES
@click.option("--hand-over", "heir", default="", metavar="NAME", help="Account that receives their API tokens, which else are revoked.")
@WHO
@click.pass_context
def disable(ctx: click.Context, names: Sequence[str], heir: str, actor: str | None) -> None:
    """Disable accounts, end their sessions and revoke their API tokens. No data is deleted.

    Revoked tokens do not work again when the account is enabled.
    """

    def disabled(people: AccountService, name: str) -> str:
        return f"{people.set_disabled(name, True, actor=person(actor), hand_over_to=heir).name} is disabled"

    _for_each(ctx, names, disabled)


@users.command(cls=ExampleCommand, examples="tocsin users enable 王芳")
@NAMES
@WHO
@click.pass_context
def enable(ctx: click.Context, names: Sequence[str], actor: str | None) -> None:
    """Enable disabled accounts."""
    _for_each(ctx, names, lambda people, name: f"{people.set_disabled(name, False, actor=person(actor)).name} is enabled")


@users.command(cls=ExampleCommand, examples="tocsin users unlock 王芳\ntocsin users unlock --address 192.0.2.7")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--address", "addresses", multiple=True, metavar="IP", help="Network address whose failed logins are cleared; repeatable.")
@WHO
@click.pass_context
def unlock(ctx: click.Context, names: Sequence[str], addresses: Sequence[str], actor: str | None) -> None:
    """Clear failed logins of accounts or addresses, so that logins need not wait."""
    if not names and not addresses:
        raise click.UsageError("give a NAME or --address")

    def unlocked(people: AccountService, name: str) -> str:
        people.unlock(name, actor=person(actor))
        return f"{name} is unlocked"

    def address_unlocked(people: AccountService, address: str) -> str:
        people.unlock_address(address, actor=person(actor))
        return f"{address} is unlocked"

    _for_each(ctx, names, unlocked)
    _for_each(ctx, addresses, address_unlocked)


@users.command(cls=ExampleCommand, examples="tocsin users logout 王芳")
@NAMES
@WHO
@click.pass_context
def logout(ctx: click.Context, names: Sequence[str], actor: str | None) -> None:
    """End all sessions of accounts, for example after a laptop has been lost."""
    _for_each(ctx, names, lambda people, name: f"{name}: {people.log_out(name, actor=person(actor))} sessions ended")


def _people(store: Store) -> AccountService:
    return AccountService(store, lambda: datetime.now(UTC))


def _for_each(ctx: click.Context, names: Sequence[str], do: Callable[[AccountService, str], str]) -> None:
    """Call `do` for each account and print its result."""
    with _changed(ctx) as people:
        for name in names:
            echo(do(people, name))


@contextmanager
def _changed(ctx: click.Context) -> Iterator[AccountService]:
    with opened_store(ctx) as (_, store):
        yield _people(store)


JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")


@click.group(
    cls=ExampleGroup,
    examples="tocsin tokens create 风控 --scope read --scope alerts\ntocsin tokens list\ntocsin tokens revoke 3f9c21",
)
def tokens() -> None:
    """Manage API tokens (docs/api.md).

    The embedded store can only be used while `tocsin up` is stopped.
    """


@tokens.command(
    cls=ExampleCommand,
    examples="""
    tocsin tokens create "risk team" --scope read --scope alerts --for 90d
    TOKEN=$(tocsin tokens create 采编 --scope ingest)
    """,
)
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    help="Scope of the token: read, alerts, feedback, ingest, classify or admin; may be repeated.",
)
@click.option("--for", "lasts", metavar="TIME", help="Lifetime of the token, such as 12h or 90d.  [default: until revoked]")
@WHO
@click.pass_context
def create(ctx: click.Context, name: str, scopes: Sequence[str], lasts: str | None, actor: str | None) -> None:
    """Create a token called NAME and print its secret. The secret is not stored."""
    from actions.audited_actions import AuditedActions
    from core.durations import parse_duration
    from domain.tokens import new_token

    now = datetime.now(UTC)
    secret, token = new_token(name, scopes, author=person(actor), now=now, expires_at=now + parse_duration(lasts) if lasts else None)
    with opened_store(ctx) as (_, store):
        AuditedActions(store, lambda: now, lambda: token.author).add_token(token)
    echo(f"token {token.id[:10]} ({', '.join(token.scopes)}); the secret is shown only once:", err=True)
    echo(secret)


@tokens.command("list", cls=ExampleCommand, examples="tocsin tokens list\ntocsin tokens list --all --json")
@click.option("--all", "everything", is_flag=True, help="Also list revoked and expired tokens.")
@JSON
@click.pass_context
def list_tokens(ctx: click.Context, everything: bool, as_json: bool) -> None:
    """List tokens with their scopes and last use, newest first."""
    from api.types import token_out

    now = datetime.now(UTC)
    with opened_store(ctx) as (_, store):
        found = [token for token in store.tokens.all() if everything or token.is_valid(now)]
    if as_json:
        for token in found:
            print_json(token_out(token))
        return
    if not found:
        echo("no tokens; create one with `tocsin tokens create`")
        return
    table = table_of("id", "name", "scopes", "created by", "expires (UTC)", "last used (UTC)", "state")
    for token in found:
        state = f"revoked by {token.revoked_by}" if token.revoked_at else "active" if token.is_valid(now) else "expired"
        table.add_row(token.id[:10], token.name, " ".join(token.scopes), token.author, _time(token.expires_at), _time(token.used_at), state)
    results.print(table, markup=False)


@tokens.command(cls=ExampleCommand, examples="tocsin tokens revoke 3f9c21 --who 王芳")
@click.argument("ident", metavar="ID")
@WHO
@click.pass_context
def revoke(ctx: click.Context, ident: str, actor: str | None) -> None:
    """Revoke the token with this id or id prefix, and those that were made with it. They stop working within seconds."""
    from actions.audited_actions import AuditedActions

    now, name = datetime.now(UTC), person(actor)
    with opened_store(ctx) as (_, store):
        token = _token(store, ident)
        AuditedActions(store, lambda: now, lambda: name).revoke_token(token.id)
    echo(f"token {token.id[:10]} ({token.name}) is revoked")


@tokens.command("hand-over", cls=ExampleCommand, examples="tocsin tokens hand-over 3f9c21 lee --who 王芳")
@click.argument("ident", metavar="ID")
@NAME
@WHO
@click.pass_context
def hand_over(ctx: click.Context, ident: str, name: str, actor: str | None) -> None:
    """Make the token with this id or id prefix, and those made with it, belong to the account NAME."""
    with opened_store(ctx) as (_, store):
        moved = _people(store).hand_over([_token(store, ident)], name, actor=person(actor))
    for token in moved:
        echo(f"token {token.id[:10]} ({token.name}) now belongs to {name}")


def _token(store: Store, ident: str) -> Token:
    """The token with this id or id prefix, which is not revoked. Raises UserError."""
    found = [token for token in store.tokens.all() if token.id.startswith(ident)]
    if len(found) != 1 or not ident:
        many = f"{len(found)} tokens match; give more characters of the id" if found else "no such token"
        raise (InvalidInput if found else NotFound)(f"{ident}: {many}; `tocsin tokens list` shows the ids")
    if found[0].revoked_at is not None:
        raise Conflict(f"token {found[0].id[:10]} was already revoked at {_time(found[0].revoked_at)} UTC by {found[0].revoked_by}")
    return found[0]


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else "never"


@click.group(
    cls=ExampleGroup, examples="tocsin audit list\ntocsin audit list --action login --since 24h\ntocsin audit list --target 王芳 --json"
)
def audit() -> None:
    """Show the audit log.

    The log contains changes with their previous values, logins and failed logins.

    The embedded store can only be used while `tocsin up` is stopped.
    """


@audit.command("list", cls=ExampleCommand, examples="tocsin audit list\ntocsin audit list --actor 王芳 --since 30d --json")
@click.option(
    "--since", default="7d", show_default=True, metavar="TIME", help="Only entries since this time: 24h (ago), or an ISO 8601 time."
)
@click.option("--actor", default="", metavar="NAME", help="Only actions of this user.")
@click.option("--action", default="", metavar="WORDS", help='Only actions that start with this text, such as "login" or "account".')
@click.option("--target", default="", metavar="NAME", help="Only actions on this account, alert or silence.")
@click.option("--limit", type=click.IntRange(1), default=200, show_default=True, help="Maximum number of entries.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.pass_context
def list_entries(ctx: click.Context, since: str, actor: str, action: str, target: str, limit: int, as_json: bool) -> None:
    """List audit entries, newest first."""
    from tocsin.services.alert_service import parse_time

    with opened_store(ctx) as (_, store):
        found = store.audit.latest(limit, since=parse_time(since, datetime.now(UTC)), actor=actor, action=action, target=target)
    if as_json:
        for entry in found:
            print_json(entry)
        return
    if not found:
        echo(f"no audit entries since {since}")
        return
    table = table_of("when (UTC)", "actor", "from", "action", "target", "before", "after")
    for entry in found:
        row = (f"{entry.at:%Y-%m-%d %H:%M:%S}", entry.actor, entry.address, entry.action, entry.target, entry.before, entry.after)
        table.add_row(*map(plain, row))
    results.print(table, markup=False)


COMMANDS = (users, tokens, audit)
