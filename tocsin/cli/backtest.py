"""Command `backtest`: what the rules would have raised on history."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from core.errors import SettingsError
from core.series import series_name
from tocsin.cli.archives import bars, interruptible, pair, zone
from tocsin.cli.common import ExampleCommand, console, print_json, results, settings_of, table_of, teller
from tocsin.runtime import wiring


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
@click.option("--store", "stored", is_flag=True, help="Replay what the store of the settings holds, instead of files.")
@click.option("--from", "since", metavar="TIME", help="First moment, such as 2026-10-01 or 2026-10-01T09:30+08:00.  [default: the first]")
@click.option("--to", "until", metavar="TIME", help="End.  [default: the last article]")
@click.option("--rules", "rules_file", metavar="FILE", help="Rules in place of those of the setting alert_rules.")
@click.option("--false-per-week", type=click.FloatRange(min=0, min_open=True), help="In place of the setting alert_false_per_week.")
@click.option("--min-stories", type=click.IntRange(min=1), help="In place of the setting alert_min_stories.")
@click.option("--min-sources", type=click.IntRange(min=1), help="In place of the setting alert_min_sources.")
@click.option("--map", "fields", multiple=True, metavar="FIELD=COLUMN", help="Our field and your column, as `tocsin backfill` has it.")
@click.option("--source", default="", help="Source of rows that name none.  [default: the file's name]")
@click.option("--timezone", "zone_name", default="UTC", show_default=True, help="Zone of times that have none.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object an alert, then one that sums up.")
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
    """What would have rung: history with a virtual clock, through the code that watches the stream.

    FILES are scored once and kept in the data folder, so a second run takes seconds. The bar is learned from the past as it goes, as
    live, so the first weeks of an archive ring seldom. Times without a zone are UTC.
    """
    from core.outage_text import lasting
    from ingest.archive.files import Reading
    from stream.delivery.formats.measures import in_words
    from stream.detection.outage import SilenceRule
    from tocsin.services.backtest import Rang, archive_store, hear, run

    if bool(files) == stored:
        raise SettingsError("name files to replay, or --store; not both")
    begin, end = _moment("--from", since), _moment("--to", until)
    settings = settings_of(ctx, alert_false_per_week=false_per_week, alert_min_stories=min_stories, alert_min_sources=min_sources)
    say, rules = teller(), wiring.make_rules(settings, Path(rules_file) if rules_file else None)
    given: dict[str, Any] = {"false_per_week": false_per_week, "min_stories": min_stories, "min_sources": min_sources}
    detector = dataclasses.replace(rules.detector, **{name: value for name, value in given.items() if value is not None})
    rules = rules._replace(detector=detector)
    with contextlib.ExitStack() as stack:
        if stored:
            store = stack.enter_context(contextlib.closing(wiring.make_store(settings)))
        else:
            reading = Reading(fields=dict(pair(text) for text in fields), source=source, zone=zone(zone_name))
            with interruptible() as stop, bars() as show:
                store = stack.enter_context(archive_store(files, settings, reading, stop, show))
        heard, begin, end = hear(store, rules.detector, begin, end, window_s=rules.window_s)
        say(f"replaying {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC, {len(heard.tallies)} series")
        table = table_of("detected (UTC)", "severity", "series", "stories", "expected", "window", "odds, or rule")
        with _bar() as progress:
            for found in run(heard, rules, SilenceRule.from_settings(settings), store, begin, end, progress):
                if as_json:
                    print_json(found)
                elif isinstance(found, Rang):
                    _, figure, limit = in_words(found, zh=False)
                    table.add_row(
                        f"{found.detected_at:%Y-%m-%d %H:%M}",
                        found.severity,
                        escape(series_name(found.series)),
                        str(found.observed),
                        "" if limit else f"{found.expected:.1f}",
                        lasting(found.window_s / 3600, "en"),
                        escape(f"{found.rule}: {figure}, {limit}") if limit else f"1 in {10**found.surprise:,.0f}",
                    )
                else:
                    results.print(table)
                    results.print(
                        f"{found.alerts - found.silences} alerts, {found.alerts_per_week} a week (budget: {found.false_per_week} false "
                        f"ones), of {found.articles} negative articles in {found.series} series; {found.silences} of silence"
                    )


def _moment(option: str, text: str | None) -> datetime | None:
    """The moment that `text` names; without a zone it is UTC. Raises SettingsError."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(f"{option} {text}: not a time such as 2026-10-01 or 2026-10-01T09:30+08:00") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[float], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("replayed", total=1.0)
        yield lambda share: progress.update(task, completed=share)


COMMANDS = (backtest,)
