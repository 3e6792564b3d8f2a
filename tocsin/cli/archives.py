"""Commands `backfill` and `backtest`: process archives, and replay history through the rules."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from core.errors import InvalidInput
from core.series import series_name
from tocsin import wiring
from tocsin.cli.common import ExampleCommand, console, print_json, progress_printer, results, settings_of, table_of

if TYPE_CHECKING:
    from core.settings import Settings
    from ingest.archive.backfill import BackfillReport
    from ingest.archive.check import FileCheck
    from ingest.archive.files import ReadOptions
    from tocsin.runtime.backfill import Show


@click.command(
    cls=ExampleCommand,
    examples="""
    tocsin backfill news-2025.jsonl.gz news-2026.parquet
    tocsin backfill --map published=pub_time --map text=content --source newsroom --timezone Asia/Shanghai dump.csv
    tocsin backfill --check terminal-export.csv
    tocsin backfill --direct ten-years.parquet
    zcat old.jsonl.gz | tocsin backfill - --json
    """,
)
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--map",
    "fields",
    multiple=True,
    metavar="FIELD=COLUMN",
    help="Field of an article and its column in the file; may be repeated. Common column names are recognized.",
)
@click.option("--source", default="", help="Source of rows that have none.  [default: the file name]")
@click.option("--timezone", "zone_name", default="UTC", show_default=True, help="Time zone of times that have none.")
@click.option(
    "--date-order",
    type=click.Choice(["day", "month"]),
    help="What comes first in times such as 05/03/2026.  [default: the rows that prove it decide]",
)
@click.option("--check", "check_only", is_flag=True, help="Show how the files are understood, with their first rows; store nothing.")
@click.option("--no-wait", is_flag=True, help="With an external Kafka, exit when all rows are published, without waiting for the workers.")
@click.option(
    "--direct",
    is_flag=True,
    help="Classify and store the rows in this process, without a broker and without alerts. Do not use it while workers are running.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@click.pass_context
def backfill(
    ctx: click.Context,
    files: tuple[str, ...],
    fields: tuple[str, ...],
    source: str,
    zone_name: str,
    date_order: str | None,
    check_only: bool,
    no_wait: bool,
    direct: bool,
    as_json: bool,
) -> None:
    """Classify and store archives of articles.

    FILES are JSON, JSONL, CSV or Parquet, also gzipped; "-" reads stdin. Encoding, separator and columns are recognized; --check shows how.
    An interrupted run continues if the same command is run again. Invalid rows are reported with their line numbers and skipped. With the
    embedded broker, all rows are stored when the command ends.
    """
    from ingest.archive.files import ReadOptions
    from tocsin.runtime.backfill import Backfill, load

    if direct and no_wait:
        raise InvalidInput("--no-wait cannot be combined with --direct")
    order = None if date_order is None else date_order == "day"
    reading = ReadOptions(fields=dict(parse_mapping(text) for text in fields), source=source, zone=parse_zone(zone_name), day_first=order)
    settings = settings_of(ctx)
    if check_only:
        check_archives(files, reading, settings, as_json=as_json)
        return
    notify = progress_printer()
    with interruptible() as stop, progress_bars() as show:
        if direct:
            report = load(files, settings, reading, stop, show)
        else:
            report = Backfill(settings, notify=notify, show=show).run(files, reading, stop, wait=not no_wait)
    for row in report.rejected:
        console.print(f"rejected {row.path}:{row.line}: {row.reason}", markup=False)
    if report.rejected_count > len(report.rejected):
        console.print(f"… and {report.rejected_count - len(report.rejected)} more")
    print_doubts(report)
    counts = f"{report.read} rows read, {report.published} published, {report.rejected_count} rejected"
    notify(f"{counts}, {report.resumed} processed by earlier runs" if report.resumed else counts)
    if as_json:
        print_json(report)
    if report.interrupted:
        notify("interrupted; run the same command again to continue")
        sys.exit(130)


UNDATED_SHOWN = 10


def print_doubts(report: BackfillReport) -> None:
    """Print what was guessed, mended or repeated."""
    for row in report.undated[:UNDATED_SHOWN]:
        console.print(f"without a time {row.path}:{row.line}: {row.reason}", markup=False)
    counts = (
        (report.undated_count, "without a trustworthy time, which are stored and shown, but not counted in alerts and charts"),
        (report.zone_guessed, "with an unknown time zone, which were read in the zone of the archive"),
        (report.mended, "with damaged characters, which were removed"),
        (report.same_id, "with the identity of an earlier row, which they replace"),
    )
    for number, what in counts:
        if number:
            console.print(f"rows {what}: {number:,}")
    for note in report.notes:
        console.print(note, markup=False)


def check_archives(files: Sequence[str], reading: ReadOptions, settings: Settings, *, as_json: bool) -> None:
    """Print how files would be read. Raises SettingsError."""
    from ingest.archive.check import check

    gazetteer, now = wiring.make_gazetteer(settings), datetime.now(UTC)
    for path in files:
        found = check(path, reading, gazetteer=gazetteer, now=now)
        if as_json:
            print_json(found)
        else:
            print_check(found)


def print_check(found: FileCheck) -> None:
    """Print the columns, the counts and the first rows of a file as tables."""
    results.print(f"{found.path}: {found.format}, {found.rows:,} rows", markup=False, highlight=False, style="bold")
    columns = table_of("field", "columns", "filled")
    for each in found.fields:
        if each.columns or each.field in ("title", "text", "published", "source", "id"):
            share = f"{each.filled / found.rows:.0%}" if found.rows and each.columns else "–"
            named = escape(", ".join(each.columns)) or "not found"
            columns.add_row(each.field or "ignored", named, share if each.field else "")
    results.print(columns)
    first = table_of("line", "published", "source", "lang", "title", "text", "companies", "flags")
    for row in found.first:
        first.add_row(
            str(row.line),
            f"{row.published_at:%Y-%m-%d %H:%M %Z}" if row.dated else "unknown",
            escape(row.source),
            row.language,
            escape(row.title[:60]),
            f"{row.chars:,} chars",
            escape(", ".join(row.companies[:4])),
            ", ".join(row.flags),
        )
    results.print(first)
    counts = (
        (found.valid, "that would be stored"),
        (found.rejected, "that would be rejected"),
        (found.undated, "without a trustworthy time, which alerts and charts would not count"),
        (found.zone_guessed, "with an unknown time zone"),
        (found.mended, "with damaged characters, which would be removed"),
        (found.same_id, "with the identity of an earlier row, which they would replace"),
        (found.repeated_headers, "that repeat the header and would be skipped"),
    )
    for number, what in counts[:2] + tuple(count for count in counts[2:] if count[0]):
        results.print(f"rows {what}: {number:,}", highlight=False)
    for kind, reasons in (("rejected", found.rejections), ("without a certain time", found.doubts)):
        for reason in reasons:
            results.print(f"{kind}: line {reason.line}: {reason.reason}", markup=False, highlight=False)
    for note in found.notes:
        results.print(note, markup=False, highlight=False)


def parse_mapping(text: str) -> tuple[str, str]:
    """Split "field=column". Raises InvalidInput."""
    field, equals, column = text.partition("=")
    if not (field and equals and column):
        raise InvalidInput(f"--map {text}: expected FIELD=COLUMN, such as published=pub_time")
    return field, column


def parse_zone(name: str) -> ZoneInfo:
    """Parse a time zone. Raises InvalidInput."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput(f"--timezone {name}: no such time zone; an example is Asia/Shanghai") from error


@contextlib.contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; the second one ends the process."""
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
def progress_bars() -> Iterator[Show]:
    """Two progress bars, rows read and rows stored; yields the function that updates them."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        reading = progress.add_task("read", total=None)
        storing = progress.add_task("stored", total=None)

        def show(report: BackfillReport, total: int | None, waiting: int) -> None:
            done = report.read + report.resumed
            progress.update(reading, completed=done, total=total)
            progress.update(storing, completed=max(0, report.published - waiting), total=report.published if total == done else total)

        yield show


@click.command(
    cls=ExampleCommand,
    examples="""
    tocsin backtest news-2023.jsonl.gz
    tocsin backtest --store --from 2026-10-01 --to 2026-11-01 --json
    tocsin backtest news-2023.jsonl.gz --false-per-week 0.25 --min-sources 1
    tocsin backtest --store --rules rules.toml --json
    """,
)
@click.argument("files", nargs=-1)
@click.option("--store", "stored", is_flag=True, help="Replay articles from the configured store instead of files.")
@click.option(
    "--from",
    "since",
    metavar="TIME",
    help="Start of the period, such as 2026-10-01 or 2026-10-01T09:30+08:00.  [default: the first article]",
)
@click.option("--to", "until", metavar="TIME", help="End of the period.  [default: the last article]")
@click.option("--rules", "rules_file", metavar="FILE", help="Rules file.  [default: the setting alert_rules]")
@click.option("--false-per-week", type=click.FloatRange(min=0, min_open=True), help="Overrides the setting alert_false_per_week.")
@click.option("--min-stories", type=click.IntRange(min=1), help="Overrides the setting alert_min_stories.")
@click.option("--min-sources", type=click.IntRange(min=1), help="Overrides the setting alert_min_sources.")
@click.option("--map", "fields", multiple=True, metavar="FIELD=COLUMN", help="Field of an article and its column, as in `tocsin backfill`.")
@click.option("--source", default="", help="Source of rows that have none.  [default: the file name]")
@click.option("--timezone", "zone_name", default="UTC", show_default=True, help="Time zone of times that have none.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per alert, then a summary.")
@click.pass_context
def backtest(
    ctx: click.Context,
    files: tuple[str, ...],
    stored: bool,
    since: str | None,
    until: str | None,
    rules_file: str | None,
    false_per_week: float | None,
    min_stories: int | None,
    min_sources: int | None,
    fields: tuple[str, ...],
    source: str,
    zone_name: str,
    as_json: bool,
) -> None:
    """Show the alerts that the rules would have raised on past articles.

    The articles are replayed through the worker's code with a virtual clock. FILES are classified once and kept in the data folder, so
    further runs take seconds. The alert threshold is learned from earlier articles, as in live operation, so the first weeks of an
    archive have few alerts. Times without a zone are UTC.
    """
    from core.outage_text import format_hours
    from ingest.archive.files import ReadOptions
    from stream.delivery.formats.alert_text import describe_measure
    from stream.detection.outage import OutageRule
    from tocsin.runtime.backtest import BacktestAlert, archive_store, run
    from tocsin.services.replay import load_history

    if bool(files) == stored:
        raise InvalidInput("give either FILES or --store")
    begin, end = _moment("--from", since), _moment("--to", until)
    settings = settings_of(ctx, alert_false_per_week=false_per_week, alert_min_stories=min_stories, alert_min_sources=min_sources)
    notify, rules = progress_printer(), wiring.make_rules(settings, Path(rules_file) if rules_file else None)
    given: dict[str, Any] = {"false_per_week": false_per_week, "min_stories": min_stories, "min_sources": min_sources}
    detector = dataclasses.replace(rules.detector, **{name: value for name, value in given.items() if value is not None})
    rules = rules._replace(detector=detector)
    with contextlib.ExitStack() as stack:
        if stored:
            store = stack.enter_context(contextlib.closing(wiring.make_store(settings)))
        else:
            reading = ReadOptions(fields=dict(parse_mapping(text) for text in fields), source=source, zone=parse_zone(zone_name))
            with interruptible() as stop, progress_bars() as show:
                store = stack.enter_context(archive_store(files, settings, reading, stop, show))
        history, begin, end = load_history(store, rules.detector, begin, end, window_s=rules.window_s)
        notify(f"replaying {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC, {len(history.counts)} series")
        table = table_of("detected (UTC)", "severity", "series", "stories", "expected", "window", "odds or rule")
        with _progress_bar() as progress:
            for found in run(history, rules, OutageRule.from_settings(settings), store, begin, end, progress):
                if as_json:
                    print_json(found)
                elif isinstance(found, BacktestAlert):
                    _, figure, limit = describe_measure(found, zh=False)
                    table.add_row(
                        f"{found.detected_at:%Y-%m-%d %H:%M}",
                        found.severity,
                        escape(series_name(found.series)),
                        str(found.observed),
                        "" if limit else f"{found.expected:.1f}",
                        format_hours(found.window_s / 3600, "en"),
                        escape(f"{found.rule}: {figure}, {limit}") if limit else f"1 in {10**found.surprise:,.0f}",
                    )
                else:
                    results.print(table)
                    results.print(
                        f"{found.alerts - found.outages} alerts, {found.alerts_per_week} per week (target: {found.false_per_week} "
                        f"false alarms), {found.articles} negative articles in {found.series} series; {found.outages} outage alerts"
                    )


def _moment(option: str, text: str | None) -> datetime | None:
    """Parse a time; UTC if it has no zone. Raises SettingsError."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"{option} {text}: expected a time such as 2026-10-01 or 2026-10-01T09:30+08:00") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@contextlib.contextmanager
def _progress_bar() -> Iterator[Callable[[float], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("replayed", total=1.0)
        yield lambda share: progress.update(task, completed=share)


COMMANDS = (backfill, backtest)
