"""The commands that make a model: train, calibrate, average."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from core.errors import ModelError, NotFound
from tocsin.cli.common import ExampleCommand, console, print_json, results, settings_of, table_of
from tocsin.runtime import wiring

if TYPE_CHECKING:
    from core.settings import Settings
    from models.evaluation.evaluate import Evaluation
    from models.evaluation.metrics import MetricsReport
    from models.inference.classifier import Classifier
    from models.inference.transformer import TransformerClassifier

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
    from models.training.train import Run, TrainingOptions
    from models.training.train import train as run

    settings_of(ctx)
    options = replace(TrainingOptions(version=out.name), **{name: value for name, value in given.items() if value is not None})
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


TASKS = ("sentiment", "topic", "risk", "entities")
GENRES = ("news", "social", "filing")
BESIDE = "../shared/data"


@click.command(
    cls=ExampleCommand,
    examples="""
    tocsin evaluate --data phrases.test.jsonl.gz --task sentiment
    tocsin evaluate --data posts.jsonl --task sentiment --genre social --json
    tocsin evaluate --data sentences.jsonl --task entities --json
    tocsin evaluate --data titles.test.jsonl.gz --task topic --train titles.train.jsonl.gz --epochs 2
    """,
)
@click.option("--data", type=click.Path(exists=True, dir_okay=False), required=True, help="JSONL (.gz) of labelled rows.")
@click.option("--task", type=click.Choice(TASKS), required=True, help="What to measure.")
@click.option("--train", type=click.Path(exists=True, dir_okay=False), help="Fine-tune a fresh head and a copy of the encoder first.")
@click.option("--genre", type=click.Choice(GENRES), default="news", show_default=True, help="Of rows that name none.")
@click.option("--epochs", type=click.IntRange(1, 100), help="With --train: passes over it, 3 unless dev says stop.")
@click.option("--lr", type=click.FloatRange(0, min_open=True), help="With --train: peak learning rate, 8e-5.")
@click.option("--seed", type=int, help="Of the resampling and, with --train, of everything random; 13.")
@click.option("--limit-s", type=click.FloatRange(0, min_open=True), help="With --train: end the fine-tuning after so many seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def evaluate(
    ctx: click.Context,
    data: str,
    task: str,
    train: str | None,
    genre: str,
    epochs: int | None,
    lr: float | None,
    seed: int | None,
    limit_s: float | None,
    as_json: bool,
) -> None:
    """Measure the model on a labelled file, with 95 % bootstrap intervals.

    Each row of the file is a JSON object with a text and its label or labels, and perhaps entity or aspect, genre and lang; for
    entities with tokens and BIO tags. Rows that cannot be used are counted and named by line.

    With --train any labels will do: what is measured then is how good the encoder becomes on them.
    """
    from models.evaluation.evaluate import evaluate_file

    with console.status("loading the model"):
        classifier = wiring.make_classifier(settings_of(ctx))
    if train is None:
        with console.status("scoring"):
            found = evaluate_file(classifier, Path(data), task, genre=genre, seed=13 if seed is None else seed)
    else:
        from models.evaluation.benchmark import FineTuneOptions, evaluate_fine_tuned

        given = {"epochs": epochs, "lr": lr, "seed": seed, "limit_s": limit_s}
        options = FineTuneOptions(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
        found = evaluate_fine_tuned(ours(classifier), Path(train), Path(data), task, options=options, genre=genre)
    for line in found.bad:
        console.print(f"[yellow]left out[/yellow] {escape(line)}", soft_wrap=True)
    if as_json:
        print_json(found)
    else:
        _show(found)


def ours(classifier: Classifier) -> TransformerClassifier:
    """The classifier as one of our networks. Raises ModelError when it is none."""
    from models.inference.transformer import TransformerClassifier

    if not isinstance(classifier, TransformerClassifier):
        raise ModelError(f'model {classifier.version} is no network of ours; set model to "shipped" or to what `tocsin train` wrote')
    return classifier


def _show(found: Evaluation) -> None:
    left_out = f", {found.bad_rows} rows left out" if found.bad_rows else ""
    results.print(f"{found.data}: {found.n} rows{left_out}, {found.task} ({found.label_space}) by {found.model}, {found.seconds:.1f} s")
    table = table_of("", "accuracy", "macro F1", "micro F1", "weighted F1", "ECE", "rows")
    table.add_row("all", *_figures(found))
    for language, part in found.by_language.items():
        table.add_row(escape(language), *_figures(part))
    if found.mapped is not None:
        table.add_row("in our topics", *_figures(found.mapped))
    results.print(table)
    classes = table_of("class", "precision", "recall", "F1", "rows")
    for name, score in found.per_class.items():
        classes.add_row(escape(name), f"{score.precision:.3f}", f"{score.recall:.3f}", f"{score.f1:.3f}", str(score.support))
    results.print(classes)


def _figures(report: MetricsReport) -> list[str]:
    cells = []
    for name in ("accuracy", "macro_f1", "micro_f1", "weighted_f1", "ece"):
        low, high = report.interval.get(name, (0.0, 0.0))
        cells.append(f"{getattr(report, name):.3f}" + (f" ({low:.3f} to {high:.3f})" if report.interval else ""))
    return [*cells, str(report.n)]


@click.command(
    "model-card",
    cls=ExampleCommand,
    examples="""
    tocsin model-card --data ~/labelled
    tocsin model-card --data ~/labelled --baselines tfidf,textcnn --fine-tune thucnews,twitter_topic
    tocsin model-card --render
    """,
)
@click.option("--data", type=click.Path(path_type=Path), help=f"Folder with sentiment/, topic/, ner/ of SET.test.jsonl.gz; else {BESIDE}.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("docs"), show_default=True, help="Where to write.")
@click.option("--cache", type=click.Path(path_type=Path), default=Path(".cache/evaluate"), show_default=True, help="Figures so far.")
@click.option("--only", default="", help="Sets to measure, by comma; all if left out.")
@click.option("--baselines", default="tfidf", show_default=True, help="Of tfidf and textcnn, by comma; trained on the same rows.")
@click.option("--fine-tune", default="", help="Sets on which a copy is fine-tuned besides, by comma.")
@click.option("--epochs", type=click.IntRange(1, 100), help="Of each fine-tuning.")
@click.option("--noise", type=click.IntRange(0), default=300, show_default=True, help="Rows of a file to measure under noise.")
@click.option("--render", is_flag=True, help="Write the card anew from the figures in OUT; measure nothing.")
@click.pass_context
def model_card(
    ctx: click.Context,
    data: Path | None,
    out: Path,
    cache: Path,
    only: str,
    baselines: str,
    fine_tune: str,
    epochs: int | None,
    noise: int,
    render: bool,
) -> None:
    """Measure the model on every test file of a folder and write model-card.md, with its figures and a diagram.

    Takes a while; an interrupted run goes on where it was. Needs the extra "train".
    """
    from models.evaluation.card import render_card, write_card

    settings = settings_of(ctx)
    if render:
        paths = render_card(out)
    else:
        from models.evaluation.benchmark import FineTuneOptions
        from models.evaluation.scoreboard import ScoreboardPlan, collect_results

        folder = data if data is not None else Path(BESIDE)
        if not folder.is_dir():
            raise NotFound(f"{folder}: there is no such folder; name that of the labelled sets with --data FOLDER")
        classifier = ours(wiring.make_classifier(settings))
        options = FineTuneOptions() if epochs is None else FineTuneOptions(epochs=epochs)
        wanted = ScoreboardPlan(_names(baselines), _names(fine_tune), noise, only=_names(only), options=options)
        paths = write_card(collect_results(classifier, folder_of(settings), folder, cache, wanted), out)
    for path in paths:
        click.echo(str(path))


def folder_of(settings: Settings) -> Path:
    """The version folder that the settings name, for the size of its files."""
    from models.registry.manifest import shipped

    if settings.model == "champion":
        versions = wiring.make_versions(settings)
        return versions.folder(versions.champion())
    return shipped() if settings.model == "shipped" else Path(settings.model).expanduser()


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


COMMANDS = (train, calibrate, average, evaluate, model_card)
