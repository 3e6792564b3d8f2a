"""Commands `companies build` and `companies link`: the list of companies to look for, made from lists of symbols."""

from __future__ import annotations

from pathlib import Path

import click

from tocsin.cli.common import ExampleCommand, ExampleGroup, print_json, settings_of
from tocsin.runtime import wiring


@click.group(
    cls=ExampleGroup, examples="tocsin companies build --symbols ~/symbols --out companies.toml\ntocsin companies link 'Apple Inc.'"
)
def companies() -> None:
    """The companies that news is searched for."""


@companies.command(cls=ExampleCommand, examples="tocsin companies build --symbols ~/symbols --out companies.toml")
@click.option(
    "--symbols",
    type=click.Path(exists=True, file_okay=False),
    required=True,
    help="Folder of CSV lists: code, exchange, name ...",
)
@click.option("--out", type=click.Path(dir_okay=False), required=True, help="TOML file to write; set `companies` to it.")
@click.pass_context
def build(ctx: click.Context, symbols: str, out: str) -> None:
    """Write the companies of these lists, together with the present ones, as a file for the setting `companies`.

    Names that are everyday words are marked weak: they count only where the model finds an organisation.
    """
    from ingest.companies.symbol_lists import build as run
    from ingest.companies.symbol_lists import read_listings, to_toml
    from models.inference.everyday_words import everyday_words
    from models.registry.files import shipped

    known = wiring.make_gazetteer(settings_of(ctx)).companies
    built = run(read_listings(Path(symbols)), known.values(), everyday_words(shipped()))
    Path(out).write_text(to_toml(built), encoding="utf-8")
    click.echo(f"wrote {len(built)} companies to {out}: {len(built) - len(known)} new")


@companies.command(cls=ExampleCommand, examples="tocsin companies link 'Apple Inc.'\ntocsin companies link --json 贵州茅台")
@click.argument("names", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def link(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """Say which company each name means, whatever its legal form, case and width."""
    gazetteer = wiring.make_gazetteer(settings_of(ctx))
    for name in names:
        found = gazetteer.link(name)
        if as_json:
            print_json({"name": name, "company": found.key if found else None})
        else:
            click.echo(f"{name}: {f'{found.key} {found.name_en}' if found else 'no company, or more than one'}")


COMMANDS = (companies,)
