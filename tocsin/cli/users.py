"""Command `users`: who may open the dashboard, and what each may do there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import cast

import click

from actions.account_service import People
from domain.accounts import FREE, ROLES, Role
from domain.passwords import one_time
from storage.store import Store
from tocsin.cli.common import ExampleCommand, ExampleGroup, opened_store, person, plain, print_json, results, table_of

NAME = click.argument("name")
NAMES = click.argument("names", nargs=-1, required=True, metavar="NAME...")
WHO = click.option("--who", metavar="NAME", help="Who does this, for the audit log. Default: your name on this computer.")


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
def list_(ctx: click.Context, as_json: bool) -> None:
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
def add(ctx: click.Context, name: str, role: str, who: str | None) -> None:
    """Make an account, and print its first password, which has to be changed at the first login."""
    password = one_time()
    with _changed(ctx) as people:
        account = people.make(name, cast("Role", role), password)
        people.add(account, who=person(who))
    click.echo(f"{account.name} ({account.role}) logs in the first time with: {password}")


@users.command(cls=ExampleCommand, examples="tocsin users role 王芳 admin")
@NAME
@click.argument("role", type=click.Choice(ROLES))
@WHO
@click.pass_context
def role(ctx: click.Context, name: str, role: str, who: str | None) -> None:
    """Give an account another role."""
    with _changed(ctx) as people:
        account = people.set_role(name, cast("Role", role), who=person(who))
    click.echo(f"{account.name} is {account.role} now")


@users.command(cls=ExampleCommand, examples="tocsin users passwd 王芳")
@NAME
@WHO
@click.pass_context
def passwd(ctx: click.Context, name: str, who: str | None) -> None:
    """Print a new password for an account, which has to be changed at the next login; its sessions end."""
    password = one_time()
    with _changed(ctx) as people:
        account = people.set_password(name, password, who=person(who), must_change=True)
    click.echo(f"{account.name} logs in the next time with: {password}")


@users.command(cls=ExampleCommand, examples="tocsin users disable 王芳 lee")
@NAMES
@WHO
@click.pass_context
def disable(ctx: click.Context, names: Sequence[str], who: str | None) -> None:
    """Shut accounts out, and end their sessions. Nothing of them is deleted."""
    _for_each(ctx, names, lambda people, name: f"{people.set_disabled(name, True, who=person(who)).name} is disabled")


@users.command(cls=ExampleCommand, examples="tocsin users enable 王芳")
@NAMES
@WHO
@click.pass_context
def enable(ctx: click.Context, names: Sequence[str], who: str | None) -> None:
    """Let accounts in again."""
    _for_each(ctx, names, lambda people, name: f"{people.set_disabled(name, False, who=person(who)).name} is enabled")


@users.command(cls=ExampleCommand, examples="tocsin users unlock 王芳")
@NAMES
@WHO
@click.pass_context
def unlock(ctx: click.Context, names: Sequence[str], who: str | None) -> None:
    """Forget the failed logins of accounts, so that they need not wait."""

    def unlocked(people: People, name: str) -> str:
        people.unlock(name, who=person(who))
        return f"{name} may try again"

    _for_each(ctx, names, unlocked)


@users.command(cls=ExampleCommand, examples="tocsin users logout 王芳")
@NAMES
@WHO
@click.pass_context
def logout(ctx: click.Context, names: Sequence[str], who: str | None) -> None:
    """End all sessions of accounts: a laptop was lost, or somebody forgot to log out."""
    _for_each(ctx, names, lambda people, name: f"{name}: {people.log_out(name, who=person(who))} sessions ended")


def _people(store: Store) -> People:
    return People(store, lambda: datetime.now(UTC))


def _for_each(ctx: click.Context, names: Sequence[str], do: Callable[[People, str], str]) -> None:
    """Do it to each of these accounts in turn, and print what it says."""
    with _changed(ctx) as people:
        for name in names:
            click.echo(do(people, name))


@contextmanager
def _changed(ctx: click.Context) -> Iterator[People]:
    with opened_store(ctx) as (_, store):
        yield _people(store)


COMMANDS = (users,)
