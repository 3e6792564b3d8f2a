"""Commands about the model and a text: classify, train, evaluate."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich.markup import escape

from spine.errors import SettingsError
from spine.series import series_name as name_of
from spine.series import topic_series
from tocsin import wiring
from tocsin.cli.common import ExampleCommand, console, print_json, results, settings_of, table_of


@click.command(
    cls=ExampleCommand,
    examples="""
    tocsin classify "Acme misses bond payment, shares halted"
    tocsin classify --json "某地产公司债券违约，股票停牌"
    cat headlines.txt | tocsin classify --json -
    """,
)
@click.argument("texts", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def classify(ctx: click.Context, texts: tuple[str, ...], as_json: bool) -> None:
    """Say the sentiment and the topics of each text; "-" reads one a line from stdin."""
    from models.classifier import Document

    lines = [line.strip() for text in texts for line in (sys.stdin if text == "-" else [text]) if line.strip()]
    gazetteer = wiring.make_gazetteer(settings_of(ctx))
    found = [gazetteer.mentions(line) for line in lines]
    with console.status("loading the model"):
        classifier = wiring.make_classifier(settings_of(ctx))
    predictions = classifier.classify(
        [
            Document(title=line, text="", language=language_of(line), companies=tuple(mention.surface for mention in mentions))
            for line, mentions in zip(lines, found, strict=True)
        ]
    )
    table = table_of("text", "sentiment", "topics", "companies")
    for line, mentions, prediction in zip(lines, found, predictions, strict=True):
        towards = {mention.company: sentiment for mention, sentiment in zip(mentions, prediction.companies, strict=True)}
        if as_json:
            print_json(
                {
                    "text": line,
                    "sentiment": prediction.sentiment._asdict(),
                    "topics": dict(prediction.topics),
                    "companies": {company: sentiment._asdict() for company, sentiment in towards.items()},
                    "model": classifier.version,
                }
            )
            continue
        topics = ", ".join(f"{name_of(topic_series(key), language_of(line))} {p:.0%}" for key, p in prediction.topics.items())
        companies = ", ".join(f"{company} {label_of(sentiment)}" for company, sentiment in towards.items())
        table.add_row(escape(line), label_of(prediction.sentiment), topics, companies)
    if not as_json:
        results.print(table)


def language_of(text: str) -> str:
    """ "zh" or "en"."""
    from ingest.text import language

    return language(text)


def label_of(sentiment: tuple[float, float, float]) -> str:
    """The likeliest class with its probability."""
    best = max(range(3), key=lambda position: sentiment[position])
    return f"{('negative', 'neutral', 'positive')[best]} {sentiment[best]:.0%}"


@click.command(cls=ExampleCommand, examples="tocsin train --data ~/data --out ~/models/mine --epochs 2")
@click.option(
    "--data", type=click.Path(exists=True, file_okay=False), required=True, help="Folder with sentiment/ and topic/ of labelled sets."
)
@click.option("--out", type=click.Path(file_okay=False), required=True, help="Folder to write the version to.")
@click.option("--epochs", type=click.IntRange(1, 100), help="Passes over the data.")
@click.option("--seed", type=int, help="Of everything random.")
@click.pass_context
def train(ctx: click.Context, data: str, out: str, epochs: int | None, seed: int | None) -> None:
    """Fine-tune the bilingual model on labelled sets and write a version that `model` can be set to. Needs the extra "train"."""
    from models.train import Options
    from models.train import train as run

    settings_of(ctx)
    default = Options()
    options = replace(default, epochs=epochs or default.epochs, seed=default.seed if seed is None else seed)
    manifest = run(Path(data), Path(out), now=datetime.now(UTC), options=options)
    click.echo(f"wrote {manifest.version} to {out}")


@click.command(cls=ExampleCommand, examples="tocsin evaluate --data fpb.test.jsonl.gz --task sentiment --json")
@click.option("--data", type=click.Path(exists=True, dir_okay=False), required=True, help="JSONL (.gz) with text and label or labels.")
@click.option("--task", type=click.Choice(["sentiment", "topic"]), required=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def evaluate(ctx: click.Context, data: str, task: str, as_json: bool) -> None:
    """Measure the model on a labelled file."""
    from models.evaluate import evaluate_file

    with console.status("scoring"):
        report = evaluate_file(wiring.make_classifier(settings_of(ctx)), Path(data), task)
    if not report.n:
        raise SettingsError(f"{data} has no labelled rows for {task}")
    if as_json:
        print_json(report)
    else:
        for name, value in msgspec.to_builtins(report).items():
            click.echo(f"{name}: {value}")


COMMANDS = (classify, train, evaluate)
