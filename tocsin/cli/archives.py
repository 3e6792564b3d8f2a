"""Command `backfill`: archives into the pipeline, through the outbox and Kafka topic of live news, or directly."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from core.errors import SettingsError
from tocsin.cli.common import ExampleCommand, console, print_json, settings_of, teller

if TYPE_CHECKING:
    from ingest.archive.backfill import Report
    from tocsin.runtime.backfill import Show


@click.command(
    cls=ExampleCommand,
    examples="""
    tocsin backfill news-2025.jsonl.gz news-2026.parquet
    tocsin backfill --map published=pub_time --map text=content --source mydesk --timezone Asia/Shanghai dump.csv
    tocsin backfill --direct ten-years.parquet
    zcat old.jsonl.gz | tocsin backfill - --json
    """,
)
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--map", "fields", multiple=True, metavar="FIELD=COLUMN", help="Our field and your column; may be given again. Known names are guessed."
)
@click.option("--source", default="", help="Source of rows that name none.  [default: the file's name]")
@click.option("--timezone", "zone_name", default="UTC", show_default=True, help="Zone of times that have none.")
@click.option("--no-wait", is_flag=True, help="With a Kafka of your own: end when everything is published, not when it is scored.")
@click.option("--direct", is_flag=True, help="Score and store here, without the broker and without alerts; not beside workers.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@click.pass_context
def backfill(
    ctx: click.Context,
    files: tuple[str, ...],
    fields: tuple[str, ...],
    source: str,
    zone_name: str,
    no_wait: bool,
    direct: bool,
    as_json: bool,
) -> None:
    """Score and store archives: JSONL, CSV or Parquet, each also gzipped; "-" is JSONL or CSV on stdin.

    Interrupted, the same call goes on where it stopped. Rows that cannot be used are named by line number; the rest go on.
    With the embedded broker everything is scored and stored when the command ends.
    """
    from ingest.archive.files import Reading
    from tocsin.runtime.backfill import Backfill, load

    if direct and no_wait:
        raise SettingsError("--direct has nothing to wait for: leave --no-wait out")
    reading = Reading(fields=dict(pair(text) for text in fields), source=source, zone=zone(zone_name))
    settings = settings_of(ctx)
    say = teller()
    with interruptible() as stop, bars() as show:
        if direct:
            report = load(files, settings, reading, stop, show)
        else:
            report = Backfill(settings, say=say, show=show).run(files, reading, stop, wait=not no_wait)
    for row in report.rejected:
        console.print(f"rejected {row.path}:{row.line}: {row.reason}", markup=False)
    if report.rejected_count > len(report.rejected):
        console.print(f"… and {report.rejected_count - len(report.rejected)} more")
    words = f"{report.read} rows read, {report.published} published, {report.rejected_count} rejected"
    say(f"{words}, {report.resumed} done by earlier runs" if report.resumed else words)
    if as_json:
        print_json(report)
    if report.interrupted:
        say("interrupted: the same command goes on from here")
        sys.exit(130)


def pair(text: str) -> tuple[str, str]:
    """ "field=column" in two. Raises SettingsError."""
    field, equals, column = text.partition("=")
    if not (field and equals and column):
        raise SettingsError(f"--map {text}: expected FIELD=COLUMN, such as published=pub_time")
    return field, column


def zone(name: str) -> ZoneInfo:
    """The time zone of that name. Raises SettingsError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SettingsError(f"--timezone {name}: there is no such time zone; Asia/Shanghai is one") from error


@contextlib.contextmanager
def interruptible() -> Iterator[threading.Event]:
    """The first Ctrl-C or SIGTERM sets the event; a second one ends at once."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def bars() -> Iterator[Show]:
    """Two bars, read and stored; `show(name, report, total, waiting)` moves them."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        reading = progress.add_task("read", total=None)
        storing = progress.add_task("stored", total=None)

        def show(report: Report, total: int | None, waiting: int) -> None:
            done = report.read + report.resumed
            progress.update(reading, completed=done, total=total)
            progress.update(storing, completed=max(0, report.published - waiting), total=report.published if total == done else total)

        yield show


COMMANDS = (backfill,)
