"""Commands `migrate`, `doctor` and `settings`."""

from __future__ import annotations

import sys

import click
import msgspec

from core.log import mask, webhook_address
from core.settings import Settings, Webhook, rows
from tocsin import wiring
from tocsin.cli.common import ExampleCommand, console, echo, print_json, results, settings_of, table_of


@click.command(
    cls=ExampleCommand, examples="tocsin migrate\nTOCSIN_STORE=clickhouse://default:@localhost:9000/tocsin tocsin migrate --check"
)
@click.option("--check", is_flag=True, help="Only list missing migrations. Exits with status 1 if there are any.")
@click.pass_context
def migrate(ctx: click.Context, check: bool) -> None:
    """Apply missing migrations and create missing Kafka topics. Running it again changes nothing."""
    settings = settings_of(ctx)
    store = wiring.make_store(settings, migrate=False)
    try:
        names = store.pending() if check else store.migrate()
    finally:
        store.close()
    for name in names:
        echo(f"{'missing' if check else 'applied'} {name}")
    if not names:
        echo("the tables are up to date")
    if settings.broker != "embedded" and not check:
        from ingest.kafka.client import ensure_topics

        ensure_topics(settings.broker, wiring.names(settings), partitions=settings.partitions, replication=settings.replication)
        echo(f"topics exist: {', '.join(wiring.names(settings))}")
    if check and names:
        sys.exit(1)


@click.command(cls=ExampleCommand, examples="tocsin doctor\ntocsin --config tocsin.toml doctor --json")
@click.option("--json", "as_json", is_flag=True, help="Print the results as one JSON list.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check this machine and the settings, and show how to fix problems. Exits with status 1 if there are any problems."""
    from tocsin.runtime.doctor import Finding, examine

    settings = settings_of(ctx)
    findings: list[Finding] = []
    table = table_of("", "check", "result", "fix")
    marks = {"ok": "[green]✓[/green]", "note": "[yellow]•[/yellow]", "wrong": "[red]✗[/red]"}
    with console.status("checking…"):
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
@click.option("--json", "as_json", is_flag=True, help="Print the current values, with secrets masked, as one JSON object.")
@click.pass_context
def settings(ctx: click.Context, as_json: bool) -> None:
    """List all settings with their defaults and descriptions."""
    if as_json:
        echo(mask(msgspec.json.encode(_without_secrets(settings_of(ctx))).decode()))
        return
    for title, kind in (
        ("Settings (in the TOML file, or as the environment variable TOCSIN_NAME)", None),
        ("Fields of a [[webhooks]] table", Webhook),
    ):
        echo(f"{title}:")
        for row in rows(kind) if kind else rows():
            echo(f"  {row.name} = {row.default or '(required)'}\n      {row.help}")


def _without_secrets(settings: Settings) -> Settings:
    """Mask secrets of webhooks and their URLs but for the host, which no pattern can recognize."""
    hidden = dict.fromkeys(("secret", "previous_secret"), "***")
    webhooks = [
        msgspec.structs.replace(hook, url=webhook_address(hook.url), **{name: hidden[name] for name in hidden if getattr(hook, name)})
        for hook in settings.webhooks
    ]
    return msgspec.structs.replace(settings, webhooks=tuple(webhooks))


COMMANDS = (migrate, doctor, settings)
