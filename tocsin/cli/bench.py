"""Command `bench`: the figures that are written down, each one run."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from tocsin.cli.common import ExampleCommand, ExampleGroup, console, print_json, settings_of


@click.group(cls=ExampleGroup, examples="tocsin bench start --json\ntocsin bench archives news-2026.jsonl.gz --json")
def bench() -> None:
    """Measure this machine."""


@bench.command(cls=ExampleCommand, examples="tocsin bench start --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def start(ctx: click.Context, as_json: bool) -> None:
    """Seconds from the command to the first scored article, and the size of the installation."""
    from bench.start import measure

    settings_of(ctx)
    with console.status("running the demo to its alert"):
        _show(measure(), as_json)


@bench.command(cls=ExampleCommand, examples="tocsin bench archives zh.jsonl.gz en.jsonl.gz --json")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def archives(ctx: click.Context, files: tuple[str, ...], as_json: bool) -> None:
    """Whole archives into a new store: distinct articles by the files' own ids beside those stored, and articles a second."""
    from bench.archives import measure

    with console.status("backfilling"):
        _show(measure(files, settings_of(ctx)), as_json)


def _show(result: Any, as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    for name, value in msgspec.to_builtins(result).items():
        click.echo(f"{name}: {value}")


COMMANDS = (bench,)
