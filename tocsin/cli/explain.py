"""Command `explain`: the words behind a judgement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.text import Text

from core.errors import ModelError, SettingsError
from tocsin.cli.common import ExampleCommand, console, print_json, results, settings_of
from tocsin.cli.text import language_of
from tocsin.runtime import wiring

if TYPE_CHECKING:
    from models.inference.explain import Explanation

STRONG = 0.5
"""From this share of the heaviest word's weight a word is told as strong."""
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
@click.option("--company", default="", help="Explain the sentiment towards this company of the text.")
@click.option(
    "--head", type=click.Choice(["sentiment", "topics", "risks"]), default="sentiment", show_default=True, help="What is explained."
)
@click.option("--class", "label", help="The class to explain, such as negative or credit; by default the likeliest.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def explain(ctx: click.Context, text: str, company: str, head: str, label: str | None, as_json: bool) -> None:
    """Show which words of a text speak for a class (+) and which against it (-), by integrated gradients."""
    from models.inference.explain import explain as run
    from models.inference.transformer import TransformerClassifier

    if not text.strip():
        raise SettingsError("TEXT is empty: there is nothing to explain")
    with console.status("loading the model"):
        classifier = wiring.make_classifier(settings_of(ctx))
    if not isinstance(classifier, TransformerClassifier):
        raise ModelError(f"the model {classifier.version} is no network of ours; only those can be explained: set model to one")
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


def highlighted(found: Explanation) -> Text:
    """The text with its words marked: green and + for the class, red and - against it, twice for strong ones.

    The signs say all that the colours say.
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


COMMANDS = (explain,)
