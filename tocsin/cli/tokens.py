"""Command `tokens`: who may use the API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from core.errors import SettingsError
from tocsin.cli.common import ExampleCommand, ExampleGroup, opened_store, person, print_json, results, table_of

WHO = click.option("--who", metavar="NAME", help="Who you are.  [default: your login]")
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
def create(ctx: click.Context, name: str, scopes: Sequence[str], lasts: str | None, who: str | None) -> None:
    """Make a token that signs as NAME, and print its secret: once, it is kept nowhere."""
    from actions.audited_actions import Deeds
    from core.durations import span
    from domain.tokens import new_token

    now = datetime.now(UTC)
    secret, token = new_token(name, scopes, author=person(who), now=now, expires_at=now + span(lasts) if lasts else None)
    with opened_store(ctx) as (_, store):
        Deeds(store, lambda: now, lambda: token.author).grant(token)
    click.echo(f"token {token.id[:10]} ({', '.join(token.scopes)}); its secret is not shown again:", err=True)
    click.echo(secret)


@tokens.command("list", cls=ExampleCommand, examples="tocsin tokens list\ntocsin tokens list --all --json")
@click.option("--all", "everything", is_flag=True, help="Those that open nothing any more too.")
@JSON
@click.pass_context
def list_(ctx: click.Context, everything: bool, as_json: bool) -> None:
    """Who may do what, and when they last did; the newest first."""
    from api.serializers import token_out

    now = datetime.now(UTC)
    with opened_store(ctx) as (_, store):
        found = [token for token in store.tokens.all() if everything or token.alive(now)]
    if as_json:
        for token in found:
            print_json(token_out(token))
        return
    if not found:
        click.echo("there are no tokens; `tocsin tokens create` makes one")
        return
    table = table_of("id", "name", "scopes", "made by", "expires (UTC)", "last used (UTC)", "state")
    for token in found:
        state = f"revoked by {token.revoked_by}" if token.revoked_at else "live" if token.alive(now) else "expired"
        table.add_row(token.id[:10], token.name, " ".join(token.scopes), token.author, _time(token.expires_at), _time(token.used_at), state)
    results.print(table, markup=False)


@tokens.command(cls=ExampleCommand, examples="tocsin tokens revoke 3f9c21 --who 王芳")
@click.argument("ident", metavar="ID")
@WHO
@click.pass_context
def revoke(ctx: click.Context, ident: str, who: str | None) -> None:
    """Let the token whose id begins so open nothing any more: within seconds, everywhere."""
    from actions.audited_actions import Deeds

    now, name = datetime.now(UTC), person(who)
    with opened_store(ctx) as (_, store):
        found = [token for token in store.tokens.all() if token.id.startswith(ident)]
        if len(found) != 1 or not ident:
            many = f"{len(found)} tokens begin so; give more of the id" if found else "there is no such token"
            raise SettingsError(f"{ident}: {many}; `tocsin tokens list` names them")
        if found[0].revoked_at is not None:
            raise SettingsError(
                f"token {found[0].id[:10]} was revoked at {_time(found[0].revoked_at)} UTC already, by {found[0].revoked_by}"
            )
        Deeds(store, lambda: now, lambda: name).revoke(found[0].id)
    click.echo(f"token {found[0].id[:10]} ({found[0].name}) opens nothing any more")


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else "never"


COMMANDS = (tokens,)
