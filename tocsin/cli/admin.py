"""Commands that look after an installation: migrate, doctor, settings."""

from __future__ import annotations

import sys

import click
import msgspec

from core.settings import Settings, Webhook, rows
from tocsin.cli.common import ExampleCommand, console, print_json, results, settings_of, table_of
from tocsin.runtime import wiring


@click.command(
    cls=ExampleCommand, examples="tocsin migrate\nTOCSIN_STORE=clickhouse://default:@localhost:9000/tocsin tocsin migrate --check"
)
@click.option("--check", is_flag=True, help="Only say what is missing; exit 1 if anything is.")
@click.pass_context
def migrate(ctx: click.Context, check: bool) -> None:
    """Bring the store's tables, and the topics of a Kafka, up to date. Running it twice changes nothing."""
    settings = settings_of(ctx)
    store = wiring.make_store(settings, migrate=False)
    try:
        names = store.pending() if check else store.migrate()
    finally:
        store.close()
    for name in names:
        click.echo(f"{'missing' if check else 'applied'} {name}")
    if not names:
        click.echo("tables are up to date")
    if settings.broker != "embedded" and not check:
        from ingest.kafka.client import ensure_topics

        ensure_topics(settings.broker, wiring.names(settings), partitions=settings.partitions, replication=settings.replication)
        click.echo(f"topics are there: {', '.join(wiring.names(settings))}")
    if check and names:
        sys.exit(1)


@click.command(cls=ExampleCommand, examples="tocsin doctor\ntocsin --config tocsin.toml doctor --json")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON list.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Say what is missing or wrong on this machine and how to mend it; exit 1 when something is wrong."""
    from tocsin.runtime.doctor import Finding, examine

    settings = settings_of(ctx)
    findings: list[Finding] = []
    table = table_of("", "what", "found", "to mend it")
    marks = {"ok": "[green]✓[/green]", "note": "[yellow]•[/yellow]", "wrong": "[red]✗[/red]"}
    with console.status("looking…"):
        for finding in examine(settings):
            findings.append(finding)
            table.add_row(marks[finding.state], finding.what, finding.detail, finding.fix)
    if as_json:
        print_json(findings)
    else:
        results.print(table)
    if any(finding.state == "wrong" for finding in findings):
        sys.exit(1)


@click.command(cls=ExampleCommand, examples="tocsin settings\ntocsin settings --json")
@click.option("--json", "as_json", is_flag=True, help="The values in force, secrets masked, as one JSON object.")
@click.pass_context
def settings(ctx: click.Context, as_json: bool) -> None:
    """List every setting with its default and what it does."""
    if as_json:
        from core.log import mask

        click.echo(mask(msgspec.json.encode(_without_secrets(settings_of(ctx))).decode()))
        return
    for title, kind in (("Settings (TOML file, or TOCSIN_ and the name in capitals)", None), ("Each table of [[webhooks]]", Webhook)):
        click.echo(f"{title}:")
        for row in rows(kind) if kind else rows():
            click.echo(f"  {row.name} = {row.default or '(required)'}\n      {row.help}")


def _without_secrets(settings: Settings) -> Settings:
    """A chat's secret may look like anything, so no pattern finds it."""
    hidden = dict.fromkeys(("secret", "previous_secret"), "***")
    webhooks = [
        msgspec.structs.replace(hook, **{name: hidden[name] for name in hidden if getattr(hook, name)}) for hook in settings.webhooks
    ]
    return msgspec.structs.replace(settings, webhooks=tuple(webhooks))


COMMANDS = (migrate, doctor, settings)
