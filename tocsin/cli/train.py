"""The commands that make a model: train, calibrate, average."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from tocsin.cli.common import ExampleCommand, settings_of

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
METHODS = ("full", "lora", "adalora", "ia3", "heads")


class Layers(click.ParamType):
    """Numbers of layers, "0,2,4"."""

    name = "LAYERS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The numbers in order."""
        try:
            layers = tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r}: numbers apart by commas are wanted, such as 0,2,4", param, ctx)
        if list(layers) != sorted(set(layers)) or layers[0] < 0:
            self.fail(f"{value!r}: rising numbers from 0 are wanted", param, ctx)
        return layers


@click.command(
    cls=ExampleCommand,
    examples="""
    tocsin train --data ~/data --out ~/models/mine
    tocsin train --data ~/data --out ~/models/mine --resume
    tocsin train --data ~/data --out ~/models/lora --start ~/models/mine --method lora --epochs 1
    tocsin train --data ~/data --out ~/models/small --start ~/models/mine --layers 0,2,4,6,8,11 --teacher ~/models/mine
    accelerate launch --num_processes 4 -m tocsin train --data ~/data --out ~/models/mine
    """,
)
@click.option("--data", type=FOLDER, help="Folder with sentiment/, topic/, ner/ of labelled sets; not needed with --extra and --start.")
@click.option("--extra", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="JSONL (.gz) of more labelled rows to learn.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write the version to.")
@click.option("--start", type=FOLDER, help="Version to go on from; without it, the pre-trained body.")
@click.option("--method", type=click.Choice(METHODS), help="Which weights are moved.  [default: full]")
@click.option("--layers", type=Layers(), help="Layers to keep, such as 0,2,4,6,8,11.  [default: all]")
@click.option("--teacher", "teachers", type=FOLDER, multiple=True, help="Version to learn from besides; several are an ensemble.")
@click.option("--prune", type=click.FloatRange(0.0, 0.95), help="Share of the encoder's weights to set to 0.  [default: 0]")
@click.option("--epochs", type=click.IntRange(1, 100), help="Passes over the data.  [default: 2]")
@click.option("--lr", type=click.FloatRange(min=0.0, min_open=True), help="Peak learning rate.  [default: 1.4e-4]")
@click.option("--rehearse", type=click.FloatRange(0.0, 0.99), help="Share of old rows beside the --extra ones.  [default: 0.7]")
@click.option("--threads", type=click.IntRange(1, 256), help="CPU threads, each with a batch of its own.  [default: 2]")
@click.option("--seed", type=int, help="Of everything random.  [default: 13]")
@click.option("--limit-s", type=click.FloatRange(min=1.0), help="End the schedule after so many seconds.")
@click.option("--version", help="Name of the version.  [default: the folder's name]")
@click.option("--logs", type=click.Path(file_okay=False, path_type=Path), help="Folder for TensorBoard.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint of an interrupted full run, same options.")
@click.pass_context
def train(
    ctx: click.Context,
    /,
    data: Path | None,
    extra: Path | None,
    out: Path,
    start: Path | None,
    teachers: tuple[Path, ...],
    logs: Path | None,
    resume: bool,
    **given: Any,
) -> None:
    """Fine-tune the bilingual model on labelled sets and write a version that `model` can be set to. Needs the extra "train".

    Interrupted, it leaves a checkpoint beside --out; --resume goes on from there.
    """
    from models.training.data import read_rows
    from models.training.train import Options, Run
    from models.training.train import train as run

    settings_of(ctx)
    options = replace(Options(version=out.name), **{name: value for name, value in given.items() if value is not None})
    rows = tuple(read_rows(extra)) if extra is not None else ()
    manifest = run(
        data, out, now=datetime.now(UTC), options=options, start=start, run=Run(rows, teachers=teachers, logs=logs, resume=resume)
    )
    click.echo(f"wrote {manifest.version} to {out}")


@click.command(cls=ExampleCommand, examples="tocsin calibrate --data ~/data --start ~/models/mine --out ~/models/mine-2")
@click.option("--data", type=FOLDER, required=True, help="Folder with the dev splits of labelled sets.")
@click.option("--start", type=FOLDER, required=True, help="Version whose weights are kept.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write the version to.")
@click.option("--version", help="Name of the version.  [default: the folder's name]")
@click.pass_context
def calibrate(ctx: click.Context, /, data: Path, start: Path, out: Path, version: str | None) -> None:
    """Fit temperatures, thresholds and where to abstain anew on dev sets; no weight moves. Needs the extra "train"."""
    from models.training.derive import recalibrate

    settings_of(ctx)
    manifest = recalibrate(data, start, out, now=datetime.now(UTC), version=version or out.name)
    click.echo(f"wrote {manifest.version} to {out}")


@click.command(
    cls=ExampleCommand,
    examples="tocsin average --data ~/data --start ~/models/first 0.3 --start ~/models/second 0.7 --out ~/models/mean",
)
@click.option("--data", type=FOLDER, required=True, help="Folder with the dev splits of labelled sets.")
@click.option("--start", "starts", type=(FOLDER, click.FloatRange(min=0.0)), multiple=True, required=True, help="Version, and its share.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write the version to.")
@click.option("--version", help="Name of the version.  [default: the folder's name]")
@click.pass_context
def average(ctx: click.Context, /, data: Path, starts: tuple[tuple[Path, float], ...], out: Path, version: str | None) -> None:
    """Write the mean of versions of one shape, such as two stops on one way of training. Needs the extra "train"."""
    from models.training.derive import average as run

    settings_of(ctx)
    if not sum(share for _, share in starts):
        raise click.BadParameter("one of the shares at least must be over 0", param_hint="--start")
    manifest = run(data, starts, out, now=datetime.now(UTC), version=version or out.name)
    click.echo(f"wrote {manifest.version} to {out}")


COMMANDS = (train, calibrate, average)
