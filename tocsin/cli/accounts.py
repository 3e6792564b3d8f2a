"""Command `users`: who may open the dashboard, and what each may do there."""

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
from storage.store import Store
from tocsin.cli.common import ExampleCommand, ExampleGroup, opened_store, person, plain, print_json, results, table_of

NAME = click.argument("name")
NAMES = click.argument("names", nargs=-1, required=True, metavar="NAME...")
WHO = click.option("--who", "actor", metavar="NAME", help="Who does this, for the audit log. Default: your name on this computer.")


@click.group(
    cls=ExampleGroup,
    examples="""
    tocsin users add 王芳 --role analyst
    tocsin users list
    tocsin users unlock 王芳
    """,
)
def users() -> None:
    """Who may open the dashboard: viewers see, analysts act on alerts too, admins look after the rest.

    A change is noticed by a running dashboard within 5 seconds. With the embedded store: while `tocsin up` is stopped.
    """


@users.command("list", cls=ExampleCommand, examples="tocsin users list\ntocsin users list --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def list_users(ctx: click.Context, as_json: bool) -> None:
    """Every account, disabled ones too."""
    with opened_store(ctx) as (_, store):
        people = _people(store)
        found = [(account, people.failures(account.name), len(store.sessions.of(account.name))) for account in store.accounts.all()]
    if as_json:
        for account, failures, sessions in found:
            row = {"name": account.name, **account.public(), "created_at": account.created_at, "password_at": account.password_at}
            print_json({**row, "failed_logins": failures.count if failures else 0, "sessions": sessions})
        return
    if not found:
        click.echo("nobody has an account; `tocsin users add NAME --role admin` makes one")
        return
    table = table_of("name", "role", "state", "password of (UTC)", "sessions")
    for account, failures, sessions in found:
        state = "disabled" if account.disabled else "must change the password" if account.must_change else "active"
        if failures and failures.count >= FREE["account"]:
            state += f", {failures.count} failed logins"
        table.add_row(plain(account.name), account.role, state, f"{account.password_at:%Y-%m-%d %H:%M}", str(sessions))
    results.print(table, markup=False)


@users.command(cls=ExampleCommand, examples="tocsin users add 王芳 --role analyst\ntocsin users add lee --role admin")
@NAME
@click.option("--role", type=click.Choice(ROLES), default="viewer", show_default=True, help="What the account may do.")
@WHO
@click.pass_context
def add(ctx: click.Context, name: str, role: str, actor: str | None) -> None:
    """Make an account, and print its first password, which has to be changed at the first login."""
    password = one_time()
    with _changed(ctx) as people:
        account = people.make(name, cast("Role", role), password)
        people.add(account, actor=person(actor))
    click.echo(f"{account.name} ({account.role}) logs in the first time with: {password}")


@users.command(cls=ExampleCommand, examples="tocsin users role 王芳 admin")
@NAME
@click.argument("role", type=click.Choice(ROLES))
@WHO
@click.pass_context
def role(ctx: click.Context, name: str, role: str, actor: str | None) -> None:
    """Give an account another role."""
    with _changed(ctx) as people:
        account = people.set_role(name, cast("Role", role), actor=person(actor))
    click.echo(f"{account.name} is {account.role} now")


@users.command(cls=ExampleCommand, examples="tocsin users passwd 王芳")
@NAME
@WHO
@click.pass_context
def passwd(ctx: click.Context, name: str, actor: str | None) -> None:
    """Print a new password for an account, which has to be changed at the next login; its sessions end."""
    password = one_time()
    with _changed(ctx) as people:
        account = people.set_password(name, password, actor=person(actor), must_change=True)
    click.echo(f"{account.name} logs in the next time with: {password}")


@users.command(cls=ExampleCommand, examples="tocsin users disable 王芳 lee")
@NAMES
@WHO
@click.pass_context
def disable(ctx: click.Context, names: Sequence[str], actor: str | None) -> None:
    """Shut accounts out, and end their sessions. Nothing of them is deleted."""
    _for_each(ctx, names, lambda people, name: f"{people.set_disabled(name, True, actor=person(actor)).name} is disabled")


@users.command(cls=ExampleCommand, examples="tocsin users enable 王芳")
@NAMES
@WHO
@click.pass_context
def enable(ctx: click.Context, names: Sequence[str], actor: str | None) -> None:
    """Let accounts in again."""
    _for_each(ctx, names, lambda people, name: f"{people.set_disabled(name, False, actor=person(actor)).name} is enabled")


@users.command(cls=ExampleCommand, examples="tocsin users unlock 王芳")
@NAMES
@WHO
@click.pass_context
def unlock(ctx: click.Context, names: Sequence[str], actor: str | None) -> None:
    """Forget the failed logins of accounts, so that they need not wait."""

    def unlocked(people: AccountService, name: str) -> str:
        people.unlock(name, actor=person(actor))
        return f"{name} may try again"

    _for_each(ctx, names, unlocked)


@users.command(cls=ExampleCommand, examples="tocsin users logout 王芳")
@NAMES
@WHO
@click.pass_context
def logout(ctx: click.Context, names: Sequence[str], actor: str | None) -> None:
    """End all sessions of accounts: a laptop was lost, or somebody forgot to log out."""
    _for_each(ctx, names, lambda people, name: f"{name}: {people.log_out(name, actor=person(actor))} sessions ended")


def _people(store: Store) -> AccountService:
    return AccountService(store, lambda: datetime.now(UTC))


def _for_each(ctx: click.Context, names: Sequence[str], do: Callable[[AccountService, str], str]) -> None:
    """Do it to each of these accounts in turn, and print what it says."""
    with _changed(ctx) as people:
        for name in names:
            click.echo(do(people, name))


@contextmanager
def _changed(ctx: click.Context) -> Iterator[AccountService]:
    with opened_store(ctx) as (_, store):
        yield _people(store)


JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


@click.group(
    cls=ExampleGroup,
    examples="tocsin tokens create 风控 --scope read --scope alerts\ntocsin tokens list\ntocsin tokens revoke 3f9c21",
)
def tokens() -> None:
    """Tokens of the API (docs/api.md): what a program may do. With the embedded store, while nothing else runs."""


@tokens.command(
    cls=ExampleCommand,
    examples="""
    tocsin tokens create "risk desk" --scope read --scope alerts --for 90d
    TOKEN=$(tocsin tokens create 采编 --scope ingest)
    """,
)
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, help="read, alerts, feedback, ingest, classify or admin; repeatable.")
@click.option("--for", "lasts", metavar="TIME", help="How long it opens anything, such as 12h or 90d.  [default: until it is revoked]")
@WHO
@click.pass_context
def create(ctx: click.Context, name: str, scopes: Sequence[str], lasts: str | None, actor: str | None) -> None:
    """Make a token that signs as NAME, and print its secret: once, it is kept nowhere."""
    from actions.audited_actions import AuditedActions
    from core.durations import span
    from domain.tokens import new_token

    now = datetime.now(UTC)
    secret, token = new_token(name, scopes, author=person(actor), now=now, expires_at=now + span(lasts) if lasts else None)
    with opened_store(ctx) as (_, store):
        AuditedActions(store, lambda: now, lambda: token.author).add_token(token)
    click.echo(f"token {token.id[:10]} ({', '.join(token.scopes)}); its secret is not shown again:", err=True)
    click.echo(secret)


@tokens.command("list", cls=ExampleCommand, examples="tocsin tokens list\ntocsin tokens list --all --json")
@click.option("--all", "everything", is_flag=True, help="Those that open nothing any more too.")
@JSON
@click.pass_context
def list_tokens(ctx: click.Context, everything: bool, as_json: bool) -> None:
    """Who may do what, and when they last did; the newest first."""
    from api.types import token_out

    now = datetime.now(UTC)
    with opened_store(ctx) as (_, store):
        found = [token for token in store.tokens.all() if everything or token.is_valid(now)]
    if as_json:
        for token in found:
            print_json(token_out(token))
        return
    if not found:
        click.echo("there are no tokens; `tocsin tokens create` makes one")
        return
    table = table_of("id", "name", "scopes", "made by", "expires (UTC)", "last used (UTC)", "state")
    for token in found:
        state = f"revoked by {token.revoked_by}" if token.revoked_at else "live" if token.is_valid(now) else "expired"
        table.add_row(token.id[:10], token.name, " ".join(token.scopes), token.author, _time(token.expires_at), _time(token.used_at), state)
    results.print(table, markup=False)


@tokens.command(cls=ExampleCommand, examples="tocsin tokens revoke 3f9c21 --who 王芳")
@click.argument("ident", metavar="ID")
@WHO
@click.pass_context
def revoke(ctx: click.Context, ident: str, actor: str | None) -> None:
    """Let the token whose id begins so open nothing any more: within seconds, everywhere."""
    from actions.audited_actions import AuditedActions

    now, name = datetime.now(UTC), person(actor)
    with opened_store(ctx) as (_, store):
        found = [token for token in store.tokens.all() if token.id.startswith(ident)]
        if len(found) != 1 or not ident:
            many = f"{len(found)} tokens begin so; give more of the id" if found else "there is no such token"
            raise (InvalidInput if found else NotFound)(f"{ident}: {many}; `tocsin tokens list` names them")
        if found[0].revoked_at is not None:
            raise Conflict(f"token {found[0].id[:10]} was revoked at {_time(found[0].revoked_at)} UTC already, by {found[0].revoked_by}")
        AuditedActions(store, lambda: now, lambda: name).revoke_token(found[0].id)
    click.echo(f"token {found[0].id[:10]} ({found[0].name}) opens nothing any more")


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else "never"


@click.group(
    cls=ExampleGroup, examples="tocsin audit list\ntocsin audit list --what login --since 24h\ntocsin audit list --about 王芳 --json"
)
def audit() -> None:
    """Who changed what, when, from where, and what it was before; logins and refused ones too.

    With the embedded store: while `tocsin up` is stopped.
    """


@audit.command("list", cls=ExampleCommand, examples="tocsin audit list\ntocsin audit list --who 王芳 --since 30d --json")
@click.option("--since", default="7d", show_default=True, metavar="TIME", help='Done since: "24h" (ago), or a time as ISO 8601 has it.')
@click.option("--who", "actor", default="", metavar="NAME", help="Only what this person did.")
@click.option("--what", default="", metavar="WORDS", help='Only what begins so, such as "login", "login failed" or "account".')
@click.option("--about", default="", metavar="NAME", help="Only what was done to this account, alert or silence.")
@click.option("--limit", type=click.IntRange(1), default=200, show_default=True, help="How many, the newest first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def list_entries(ctx: click.Context, since: str, actor: str, what: str, about: str, limit: int, as_json: bool) -> None:
    """What was done, the newest first."""
    from tocsin.services.alert_service import parse_time

    with opened_store(ctx) as (_, store):
        found = store.audit.latest(limit, since=parse_time(since, datetime.now(UTC)), actor=actor, action=what, target=about)
    if as_json:
        for entry in found:
            print_json(entry)
        return
    if not found:
        click.echo(f"nothing was noted since {since}")
        return
    table = table_of("when (UTC)", "who", "from", "what", "about", "before", "after")
    for entry in found:
        row = (f"{entry.at:%Y-%m-%d %H:%M:%S}", entry.actor, entry.address, entry.action, entry.target, entry.before, entry.after)
        table.add_row(*map(plain, row))
    results.print(table, markup=False)


COMMANDS = (users, tokens, audit)
