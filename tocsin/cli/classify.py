"""Commands `classify`, `explain` and `companies`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.text import Text

from core.errors import BadRecord, InvalidInput, ModelError
from core.series import series_name as name_of
from core.series import topic_series
from tocsin import wiring
from tocsin.cli.common import ExampleCommand, ExampleGroup, console, echo, print_json, results, settings_of, table_of

if TYPE_CHECKING:
    from ingest.companies.gazetteer import Gazetteer
    from models.inference.classifier import Classifier
    from models.inference.explain import PredictionExplanation


@click.command(
    cls=ExampleCommand,
    examples="""
    tocsin classify "Acme misses bond payment, shares halted"
    tocsin classify --json "某地产公司债券违约，股票停牌"
    cat headlines.txt | tocsin classify --json -
    """,
)
@click.argument("texts", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.pass_context
def classify(ctx: click.Context, texts: tuple[str, ...], as_json: bool) -> None:
    """Classify the sentiment and topics of texts; "-" reads them from stdin.

    Texts on stdin are read one per line.
    """
    from models.inference.classifier import Document

    lines = texts_given(texts)
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
    entities = entities_of(classifier, gazetteer, lines)
    table = table_of("text", "sentiment", "topics", "companies")
    for line, mentions, prediction, named in zip(lines, found, predictions, entities, strict=True):
        towards = {mention.company: sentiment for mention, sentiment in zip(mentions, prediction.companies, strict=True)}
        if as_json:
            print_json(
                {
                    "text": line,
                    "sentiment": prediction.sentiment._asdict(),
                    "topics": dict(prediction.topics),
                    "risks": dict(prediction.risks),
                    "companies": {company: sentiment._asdict() for company, sentiment in towards.items()},
                    "roles": {mention.company: mention.role for mention in mentions},
                    "materiality": prediction.materiality._asdict() if prediction.materiality else None,
                    "entities": named,
                    "model": classifier.version,
                }
            )
            continue
        topics = ", ".join(f"{name_of(topic_series(key), language_of(line))} {p:.0%}" for key, p in prediction.topics.items())
        roles = {mention.company: "" if mention.role == "subject" else f" ({mention.role})" for mention in mentions}
        companies = ", ".join(f"{company}{roles[company]} {label_of(sentiment)}" for company, sentiment in towards.items())
        table.add_row(escape(line), label_of(prediction.sentiment), topics, companies)
    if not as_json:
        results.print(table)


_UNDECODED = re.compile("[\udc80-\udcff]")


def texts_given(texts: Sequence[str]) -> list[str]:
    """The texts of the command line, and for "-" the lines of stdin, in whatever encoding they are. Raises InvalidInput."""
    lines = []
    for text in texts:
        parts = decode_text(sys.stdin.buffer.read(), "stdin").splitlines() if text == "-" else [text_given(text)]
        lines += [line for part in parts if (line := part.strip(" \t\r\n\ufeff"))]
    return lines


def text_given(text: str) -> str:
    """A text of the command line, whose bytes Python decodes as UTF-8 whatever they are. Raises InvalidInput."""
    return text if text.isascii() or not _UNDECODED.search(text) else decode_text(os.fsencode(text), "TEXT")


def decode_text(data: bytes, what: str) -> str:
    """Decode a text that a person gave. what: its name in messages. Raises InvalidInput where no encoding fits."""
    from ingest.text.clean_text import decode

    try:
        return decode(data)
    except BadRecord as error:
        raise InvalidInput(f"{what}: {error.reason}; UTF-8, UTF-16, GB18030, Big5 and windows-1252 are recognized") from error


def entities_of(classifier: Classifier, gazetteer: Gazetteer, lines: list[str]) -> list[list[dict[str, Any]]]:
    """Entities in each line, organisations linked to companies; empty if the model has no tag head."""
    from models.heads import TAGS
    from models.inference.entities import tag_spans
    from models.inference.transformer import TransformerClassifier

    if not isinstance(classifier, TransformerClassifier) or TAGS not in classifier.network.shape.outputs:
        return [[] for _ in lines]
    found = []
    for line, spans in zip(lines, tag_spans(classifier, lines), strict=True):
        rows = []
        for span in spans:
            text = line[span.start : span.end]
            company = gazetteer.link(text) if span.kind == "ORG" else None
            rows.append({**span._asdict(), "text": text, "company": company.key if company else None})
        found.append(rows)
    return found


def language_of(text: str) -> str:
    """ "zh" or "en"."""
    from ingest.text.clean_text import language

    return language(text)


def label_of(sentiment: tuple[float, float, float]) -> str:
    """The most likely class with its probability."""
    best = max(range(3), key=lambda position: sentiment[position])
    return f"{('negative', 'neutral', 'positive')[best]} {sentiment[best]:.0%}"


STRONG = 0.5
"""Words with at least this fraction of the greatest weight are marked as strong."""
FAINT = 0.15


@click.command(
    cls=ExampleCommand,
    examples="""
    tocsin explain "Acme misses bond payment, shares halted"
    tocsin explain --company 远舟控股 "远舟控股公司债券未能如期偿付，构成违约"
    tocsin explain --head topics --class credit --json "Acme misses bond payment"
    """,
)
@click.argument("text")
@click.option("--company", default="", help="Company towards which the sentiment is explained.")
@click.option(
    "--head", type=click.Choice(["sentiment", "topics", "risks"]), default="sentiment", show_default=True, help="Model head to explain."
)
@click.option("--class", "label", help="Class to explain, such as negative or credit.  [default: the most likely]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def explain(ctx: click.Context, text: str, company: str, head: str, label: str | None, as_json: bool) -> None:
    """Show which words support a class and which contradict it.

    Words that support the class are marked with +, words that contradict it with -. The weights are integrated gradients.
    """
    from models.inference.explain import explain as run
    from models.inference.transformer import TransformerClassifier

    text = text_given(text)
    if not text.strip():
        raise InvalidInput("TEXT is empty")
    with console.status("loading the model"):
        classifier = wiring.make_classifier(settings_of(ctx))
    if not isinstance(classifier, TransformerClassifier):
        raise ModelError(f"the model {classifier.version} does not support explanations, because it is not a network trained by Tocsin")
    found = run(classifier, text, "", language_of(text), company, head=head, label=label)
    if as_json:
        print_json(
            {
                "text": found.text,
                "head": found.head,
                "class": found.label,
                "probability": found.probability,
                "gap": found.gap,
                "words": [word._asdict() for word in found.words],
                "model": classifier.version,
            }
        )
        return
    results.print(Text(f"{found.label} {found.probability:.0%}", style="bold"), Text(f"({found.head})"))
    results.print(highlighted(found), soft_wrap=True)


def highlighted(found: PredictionExplanation) -> Text:
    """The text with its words marked: green and + for the class, red and - against it, doubled for strong ones.

    The signs carry the same information as the colours.
    """
    shown, at = Text(), 0
    most = max(abs(word.weight) for word in found.words)
    for word in found.words:
        shown.append(found.text[at : word.start])
        at = word.end
        share = abs(word.weight) / most if most else 0.0
        if share < FAINT:
            shown.append(word.text)
            continue
        sign, colour = ("+", "green") if word.weight > 0 else ("-", "red")
        strong = share >= STRONG
        shown.append(f"[{sign * (2 if strong else 1)}{word.text}]", style=f"bold {colour}" if strong else colour)
    shown.append(found.text[at:], style="dim")
    return shown


@click.group(
    cls=ExampleGroup, examples="tocsin companies build --symbols ~/symbols --out companies.toml\ntocsin companies link 'Apple Inc.'"
)
def companies() -> None:
    """Build the list of recognized companies, and look up names."""


@companies.command(cls=ExampleCommand, examples="tocsin companies build --symbols ~/symbols --out companies.toml")
@click.option(
    "--symbols",
    type=click.Path(exists=True, file_okay=False),
    required=True,
    help="Folder of CSV lists with columns such as code, exchange, name.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    required=True,
    help="TOML file to write, for the setting `companies`. With the suffix .tsv.gz, the file of the shipped lists.",
)
@click.pass_context
def build(ctx: click.Context, symbols: str, out: str) -> None:
    """Build a list of companies from lists of symbols.

    Merges them with the current companies into a file for the setting `companies`.

    Names that are everyday words are marked as weak. They count only where the context speaks for the company.
    """
    from ingest.companies.company_files import LISTINGS_SUFFIX, curated_companies, to_listings, to_toml
    from ingest.companies.symbol_lists import build as run
    from ingest.companies.symbol_lists import further_names, read_listings
    from models.inference.segmentation import everyday_words
    from models.registry.manifest import shipped

    for_shipping = out.endswith(LISTINGS_SUFFIX)
    known = {company.key: company for company in curated_companies()} if for_shipping else wiring.make_gazetteer(settings_of(ctx)).companies
    built = run([*(further_names() if for_shipping else ()), *read_listings(Path(symbols))], known.values(), everyday_words(shipped()))
    if for_shipping:
        Path(out).write_bytes(to_listings(company for company in built if company.key not in known))
    else:
        Path(out).write_text(to_toml(built), encoding="utf-8")
    echo(f"wrote {len(built)} companies to {out}: {len(built) - len(known)} new")


@companies.command(cls=ExampleCommand, examples="tocsin companies link 'Apple Inc.'\ntocsin companies link --json 贵州茅台")
@click.argument("names", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.pass_context
def link(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """Look up the company of each name, ignoring legal form, case and character width."""
    gazetteer = wiring.make_gazetteer(settings_of(ctx))
    for name in map(text_given, names):
        found = gazetteer.link(name)
        if as_json:
            print_json({"name": name, "company": found.key if found else None})
        else:
            echo(f"{name}: {f'{found.key} {found.name_en}' if found else 'no unique company'}")


COMMANDS = (classify, explain, companies)
