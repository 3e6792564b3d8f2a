"""Commands about a text: classify."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from core.series import series_name as name_of
from core.series import topic_series
from tocsin.cli.common import ExampleCommand, console, print_json, results, settings_of, table_of
from tocsin.runtime import wiring

if TYPE_CHECKING:
    from ingest.companies.gazetteer import Gazetteer
    from models.inference.classifier import Classifier


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
    from models.inference.classifier import Document

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
                    "entities": named,
                    "model": classifier.version,
                }
            )
            continue
        topics = ", ".join(f"{name_of(topic_series(key), language_of(line))} {p:.0%}" for key, p in prediction.topics.items())
        companies = ", ".join(f"{company} {label_of(sentiment)}" for company, sentiment in towards.items())
        table.add_row(escape(line), label_of(prediction.sentiment), topics, companies)
    if not as_json:
        results.print(table)


def entities_of(classifier: Classifier, gazetteer: Gazetteer, lines: list[str]) -> list[list[dict[str, Any]]]:
    """What the tag head finds in each line, organisations with the company they mean; nothing where the model has no such head."""
    from models.inference.entities import tag_spans
    from models.inference.heads import TAGS
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
    """The likeliest class with its probability."""
    best = max(range(3), key=lambda position: sentiment[position])
    return f"{('negative', 'neutral', 'positive')[best]} {sentiment[best]:.0%}"


COMMANDS = (classify,)
