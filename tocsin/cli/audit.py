"""Command `audit`: who changed what, and who came in."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from tocsin.cli.common import ExampleCommand, ExampleGroup, opened_store, plain, print_json, results, table_of


@click.group(
    cls=ExampleGroup, examples="tocsin audit list\ntocsin audit list --what login --since 24h\ntocsin audit list --about 王芳 --json"
)
def audit() -> None:
    """Who changed what, when, from where, and what it was before; logins and refused ones too.

    With the embedded store: while `tocsin up` is stopped.
    """


@audit.command("list", cls=ExampleCommand, examples="tocsin audit list\ntocsin audit list --who 王芳 --since 30d --json")
@click.option("--since", default="7d", show_default=True, metavar="TIME", help='Done since: "24h" (ago), or a time as ISO 8601 has it.')
@click.option("--who", default="", metavar="NAME", help="Only what this person did.")
@click.option("--what", default="", metavar="WORDS", help='Only what begins so, such as "login", "login failed" or "account".')
@click.option("--about", default="", metavar="NAME", help="Only what was done to this account, alert or silence.")
@click.option("--limit", type=click.IntRange(1), default=200, show_default=True, help="How many, the newest first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def list_(ctx: click.Context, since: str, who: str, what: str, about: str, limit: int, as_json: bool) -> None:
    """What was done, the newest first."""
    from tocsin.services.alert_service import moment

    with opened_store(ctx) as (_, store):
        found = store.audit.latest(limit, since=moment(since, datetime.now(UTC)), who=who, what=what, about=about)
    if as_json:
        for entry in found:
            print_json(entry)
        return
    if not found:
        click.echo(f"nothing was noted since {since}")
        return
    table = table_of("when (UTC)", "who", "from", "what", "about", "before", "after")
    for entry in found:
        row = (f"{entry.at:%Y-%m-%d %H:%M:%S}", entry.who, entry.address, entry.what, entry.about, entry.before, entry.after)
        table.add_row(*map(plain, row))
    results.print(table, markup=False)


COMMANDS = (audit,)
