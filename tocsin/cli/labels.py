"""Commands `labels join` and `labels contrast`: training rows from label files and from contrast templates."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from tocsin.cli.common import ExampleCommand, ExampleGroup, echo, settings_of


@click.group(
    cls=ExampleGroup,
    examples="tocsin labels join --data ~/data --out labels.jsonl\ntocsin labels contrast --out contrast.jsonl",
)
def labels() -> None:
    """Create training rows from label files and contrast templates."""


@labels.command(cls=ExampleCommand, examples="tocsin labels join --data ~/data --out labels.jsonl")
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder that contains the texts in stream/*.jsonl.gz.",
)
@click.option(
    "--file",
    "files",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Label file (.tsv or .tsv.gz).  [default: all files that Tocsin includes]",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="JSONL file to write.")
@click.pass_context
def join(ctx: click.Context, /, data: Path, files: tuple[Path, ...], out: Path) -> None:
    """Join label files with the texts of archives.

    Label files have ids and annotations without texts. Writes rows for `tocsin train --extra` and `tocsin evaluate`. Annotations whose
    text is not in the archives are left out and counted.
    """
    from models.training.label_files import join as join_texts
    from models.training.label_files import label_files, read_label_file

    settings_of(ctx)
    annotations = [annotation for path in files or label_files() for annotation in read_label_file(path)]
    rows = join_texts(annotations, data / "stream")
    out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf8")
    echo(f"joined {len(rows)} of {len(annotations)} annotations to their texts: {out}")


@labels.command(cls=ExampleCommand, examples="tocsin labels contrast --out contrast.jsonl")
@click.option("--per-template", type=click.IntRange(1, 100), default=8, show_default=True, help="Maximum number of sentences per template.")
@click.option("--seed", type=int, default=16, show_default=True, help="Random seed.")
@click.option("--held-out", is_flag=True, help="Use the held-out templates, which must not be used for training.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="JSONL file to write.")
@click.pass_context
def contrast(ctx: click.Context, /, per_template: int, seed: int, held_out: bool, out: Path) -> None:
    """Generate contrast sentences.

    In contrast sentences a small change of words changes the sentiment. Writes rows for `tocsin train --contrast`.
    """
    from models.training.contrast import generate

    settings_of(ctx)
    rows = [
        {("lang" if name == "language" else name): value for name, value in asdict(sentence).items()}
        for sentence in generate(seed, per_template, held_out=held_out)
    ]
    out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf8")
    echo(f"wrote {len(rows)} sentences to {out}")


COMMANDS = (labels,)
