"""Commands `models`, `label` and `refresh`."""

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
from tocsin import wiring
from tocsin.cli.common import ExampleCommand, ExampleGroup, echo, print_json, progress_printer, results, settings_of, table_of


@click.group(cls=ExampleGroup, examples="tocsin models list\ntocsin models promote VERSION\ntocsin models rollback")
def models() -> None:
    """Manage the model versions of this installation."""


@models.command("list", cls=ExampleCommand, examples="tocsin models list\ntocsin models list --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.option("--history", is_flag=True, help="Show promotions, rejections and rollbacks with their reasons instead of the versions.")
@click.pass_context
def list_(ctx: click.Context, as_json: bool, history: bool) -> None:
    """List the model versions. The champion is used if the setting `model` is "champion"."""
    versions = wiring.make_versions(settings_of(ctx))
    if history:
        events = versions.history()
        if as_json:
            for event in events:
                print_json(event)
            return
        table = table_of("when", "event", "version", "from", "by", "reason")
        for event in events:
            table.add_row(f"{event.when:%Y-%m-%d %H:%M}", event.action, event.version, event.origin, escape(event.actor), escape(event.why))
        results.print(table)
        return
    table = table_of("", "version", "model", "created", "parent", "rows", "")
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
    versions.champion()  # a damaged file is reported last


@models.command(cls=ExampleCommand, examples='tocsin models promote tocsin-20261122-030000 --why "better on filings"')
@click.argument("version")
@click.option("--why", default="by hand", show_default=True, help="Reason, which is saved in the history.")
@click.option("--who", "actor", default=None, help="Name of the acting user, for the history.  [default: your login name]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def promote(ctx: click.Context, version: str, why: str, actor: str | None, as_json: bool) -> None:
    """Verify the files of VERSION and make it the champion; workers load it within seconds. "shipped" is the included model."""
    event = wiring.make_versions(settings_of(ctx)).promote(version, now=datetime.now(UTC), why=why, actor=_user(actor))
    if as_json:
        print_json({"champion": version, "from": event.origin if event else version, "changed": event is not None})
    else:
        echo(f"{version} is {'now' if event else 'already'} the champion" + (f"; before: {event.origin or 'damaged'}" if event else ""))


@models.command(cls=ExampleCommand, examples='tocsin models rollback --why "classifies every recall as neutral"')
@click.option("--why", default="by hand", show_default=True, help="Reason, which is saved in the history.")
@click.option("--who", "actor", default=None, help="Name of the acting user, for the history.  [default: your login name]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def rollback(ctx: click.Context, why: str, actor: str | None, as_json: bool) -> None:
    """Return to the latest earlier champion that is not damaged. Workers load it within seconds."""
    event = wiring.make_versions(settings_of(ctx)).rollback(now=datetime.now(UTC), why=why, actor=_user(actor))
    if as_json:
        print_json({"champion": event.version, "from": event.origin, "changed": True})
    else:
        echo(f"{event.version} is now the champion; the previous champion was {event.origin or 'damaged'}")


@click.command(
    cls=ExampleCommand,
    examples="""
    tocsin label 6a0f... --sentiment negative
    tocsin label 6a0f... --sentiment positive --company 600519.SH --author ann
    tocsin label 6a0f... --topics legal,management --risks fraud
    """,
)
@click.argument("article_id")
@click.option("--sentiment", type=click.Choice(["negative", "neutral", "positive"]), help="Sentiment of the text, or towards --company.")
@click.option("--company", default="", help="Company named in the article, such as AAPL or 600519.SH.")
@click.option("--topics", help="All topics that apply, separated by commas.")
@click.option("--risks", help='All risk events that apply, separated by commas; "none" for none.')
@click.option("--author", default=None, help="Author of the labels.  [default: your login name]")
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
    """Correct the labels of an article.

    `tocsin refresh` trains the model on the corrections. The latest label counts.
    """
    settings = settings_of(ctx)
    now, actor = datetime.now(UTC), author or getpass.getuser()
    given = [
        ("sentiment", company, (sentiment,) if sentiment else None),
        ("topic", "", _names(topics)),
        ("risk", "", () if risks == "none" else _names(risks)),
    ]
    if not any(names is not None for _, _, names in given):
        raise InvalidInput("no labels: specify --sentiment, --topics or --risks")
    if company and not sentiment:
        raise InvalidInput("--company requires --sentiment: topics and risk events apply to the text")
    with closing(wiring.make_store(settings)) as store:
        texts = store.labels.texts([article_id])
        if article_id not in texts:
            raise NotFound(f"no article {article_id} in the store; the dashboard and webhooks show the ids")
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
        echo(f"labelled: {each.task}{' towards ' + each.company if each.company else ''} is {', '.join(each.labels) or 'none'}")


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
    "--data",
    type=click.Path(exists=True, file_okay=False),
    help="Folder of labelled data sets for rehearsal.  [default: the setting refresh_data]",
)
@click.option(
    "--tests", type=click.Path(exists=True, file_okay=False), help="Folder of frozen tests.  [default: the setting refresh_tests]"
)
@click.option(
    "--rehearse",
    type=click.FloatRange(0, 0.99),
    default=0.8,
    show_default=True,
    help="Share of training rows that are taken from old data.",
)
@click.option("--min-labels", type=click.IntRange(1), default=50, show_default=True, help="Minimum number of new labels.")
@click.option(
    "--force",
    is_flag=True,
    help="Train even with fewer new labels. The promotion gate still applies; only `tocsin models promote` bypasses it.",
)
@click.option("--limit-s", type=click.FloatRange(1), help="Maximum training time in seconds.")
@click.option(
    "--snapshot", type=click.Path(exists=True, dir_okay=False), help="Read labels and articles from this file instead of the store."
)
@click.option("--who", "actor", default=None, help="Name of the acting user, shown on the dashboard.  [default: your login name]")
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
    """Train on new labels and promote the result if it is better.

    Trains a challenger from the champion and compares both on frozen tests. The exit status is 0 whether it is promoted or not;
    `tocsin models list --history` shows the reasons.
    """
    from models.training.refresh import RefreshPlan, read_snapshot, take_snapshot
    from models.training.refresh import refresh as run
    from models.training.refresh_status import describe_outcome

    settings = settings_of(ctx)
    os.nice(10)  # training uses all cores: workers and the dashboard take precedence
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
        echo(line)


def _user(actor: str | None) -> str:
    """The acting user: the option, else the login name; "" in a container without one."""
    if actor is not None:
        return actor
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def _folder(text: str, name: str) -> Path | None:
    path = Path(text).expanduser() if text else None
    if path is not None and not path.is_dir():
        raise NotFound(f"{name} {text}: no such folder")
    return path


COMMANDS = (models, label, refresh)
