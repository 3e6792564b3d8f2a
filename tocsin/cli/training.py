"""Commands `train`, `calibrate`, `average`, `evaluate` and `model-card`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from core.errors import ModelError, NotFound
from tocsin import wiring
from tocsin.cli.common import ExampleCommand, console, echo, print_json, results, settings_of, table_of

if TYPE_CHECKING:
    from core.settings import Settings
    from models.evaluation.evaluate import Evaluation
    from models.evaluation.metrics import MetricsReport
    from models.inference.classifier import Classifier
    from models.inference.transformer import TransformerClassifier

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
METHODS = ("full", "lora", "adalora", "ia3", "heads")


class Layers(click.ParamType):
    """Parameter type for layer numbers such as "0,2,4"."""

    name = "LAYERS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Parse and validate the numbers."""
        try:
            layers = tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r}: expected numbers separated by commas, such as 0,2,4", param, ctx)
        if list(layers) != sorted(set(layers)) or layers[0] < 0:
            self.fail(f"{value!r}: expected ascending numbers from 0", param, ctx)
        return layers


@click.command(
    cls=ExampleCommand,
    examples="""
    tocsin train --data ~/data --out ~/models/mine
    tocsin train --data ~/data --contrast contrast.jsonl --out ~/models/mine
    tocsin train --data ~/data --out ~/models/mine --resume
    tocsin train --data ~/data --out ~/models/lora --start ~/models/mine --method lora --epochs 1
    tocsin train --data ~/data --out ~/models/small --start ~/models/mine --layers 0,2,4,6,8,11 --teacher ~/models/mine
    accelerate launch --num_processes 4 -m tocsin train --data ~/data --out ~/models/mine
    """,
)
@click.option(
    "--data",
    type=FOLDER,
    help="Folder of labelled data sets, with the subfolders sentiment/, topic/ and ner/; optional with --extra and --start.",
)
@click.option(
    "--extra", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="JSONL file (also .gz) of additional labelled rows."
)
@click.option(
    "--contrast",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSONL file (also .gz) of contrast sentences, written by `tocsin labels contrast`.",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write the version to.")
@click.option("--start", type=FOLDER, help="Version to continue from.  [default: the pre-trained backbone]")
@click.option("--method", type=click.Choice(METHODS), help="Weights that are trained.  [default: full]")
@click.option("--layers", type=Layers(), help="Layers to keep, such as 0,2,4,6,8,11.  [default: all]")
@click.option("--teacher", "teachers", type=FOLDER, multiple=True, help="Version to distil from; several form an ensemble.")
@click.option("--prune", type=click.FloatRange(0.0, 0.95), help="Share of the encoder's weights to prune.  [default: 0]")
@click.option("--epochs", type=click.IntRange(1, 100), help="Number of passes over the data.  [default: 2]")
@click.option("--lr", type=click.FloatRange(min=0.0, min_open=True), help="Peak learning rate.  [default: 1.4e-4]")
@click.option("--rehearse", type=click.FloatRange(0.0, 0.99), help="Share of old rows when --extra is used.  [default: 0.7]")
@click.option("--threads", type=click.IntRange(1, 256), help="Number of CPU threads, each with its own batch.  [default: 2]")
@click.option("--frozen", type=click.IntRange(0, 11), help="Number of lowest layers that are not trained.  [default: 0]")
@click.option("--seed", type=int, help="Random seed.  [default: 13]")
@click.option("--limit-s", type=click.FloatRange(min=1.0), help="Maximum training time in seconds.")
@click.option("--version", help="Name of the version.  [default: the folder's name]")
@click.option("--logs", type=click.Path(file_okay=False, path_type=Path), help="Folder to which logs for TensorBoard are written.")
@click.option("--resume", is_flag=True, help="Continue an interrupted full run with the same options.")
@click.pass_context
def train(
    ctx: click.Context,
    /,
    data: Path | None,
    extra: Path | None,
    contrast: Path | None,
    out: Path,
    start: Path | None,
    teachers: tuple[Path, ...],
    logs: Path | None,
    resume: bool,
    **given: Any,
) -> None:
    """Fine-tune the model on labelled sets.

    Writes a version for the setting `model`. Needs the extra "train". An interrupted run leaves a checkpoint beside --out; --resume
    continues it.
    """
    from models.training.examples import read_rows
    from models.training.train import Run, TrainingOptions
    from models.training.train import train as run

    settings_of(ctx)
    options = replace(TrainingOptions(version=out.name), **{name: value for name, value in given.items() if value is not None})
    rows = tuple(read_rows(extra)) if extra is not None else ()
    sentences = tuple(read_rows(contrast)) if contrast is not None else ()
    inputs = Run(rows, sentences, teachers=teachers, logs=logs, resume=resume)
    manifest = run(data, out, now=datetime.now(UTC), options=options, start=start, run=inputs)
    echo(f"wrote {manifest.version} to {out}")


@click.command(cls=ExampleCommand, examples="tocsin calibrate --data ~/data --start ~/models/mine --out ~/models/mine-2")
@click.option("--data", type=FOLDER, required=True, help="Folder with the dev splits of labelled data sets.")
@click.option("--start", type=FOLDER, required=True, help="Folder of the version whose weights are used.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write the version to.")
@click.option("--version", help="Name of the version.  [default: the folder's name]")
@click.option("--priors", is_flag=True, help="Also shift the biases of the heads to the class frequencies of the annotated news items.")
@click.pass_context
def calibrate(ctx: click.Context, /, data: Path, start: Path, out: Path, version: str | None, priors: bool) -> None:
    """Refit calibration and decision thresholds.

    Fits temperatures, thresholds and abstention on dev sets; no other weights change. Needs the extra "train".
    """
    from models.training.derive import recalibrate

    settings_of(ctx)
    manifest = recalibrate(data, start, out, now=datetime.now(UTC), version=version or out.name, priors=priors)
    echo(f"wrote {manifest.version} to {out}")


@click.command(
    cls=ExampleCommand,
    examples="tocsin average --data ~/data --start ~/models/first 0.3 --start ~/models/second 0.7 --out ~/models/mean",
)
@click.option("--data", type=FOLDER, required=True, help="Folder with the dev splits of labelled data sets.")
@click.option(
    "--start",
    "starts",
    type=(FOLDER, click.FloatRange(min=0.0)),
    multiple=True,
    required=True,
    help="Folder of a version and its weight in the average; may be repeated.",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write the version to.")
@click.option("--version", help="Name of the version.  [default: the folder's name]")
@click.pass_context
def average(ctx: click.Context, /, data: Path, starts: tuple[tuple[Path, float], ...], out: Path, version: str | None) -> None:
    """Average the weights of several versions.

    The versions must have the same architecture, such as two checkpoints of one run. Needs the extra "train".
    """
    from models.training.derive import average as run

    settings_of(ctx)
    if not sum(share for _, share in starts):
        raise click.BadParameter("at least one weight must be greater than 0", param_hint="--start")
    manifest = run(data, starts, out, now=datetime.now(UTC), version=version or out.name)
    echo(f"wrote {manifest.version} to {out}")


TASKS = ("sentiment", "company", "topic", "risk", "materiality", "entities")
GENRES = ("news", "social", "filing")
BESIDE = "../shared/data"


@click.command(
    cls=ExampleCommand,
    examples="""
    tocsin evaluate --data phrases.test.jsonl.gz --task sentiment
    tocsin evaluate --data posts.jsonl --task sentiment --genre social --json
    tocsin evaluate --data wire.test.jsonl.gz --task materiality
    tocsin evaluate --data sentences.jsonl --task entities --json
    tocsin evaluate --data titles.test.jsonl.gz --task topic --train titles.train.jsonl.gz --epochs 2
    """,
)
@click.option("--data", type=click.Path(exists=True, dir_okay=False), required=True, help="JSONL file (also .gz) of labelled rows.")
@click.option("--task", type=click.Choice(TASKS), required=True, help="Task to measure.")
@click.option(
    "--train",
    type=click.Path(exists=True, dir_okay=False),
    help="JSONL file on which a new head and a copy of the encoder are fine-tuned first.",
)
@click.option("--genre", type=click.Choice(GENRES), default="news", show_default=True, help="Genre of rows that have none.")
@click.option("--epochs", type=click.IntRange(1, 100), help="With --train: number of epochs, with early stopping.  [default: 3]")
@click.option("--lr", type=click.FloatRange(0, min_open=True), help="With --train: peak learning rate.  [default: 8e-5]")
@click.option("--seed", type=int, help="Random seed.  [default: 13]")
@click.option("--limit-s", type=click.FloatRange(0, min_open=True), help="With --train: maximum fine-tuning time in seconds.")
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
    """Evaluate the model on a labelled file.

    The figures have 95% bootstrap intervals. Each row is a JSON object with text and label or labels, and optionally entity or
    aspect, genre and lang; for entities, with tokens and BIO tags. Files annotated under our labelling guide (with topics, materiality,
    companies and risks) fit every task but entities. Invalid rows are counted and reported with their line numbers.

    With --train, any labels are allowed. This measures how well the encoder learns them.
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
        console.print(f"[yellow]skipped[/yellow] {escape(line)}", soft_wrap=True)
    if as_json:
        print_json(found)
    else:
        _show(found)


def ours(classifier: Classifier) -> TransformerClassifier:
    """The classifier as one of our networks. Raises ModelError if it is not one."""
    from models.inference.transformer import TransformerClassifier

    if not isinstance(classifier, TransformerClassifier):
        raise ModelError(
            f"model {classifier.version} is not a network trained by Tocsin; "
            'set `model` to "shipped" or to a version written by `tocsin train`'
        )
    return classifier


def _show(found: Evaluation) -> None:
    left_out = f", {found.bad_rows} rows skipped" if found.bad_rows else ""
    results.print(f"{found.data}: {found.n} rows{left_out}, {found.task} ({found.label_space}) by {found.model}, {found.seconds:.1f} s")
    table = table_of("", "accuracy", "macro F1", "micro F1", "weighted F1", "ECE", "rows")
    table.add_row("all", *_figures(found))
    for language, part in found.by_language.items():
        table.add_row(escape(language), *_figures(part))
    if found.mapped is not None:
        table.add_row("mapped to Tocsin's topics", *_figures(found.mapped))
    results.print(table)
    if found.details:
        names = list(found.details["all"])
        details = table_of("", *(name.replace("_", " ") for name in names))
        for group, metrics in found.details.items():
            details.add_row(escape(group), *(f"{metrics[name]:.3f}" for name in names))
        results.print(details)
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
@click.option(
    "--data", type=click.Path(path_type=Path), help=f"Folder with sentiment/, topic/, ner/ of SET.test.jsonl.gz.  [default: {BESIDE}]"
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("docs"), show_default=True, help="Output folder.")
@click.option(
    "--cache", type=click.Path(path_type=Path), default=Path(".cache/evaluate"), show_default=True, help="Folder of intermediate results."
)
@click.option("--only", default="", help="Test sets to evaluate, separated by commas.  [default: all]")
@click.option(
    "--baselines",
    default="tfidf",
    show_default=True,
    help="Baselines that are trained on the same rows, separated by commas: tfidf, textcnn.",
)
@click.option("--fine-tune", default="", help="Sets on which a copy is also fine-tuned, separated by commas.")
@click.option("--epochs", type=click.IntRange(1, 100), help="Number of epochs of each fine-tuning.")
@click.option("--noise", type=click.IntRange(0), default=300, show_default=True, help="Number of rows per file for the noise test.")
@click.option("--render", is_flag=True, help="Render the card again from the figures in OUT without a new evaluation.")
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
    """Evaluate the model on all test files and write the model card.

    Writes model-card.md with its figures and a diagram. An interrupted run continues where it stopped. Needs the extra "train".
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
            raise NotFound(f"{folder}: no such folder; specify the labelled data sets with --data FOLDER")
        classifier = ours(wiring.make_classifier(settings))
        options = FineTuneOptions() if epochs is None else FineTuneOptions(epochs=epochs)
        wanted = ScoreboardPlan(_names(baselines), _names(fine_tune), noise, only=_names(only), options=options)
        paths = write_card(collect_results(classifier, folder_of(settings), folder, cache, wanted), out)
    for path in paths:
        echo(str(path))


def folder_of(settings: Settings) -> Path:
    """The configured version folder, for the size of its files."""
    from models.registry.manifest import shipped

    if settings.model == "champion":
        versions = wiring.make_versions(settings)
        return versions.folder(versions.champion())
    return shipped() if settings.model == "shipped" else Path(settings.model).expanduser()


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


COMMANDS = (train, calibrate, average, evaluate, model_card)
