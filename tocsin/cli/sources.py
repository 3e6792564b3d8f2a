"""Command `sources`: the catalogue of public sources, and OPML files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from rich.markup import escape

from core.errors import InvalidInput, StoreError, UserError
from core.log import mask
from tocsin.cli.accounts import WHO
from tocsin.cli.common import (
    ExampleCommand,
    ExampleGroup,
    console,
    existing_store,
    opened_store,
    person,
    plain,
    print_json,
    results,
    settings_of,
)

if TYPE_CHECKING:
    from core.settings import Settings
    from ingest.crawl.catalogue import CatalogueSource
    from ingest.crawl.opml import Opml, OpmlFeed, SkippedOutline
    from ingest.crawl.sources import Source
    from storage.store import Store
    from tocsin.services.feed_service import StoredFeedService

CATALOGUE_INTERVAL_S = 600.0
"""Seconds between visits to a source added from the catalogue: official sources publish a few times a day."""
_EXAMPLES = """
    tocsin sources catalogue --language zh
    tocsin sources catalogue --add us_fed_press --add cn_nbs_releases
    tocsin sources import --opml reader.opml --check
    tocsin sources export --opml feeds.opml
    """


@click.group(cls=ExampleGroup, examples=_EXAMPLES)
def sources() -> None:
    """List public sources, add them, and exchange feeds with feed readers as OPML.

    Added feeds are stored as if they had been added on the page Sources. With the embedded store, stop `tocsin up` first, or add them
    on that page.
    """


@sources.command(cls=ExampleCommand, examples="\n".join(_EXAMPLES.strip().splitlines()[:2]) + "\ntocsin sources catalogue --json")
@click.option("--language", type=click.Choice(["zh", "en"]), help="Only sources in this language.")
@click.option("--add", "keys", metavar="KEY", multiple=True, help="Add this source for the crawler to visit; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@WHO
@click.pass_context
def catalogue(ctx: click.Context, language: str | None, keys: Sequence[str], as_json: bool, actor: str | None) -> None:
    """List public finance sources, or add some of them.

    The catalogue has official statistics, central banks, exchanges, regulators, ministries and news agencies. None of them is crawled
    until it is added. The addresses could not be tried when the catalogue was written; the notes on terms are reminders, so read each
    publisher's own terms. Sources of the kind "page" have no known feed and cannot be added.
    """
    from ingest.crawl import catalogue as shipped

    if keys:
        if language:
            raise InvalidInput("--language is for listing; with --add, specify keys only")
        _add_from_catalogue(ctx, [shipped.catalogue_source(key) for key in dict.fromkeys(keys)], person(actor), as_json)
        return
    found = [each for each in shipped.catalogue() if language in (None, each.language)]
    console.print(escape(shipped.UNTRIED), soft_wrap=True)
    if as_json:
        for each in found:
            print_json({**msgspec.structs.asdict(each), "enabled": False, "tried": False})
        return
    for each in found:
        results.print(escape(f"{each.key}: {each.title} · {each.kind}, {each.language}, {each.country}, {each.category}"), soft_wrap=True)
        results.print(escape(f"  {each.url}"), soft_wrap=True)
        results.print(escape(f"  terms: {each.terms}"), soft_wrap=True)
    feeds = sum(each.is_feed for each in found)
    console.print(
        f"{len(found)} sources, {feeds} of them feeds that `--add KEY` can add; none is crawled until it is added", soft_wrap=True
    )


@sources.command("export", cls=ExampleCommand, examples="tocsin sources export --opml feeds.opml\ntocsin sources export --opml -")
@click.option("--opml", type=click.Path(dir_okay=False, allow_dash=True), required=True, help="File to write; - for stdout.")
@click.pass_context
def export(ctx: click.Context, opml: str) -> None:
    """Write the configured feeds as OPML 2.0.

    These are the feeds of the sources file and those added on the dashboard or the command line. Addresses with a user name or password
    are left out and listed. Addresses with a query are written and listed, because a query may contain a key.
    """
    from core.files import write_atomically
    from ingest.crawl.opml import has_login, write_opml
    from ingest.crawl.sources import added_sources

    settings = settings_of(ctx)
    found = _given(settings)
    with existing_store(settings) as store:
        bodies = {feed.name: feed.body.encode() for feed in store.feeds.all()} if store else {}
    added = added_sources(found, bodies)
    if overridden := len(bodies) - len(added):
        console.print(f"{overridden} added feeds are left out: invalid, or the sources file has the same name or address")
    found = [*found, *added]
    kept = [source for source in found if not has_login(source.url)]
    for source in found:
        if source not in kept:
            console.print(f"left out: {escape(plain(source.name))}: its address has a user name or password", soft_wrap=True)
        elif "?" in source.url:
            console.print(f"check before you share the file: {escape(plain(source.name))}: its address has a query", soft_wrap=True)
    content = write_opml(kept, datetime.now(UTC))
    if opml == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    else:
        try:
            write_atomically(Path(opml), content)
        except OSError as error:
            raise InvalidInput(f"{opml}: cannot be written ({error.strerror or error})") from error
    console.print(f"{len(kept)} feeds written, {len(found) - len(kept)} left out")


@sources.command(
    "import", cls=ExampleCommand, examples="tocsin sources import --opml reader.opml --check\ntocsin sources import --opml reader.opml"
)
@click.option("--opml", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to read.")
@click.option("--check", is_flag=True, help="Only show what would be added.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@WHO
@click.pass_context
def import_(ctx: click.Context, opml: Path, check: bool, as_json: bool, actor: str | None) -> None:
    """Add the feeds of an OPML file.

    Feeds whose address is known are skipped as duplicates; outlines that are no feeds are skipped as unsupported. Each is listed with its
    line. A feed whose name is empty or taken gets a name with its host. Nothing is fetched. The exit status is 1 if a feed was refused.
    """
    from ingest.crawl.opml import read_opml

    try:
        data = opml.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{opml}: cannot be read ({error.strerror or error})") from error
    read_opml(data, str(opml), {})  # errors of the file come before those of the store
    with opened_store(ctx) as (settings, store):
        service = _service(settings, store)
        found = read_opml(data, str(opml), service.known())
        refused = [] if check else _add_all(service, found.feeds, person(actor))
    _report(found, refused, check, as_json)
    if refused:
        ctx.exit(1)


def _add_from_catalogue(ctx: click.Context, wanted: Sequence[CatalogueSource], actor: str, as_json: bool) -> None:
    from dashboard.services import NewFeed
    from ingest.crawl.catalogue import UNTRIED

    for each in wanted:
        if not each.is_feed:
            raise InvalidInput(f"{each.key}: {each.url} is a page without a known feed, which the crawler cannot read; nothing was added")
    with opened_store(ctx) as (settings, store):
        service = _service(settings, store)
        for each in wanted:
            service.add(
                NewFeed(
                    name=each.title,
                    url=each.url,
                    language=each.language,
                    timezone=each.timezone,
                    interval_s=CATALOGUE_INTERVAL_S,
                ),
                actor,
            )
            if as_json:
                print_json({"added": each.key, "name": each.title, "url": each.url})
            else:
                results.print(escape(f"{each.key}: added as {each.title!r}, {each.url}"), soft_wrap=True)
    console.print(escape(UNTRIED), soft_wrap=True)


def _add_all(service: StoredFeedService, feeds: Sequence[OpmlFeed], actor: str) -> list[SkippedOutline]:
    """Add each feed. Returns those that were refused. Raises StoreError, which states how many were added."""
    from dashboard.services import NewFeed
    from ingest.crawl.opml import SkippedOutline

    refused: list[SkippedOutline] = []
    for position, feed in enumerate(feeds):
        row = msgspec.structs.asdict(feed.source)
        try:
            service.add(NewFeed(**{field: row[field] for field in NewFeed.__struct_fields__}), actor)
        except UserError as error:
            refused.append(SkippedOutline(feed.line, feed.source.name, str(error)))
        except StoreError:
            console.print(f"{position - len(refused)} of {len(feeds)} feeds were added before the error; import the file again to continue")
            raise
    return refused


def _report(found: Opml, refused: Sequence[SkippedOutline], check: bool, as_json: bool) -> None:
    failed = {(each.line, each.name) for each in refused}
    added = [feed for feed in found.feeds if (feed.line, feed.source.name) not in failed]
    groups = {"duplicate": found.duplicates, "unsupported": found.unsupported, "refused": refused}
    if as_json:
        rows = [{"line": feed.line, "name": feed.source.name, "url": feed.source.url, "renamed_from": feed.old_name} for feed in added]
        skipped = {name: [each._asdict() for each in group] for name, group in groups.items()}
        print_json({"check": check, "added": rows, **skipped, "repaired": found.repaired})
        return
    verb = "would be added" if check else "added"
    for feed in added:
        renamed = "" if feed.old_name is None else f" (renamed from {feed.old_name!r})"
        results.print(escape(plain(f"line {feed.line}: {verb}: {feed.source.name}{renamed}: {mask(feed.source.url)}")), soft_wrap=True)
    for name, group in groups.items():
        for each in group:
            results.print(escape(plain(f"line {each.line}: {name}: {each.name or '(no name)'}: {each.reason}")), soft_wrap=True)
    if found.repaired:
        results.print("characters that XML does not allow, such as a bare &, were repaired")
    counts = f"{len(found.duplicates)} duplicates, {len(found.unsupported)} unsupported, {len(refused)} refused"
    results.print(f"{len(added)} {verb}, {counts}", soft_wrap=True)


def _given(settings: Settings) -> list[Source]:
    """The sources of the file named by the settings. Raises SettingsError."""
    from ingest.crawl.sources import load_sources

    return load_sources(Path(settings.sources).expanduser()) if settings.sources else []


def _service(settings: Settings, store: Store) -> StoredFeedService:
    from actions.account_service import COMMAND_LINE
    from tocsin.services.feed_service import StoredFeedService

    return StoredFeedService(settings, store, lambda: datetime.now(UTC), given=_given(settings), address=COMMAND_LINE)


COMMANDS = (sources,)
