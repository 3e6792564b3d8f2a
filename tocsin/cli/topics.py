"""Command `topics`: user-defined topics, learned from a few examples or from a description."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from core.errors import InvalidInput, ModelError, NotFound, StoreError
from tocsin import wiring
from tocsin.cli.classify import decode_text
from tocsin.cli.common import ExampleCommand, ExampleGroup, console, echo, print_json, results, settings_of, table_of

if TYPE_CHECKING:
    from core.settings import Settings
    from models.inference.transformer import TransformerClassifier

STORED = 300
"""Most stored articles used as background, that is, as examples of other news."""


@click.group(
    cls=ExampleGroup,
    examples="""
    tocsin topics add rare_earths --name-en "Rare earths" --name-zh 稀土 --examples eight.txt
    tocsin topics add ageing --name-en "Ageing society" --name-zh 老龄化 --description "pensions, care homes, birth rates; 养老、生育"
    tocsin topics test rare_earths tomorrow.txt
    """,
)
def topics() -> None:
    """Manage user-defined topics.

    User-defined topics are added to the 21 built-in ones. Workers load them when they are restarted.
    """


@topics.command(
    cls=ExampleCommand,
    examples="""
    tocsin topics add rare_earths --name-en "Rare earths" --name-zh 稀土 --examples eight.txt
    tocsin topics add ageing --name-en "Ageing society" --name-zh 老龄化 --description "pensions, care homes; 养老、生育"
    """,
)
@click.argument("key")
@click.option("--name-en", required=True, help="Display name in English.")
@click.option("--name-zh", required=True, help="Display name in Chinese.")
@click.option(
    "--examples", type=click.Path(exists=True, dir_okay=False), help="File with about 8 example texts: JSONL with text, or one per line."
)
@click.option("--description", default="", help="Description of the topic; used if there are no examples.")
@click.pass_context
def add(ctx: click.Context, key: str, name_en: str, name_zh: str, examples: str | None, description: str) -> None:
    """Learn a topic from a few examples, or from its names and description. An existing topic with the same key is replaced."""
    from models.inference.own_topics import add as learn
    from models.inference.own_topics import background
    from models.inference.topic_files import OwnTopic, check_key

    if not examples and not description:
        raise InvalidInput("specify --examples FILE or --description TEXT")
    settings = settings_of(ctx)
    check_key(key)
    texts = tuple(texts_of(Path(examples))) if examples else ()
    topic = OwnTopic(key, name_en, name_zh, datetime.now(UTC), description, texts)
    with console.status("learning"):
        learn(ours(settings), wiring.topics_dir(settings), topic, background(stored_texts(settings)))
    how = f"{len(texts)} examples" if texts else "its description"
    echo(f"topic {key} learned from {how}; workers load it when they are restarted")


@topics.command(name="list", cls=ExampleCommand, examples="tocsin topics list --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.pass_context
def list_topics(ctx: click.Context, as_json: bool) -> None:
    """List user-defined topics."""
    from models.inference.topic_files import read_topics

    table = table_of("key", "English", "Chinese", "learned from", "model")
    for topic in read_topics(wiring.topics_dir(settings_of(ctx))):
        if as_json:
            print_json({"key": topic.key, "en": topic.name_en, "zh": topic.name_zh, "examples": len(topic.examples), "model": topic.model})
            continue
        how = f"{len(topic.examples)} examples" if topic.examples else "description"
        table.add_row(topic.key, escape(topic.name_en), escape(topic.name_zh), how, topic.model)
    if not as_json:
        results.print(table)


@topics.command(cls=ExampleCommand, examples="tocsin topics remove rare_earths")
@click.argument("key")
@click.pass_context
def remove(ctx: click.Context, key: str) -> None:
    """Remove a topic. Articles that are already stored keep it."""
    from models.inference.topic_files import remove_topic

    if not remove_topic(wiring.topics_dir(settings_of(ctx)), key):
        raise NotFound(f"no topic {key!r}; see `tocsin topics list`")
    echo(f"topic {key} removed; workers drop it when they are restarted")


@topics.command(cls=ExampleCommand, examples="tocsin topics test rare_earths tomorrow.txt --json")
@click.argument("key")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.pass_context
def test(ctx: click.Context, key: str, file: str, as_json: bool) -> None:
    """Show the probability of a topic for each text of a file.

    FILE is JSONL with the field text, or has one text per line. The topic applies from a probability of 50%.
    """
    settings = settings_of(ctx)
    with console.status("loading the model"):
        classifier = ours(settings)
    topic = next((topic for topic in classifier.extra_topics if topic.key == key), None)
    if topic is None:
        raise NotFound(f"no topic {key!r}; see `tocsin topics list`")
    texts = list(texts_of(Path(file)))
    table = table_of("probability", "text")
    for text, vector in zip(texts, classifier.vectors(texts), strict=True):
        probability = topic.probability(vector)
        if as_json:
            print_json({"text": text, "probability": probability, "applies": probability >= 0.5})
        else:
            table.add_row(f"{probability:.0%}", escape(text))
    if not as_json:
        results.print(table)


def ours(settings: Settings) -> TransformerClassifier:
    """The configured classifier. Raises ModelError if it is not one of our networks."""
    from models.inference.transformer import TransformerClassifier

    classifier = wiring.make_classifier(settings)
    if not isinstance(classifier, TransformerClassifier):
        raise ModelError(f"the model {classifier.version} cannot learn topics, because it is not a network trained by Tocsin")
    return classifier


def texts_of(path: Path) -> list[str]:
    """Read texts from a file: JSONL with text, or one per line. Raises InvalidInput."""
    try:
        lines = [line.strip() for line in decode_text(path.read_bytes(), str(path)).splitlines() if line.strip()]
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror or error})") from error
    texts = []
    for number, line in enumerate(lines, start=1):
        if not line.startswith("{"):
            texts.append(line)
            continue
        try:
            texts.append(str(json.loads(line)["text"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInput(f'{path}, line {number}: not a JSON object with "text"') from error
    if not texts:
        raise InvalidInput(f"{path}: contains no text")
    return texts


def stored_texts(settings: Settings) -> list[str]:
    """Titles and leads of the newest stored articles as background; none if the store cannot be opened."""
    from models.inference.encoding import compose

    if settings.store == "embedded" and not (Path(settings.data_dir).expanduser() / "store").is_dir():
        return []
    try:
        with contextlib.closing(wiring.make_store(settings, migrate=False)) as store:
            return [compose(row.title, row.text) for row in store.articles.latest(STORED)]
    except StoreError as error:
        console.print(f"learning without background articles: {escape(str(error))}")
        return []


COMMANDS = (topics,)
