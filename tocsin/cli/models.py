"""Commands about the versions of the model: models, label, refresh."""

from __future__ import annotations

import getpass
import os
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.markup import escape

from actions.audited_actions import AuditedActions
from core.errors import BadRecord, InvalidInput, NotFound
from storage.tables.labels import Label
from tocsin.cli.common import ExampleCommand, ExampleGroup, print_json, progress_printer, results, settings_of, table_of
from tocsin.runtime import wiring


@click.group(cls=ExampleGroup, examples="tocsin models list\ntocsin models promote VERSION\ntocsin models rollback")
def models() -> None:
    """The versions of the model on this installation, and which of them is the champion."""


@models.command("list", cls=ExampleCommand, examples="tocsin models list\ntocsin models list --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--history", is_flag=True, help="What was promoted, kept back or rolled back, and why, instead.")
@click.pass_context
def list_(ctx: click.Context, as_json: bool, history: bool) -> None:
    """The versions, the champion marked; it scores where the setting `model` is "champion"."""
    versions = wiring.make_versions(settings_of(ctx))
    if history:
        events = versions.history()
        if as_json:
            for event in events:
                print_json(event)
            return
        table = table_of("when", "what", "version", "from", "who", "why")
        for event in events:
            table.add_row(f"{event.when:%Y-%m-%d %H:%M}", event.action, event.version, event.origin, escape(event.actor), escape(event.why))
        results.print(table)
        return
    table = table_of("", "version", "model", "made", "parent", "rows", "")
    for entry in versions.entries():
        made = entry.manifest
        if as_json:
            print_json(
                {
                    "version": entry.version,
                    "champion": entry.champion,
                    "model": made.version if made else "",
                    "created": made.created if made else None,
                    "parent": made.parent if made else "",
                    "data": made.data if made else {},
                    "folder": str(entry.folder),
                    "fault": entry.fault,
                }
            )
            continue
        cells = (made.version, f"{made.created:%Y-%m-%d %H:%M}", made.parent, str(sum(made.data.values()))) if made else ("", "", "", "")
        table.add_row("[green]champion[/green]" if entry.champion else "", entry.version, *cells, escape(entry.fault))
    if not as_json:
        results.print(table)
    versions.champion()  # a damaged file is an error, and said last


@models.command(cls=ExampleCommand, examples='tocsin models promote tocsin-20261122-030000 --why "better on filings"')
@click.argument("version")
@click.option("--why", default="by hand", show_default=True, help="For the history.")
@click.option("--who", "actor", default=None, help="Who does it, for the history.  [default: the user's name]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def promote(ctx: click.Context, version: str, why: str, actor: str | None, as_json: bool) -> None:
    """Make VERSION the champion once all its files are checked; running workers take it up within seconds. "shipped" is one."""
    event = wiring.make_versions(settings_of(ctx)).promote(version, now=datetime.now(UTC), why=why, actor=_user(actor))
    if as_json:
        print_json({"champion": version, "from": event.origin if event else version, "changed": event is not None})
    else:
        click.echo(f"the champion is {version}" + (f", it was {event.origin or 'damaged'}" if event else " already"))


@models.command(cls=ExampleCommand, examples='tocsin models rollback --why "calls every recall neutral"')
@click.option("--why", default="by hand", show_default=True, help="For the history.")
@click.option("--who", "actor", default=None, help="Who does it, for the history.  [default: the user's name]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def rollback(ctx: click.Context, why: str, actor: str | None, as_json: bool) -> None:
    """Go back to the champion before this one, past any that is damaged; running workers follow within seconds."""
    event = wiring.make_versions(settings_of(ctx)).rollback(now=datetime.now(UTC), why=why, actor=_user(actor))
    if as_json:
        print_json({"champion": event.version, "from": event.origin, "changed": True})
    else:
        click.echo(f"the champion is {event.version}, it was {event.origin or 'damaged'}")


@click.command(
    cls=ExampleCommand,
    examples="""
    tocsin label 6a0f... --sentiment negative
    tocsin label 6a0f... --sentiment positive --company 600519.SH --author ann
    tocsin label 6a0f... --topics legal,management --risks fraud
    """,
)
@click.argument("article_id")
@click.option("--sentiment", type=click.Choice(["negative", "neutral", "positive"]), help="Of the text, or towards --company.")
@click.option("--company", default="", help="Key of a company that the article names, such as AAPL or 600519.SH.")
@click.option("--topics", help="All that apply, apart by commas.")
@click.option("--risks", help='All risk events that apply, apart by commas; "none" for none.')
@click.option("--author", default=None, help="Who says so.  [default: the user's name]")
@click.option("--json", "as_json", is_flag=True, help="Print the stored labels as one JSON list.")
@click.pass_context
def label(
    ctx: click.Context,
    article_id: str,
    sentiment: str | None,
    company: str,
    topics: str | None,
    risks: str | None,
    author: str | None,
    as_json: bool,
) -> None:
    """Say what an article's labels should be: `tocsin refresh` learns from it. The last word on an article counts."""
    settings = settings_of(ctx)
    now, actor = datetime.now(UTC), author or getpass.getuser()
    given = [
        ("sentiment", company, (sentiment,) if sentiment else None),
        ("topic", "", _names(topics)),
        ("risk", "", () if risks == "none" else _names(risks)),
    ]
    if not any(names is not None for _, _, names in given):
        raise InvalidInput("nothing to note: give --sentiment, --topics or --risks")
    if company and not sentiment:
        raise InvalidInput("--company goes with --sentiment: topics and risk events are the text's")
    with closing(wiring.make_store(settings)) as store:
        texts = store.labels.texts([article_id])
        if article_id not in texts:
            raise NotFound(f"there is no article {article_id} in the store; the dashboard and webhooks give the id of each")
        known = texts[article_id].companies
        if company and company not in known:
            raise NotFound(f"article {article_id} does not name {company}; it names {', '.join(sorted(known)) or 'no company'}")
        model = store.articles.by_id([article_id])[0].model
        labels = [
            Label(id=article_id, task=task, company=about, labels=names, author=actor, model=model, labelled_at=now)  # type: ignore[arg-type]
            for task, about, names in given
            if names is not None
        ]
        try:
            AuditedActions(store, lambda: now, lambda: actor).label(labels)
        except BadRecord as error:
            raise InvalidInput(str(error)) from error
    if as_json:
        print_json(labels)
        return
    for each in labels:
        click.echo(f"noted: {each.task}{' towards ' + each.company if each.company else ''} is {', '.join(each.labels) or 'none'}")


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


@click.command(
    cls=ExampleCommand,
    examples="""
    tocsin refresh
    tocsin refresh --data ~/data --tests ~/frozen --min-labels 100 --json
    tocsin refresh --force --limit-s 600
    """,
)
@click.option(
    "--data", type=click.Path(exists=True, file_okay=False), help="Labelled sets to rehearse.  [default: the setting refresh_data]"
)
@click.option("--tests", type=click.Path(exists=True, file_okay=False), help="Frozen tests.  [default: the setting refresh_tests]")
@click.option(
    "--rehearse", type=click.FloatRange(0, 0.99), default=0.8, show_default=True, help="Share of old rows among those trained on."
)
@click.option("--min-labels", type=click.IntRange(1), default=50, show_default=True, help="New labels that a refresh needs.")
@click.option("--force", is_flag=True, help="Train on fewer new labels too. The gate stays: `tocsin models promote` is the way around it.")
@click.option("--limit-s", type=click.FloatRange(1), help="Seconds after which training ends.")
@click.option(
    "--snapshot", type=click.Path(exists=True, dir_okay=False), help="Read labels and articles from this file, not from the store."
)
@click.option("--who", "actor", default=None, help="Who starts it, for those who look on.  [default: the user's name]")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")
@click.pass_context
def refresh(
    ctx: click.Context,
    data: str | None,
    tests: str | None,
    rehearse: float,
    min_labels: int,
    force: bool,
    limit_s: float | None,
    snapshot: str | None,
    actor: str | None,
    as_json: bool,
) -> None:
    """Learn from people's labels: train a challenger from the champion, measure both on frozen tests, promote it if it is better.

    Ends with 0 whether it was promoted or kept back; `tocsin models list --history` tells why.
    """
    from models.training.refresh import RefreshPlan, read_snapshot, take_snapshot
    from models.training.refresh import refresh as run
    from models.training.refresh_status import describe_outcome

    settings = settings_of(ctx)
    os.nice(10)  # training takes every core: who scores or looks goes first
    if snapshot:
        seen = read_snapshot(Path(snapshot))
    else:
        with closing(wiring.make_store(settings)) as store:
            seen = take_snapshot(store.labels)
    plan = RefreshPlan(
        data=_folder(data or settings.refresh_data, "refresh_data"),
        tests=_folder(tests or settings.refresh_tests, "refresh_tests"),
        rehearse=rehearse,
        min_labels=min_labels,
        force=force,
        margin=settings.gate_margin,
        limit_s=limit_s,
    )
    notify = progress_printer()
    outcome = run(wiring.make_versions(settings), seen, plan, now=datetime.now(UTC), report=notify, started_by=_user(actor))
    if as_json:
        print_json(outcome)
        return
    for line in describe_outcome(outcome):
        click.echo(line)


def _user(actor: str | None) -> str:
    """Who does it, as the option says, else the name on this computer; "" in a container where nobody has one."""
    if actor is not None:
        return actor
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def _folder(text: str, name: str) -> Path | None:
    path = Path(text).expanduser() if text else None
    if path is not None and not path.is_dir():
        raise NotFound(f"{name} {text}: there is no such folder")
    return path


COMMANDS = (models, label, refresh)
