"""Command `watchlists`: list, check and try watchlists."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
from rich.markup import escape

from core.errors import InvalidInput
from core.series import is_negative
from tocsin import wiring
from tocsin.cli.classify import language_of
from tocsin.cli.common import ExampleCommand, ExampleGroup, console, existing_store, print_json, results, settings_of

if TYPE_CHECKING:
    from core.settings import Settings
    from storage.store import ArticleRow
    from stream.watchlists.matcher import Hit, Subject
    from stream.watchlists.watchlists import Watchlist

SHOWN = 5
"""Newest articles shown per watchlist."""
_FILE = click.argument("file", type=click.Path(dir_okay=False), required=False)


@click.group(
    cls=ExampleGroup,
    examples="""
    tocsin watchlists check watchlists.toml
    tocsin watchlists try watchlists.toml --text "某地产公司债券违约，股票停牌"
    tocsin watchlists try watchlists.toml --days 7
    """,
)
def watchlists() -> None:
    """List, check and try watchlists.

    A watchlist follows companies, topics and keywords as one series. Workers load a changed file when they are restarted, and
    watchlists saved on the dashboard within a minute.
    """


@watchlists.command("list", cls=ExampleCommand, examples="tocsin watchlists list\ntocsin watchlists list --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List the active watchlists.

    These are the watchlists saved on the dashboard or, if there are none, the watchlists of the settings.
    """
    settings = settings_of(ctx)
    with existing_store(settings) as store:
        found = wiring.active_watchlists(settings, store) if store else wiring.make_watchlists(settings)
    _show(found, as_json)


@watchlists.command(cls=ExampleCommand, examples="tocsin watchlists check watchlists.toml\ntocsin watchlists check --json")
@_FILE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.pass_context
def check(ctx: click.Context, file: str | None, as_json: bool) -> None:
    """Validate a file and show its watchlists.

    FILE defaults to the setting `watchlists`. If FILE has errors, all of them are listed and the exit status is 2.
    """
    _show(_load(settings_of(ctx), file), as_json)


def _show(found: Sequence[Watchlist], as_json: bool) -> None:
    for each in found:
        any_of, all_of, none_of = ([term.text for term in each.of_sign(sign)] for sign in ("", "+", "!"))
        if as_json:
            names = {"name": each.name, "title_en": each.title_en, "title_zh": each.title_zh}
            print_json({**names, "companies": each.companies, "topics": each.topics, "keywords": [*any_of, *all_of, *none_of]})
            continue
        results.print(escape(f"{each.name}: {each.title_en} · {each.title_zh}"), soft_wrap=True)
        for field, values in (
            ("companies", each.companies),
            ("topics", each.topics),
            ("any of", any_of),
            ("and", all_of),
            ("not", none_of),
        ):
            if values:
                results.print(f"  {field:10}{escape(', '.join(values))}", soft_wrap=True)


@watchlists.command(
    name="try",
    cls=ExampleCommand,
    examples="""
    tocsin watchlists try watchlists.toml --text "Acme misses bond payment, shares halted"
    tocsin watchlists try watchlists.toml --text "某地产公司债券违约，股票停牌" --json
    tocsin watchlists try --days 30
    """,
)
@_FILE
@click.option("--text", "texts", multiple=True, help="Text to match; may be repeated.  [default: match stored articles]")
@click.option(
    "--days",
    type=click.FloatRange(0, 366, min_open=True),
    default=7.0,
    show_default=True,
    help="Number of days of stored articles to match.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.pass_context
def try_(ctx: click.Context, file: str | None, texts: tuple[str, ...], days: float, as_json: bool) -> None:
    """Match watchlists against texts or stored articles.

    FILE defaults to the setting `watchlists`. Without --text, the articles that were stored recently are matched.
    """
    settings = settings_of(ctx)
    loaded = _load(settings, file)
    if texts:
        _try_texts(settings, loaded, texts, as_json)
    else:
        _try_store(settings, loaded, days, as_json)


def _load(settings: Settings, file: str | None) -> tuple[Watchlist, ...]:
    loaded = wiring.make_watchlists(settings, Path(file) if file else None)
    if not loaded:
        raise InvalidInput("no watchlists: specify FILE or set `watchlists`")
    return loaded


def _try_texts(settings: Settings, loaded: Sequence[Watchlist], texts: Sequence[str], as_json: bool) -> None:
    from stream.watchlists.matcher import Matcher

    found = Matcher(loaded).match(_subjects(settings, texts, topics=any(each.topics for each in loaded)))
    for text, hits in zip(texts, found, strict=True):
        if as_json:
            print_json({"text": text, "watchlists": [hit._asdict() for hit in hits]})
            continue
        results.print(escape(text), soft_wrap=True)
        for hit in hits:
            results.print(f"  {hit.name}: {escape(hit.reason)}", soft_wrap=True)
        if not hits:
            results.print("  no match")


def _subjects(settings: Settings, texts: Sequence[str], *, topics: bool) -> list[Subject]:
    """Texts with their companies and, if needed, with topics from the model."""
    from models.inference.classifier import Document
    from stream.watchlists.matcher import Subject

    gazetteer = wiring.make_gazetteer(settings)
    companies = [[mention.company for mention in gazetteer.mentions(text)] for text in texts]
    of: list[list[str]] = [[] for _ in texts]
    if topics:
        with console.status("loading the model"):
            classifier = wiring.make_classifier(settings)
        of = [list(it.topics) for it in classifier.classify([Document(text, "", language_of(text)) for text in texts])]
    return [Subject(text, "", *keys) for text, *keys in zip(texts, companies, of, strict=True)]


class _Matched(NamedTuple):
    row: ArticleRow
    hit: Hit


def _try_store(settings: Settings, loaded: Sequence[Watchlist], days: float, as_json: bool) -> None:
    from stream.watchlists.matcher import Matcher
    from stream.watchlists.watchlist_backfill import matched_articles

    now = datetime.now(UTC)
    by_name: dict[str, list[_Matched]] = {each.name: [] for each in loaded}
    read = 0
    with contextlib.closing(wiring.make_store(settings, migrate=False)) as store, console.status("reading the stored articles"):
        for rows, found in matched_articles(store, Matcher(loaded), now - timedelta(days=days), now):
            read += len(rows)
            for row, hits in zip(rows, found, strict=True):
                for hit in hits:
                    by_name[hit.name].append(_Matched(row, hit))
    for name, own in by_name.items():
        negative = sum(is_negative(row.p_negative, row.p_neutral, row.p_positive) for row, _ in own)
        if as_json:
            print_json({"name": name, "days": days, "read": read, "articles": len(own), "negative": negative, "newest": _newest(own)})
            continue
        counted = f"{len(own)} of {read} articles in the last {days:g} days, {negative} of them negative"
        results.print(f"{name}: matched {counted}", soft_wrap=True)
        for row, hit in reversed(own[-SHOWN:]):
            line = f"{row.published_at:%Y-%m-%d %H:%M} {row.source}: {row.title or row.text[:120]} ({hit.reason})"
            results.print(f"  {escape(line)}", soft_wrap=True)


def _newest(own: Sequence[_Matched]) -> list[dict[str, object]]:
    return [
        {"id": row.id, "title": row.title, "source": row.source, "published_at": row.published_at, "why": hit._asdict()}
        for row, hit in reversed(own[-SHOWN:])
    ]


COMMANDS = (watchlists,)
