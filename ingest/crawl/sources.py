"""The sources to crawl: [[sources]] tables of a TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from core.errors import SettingsError
from core.records import Genre
from core.toml_files import read_rows
from ingest.text.urls import canonical

FullText = Literal["never", "always", "when_short"]


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One feed that is read again and again."""

    name: Annotated[str, Meta(min_length=1, max_length=200, description="what articles call it; each source has its own")]
    url: Annotated[str, Meta(min_length=1, description="address of the feed, http or https")]
    kind: Annotated[Literal["auto", "rss", "atom"], Meta(description="what the feed is; auto: look")] = "auto"
    genre: Annotated[Genre, Meta(description="news, social or filing")] = "news"
    language: Annotated[Literal["", "zh", "en"], Meta(description="zh or en; empty: look at each article")] = ""
    interval_s: Annotated[float, Meta(gt=0, le=604_800, description="seconds from one visit to the next")] = 120.0
    timezone: Annotated[str, Meta(description="zone of times that name none, such as Asia/Shanghai")] = "UTC"
    full_text: Annotated[
        FullText, Meta(description="whether to read the article's page: never, always, or when the feed's text is short")
    ] = "never"
    max_items: Annotated[int, Meta(ge=1, le=10_000, description="entries read from one visit at most")] = 200
    allow_private: Annotated[bool, Meta(description="let the source lie on a loopback or private address")] = False

    @property
    def zone(self) -> ZoneInfo:
        """The zone of times that name none."""
        return ZoneInfo(self.timezone)


def load_sources(path: Path) -> list[Source]:
    """The sources of a TOML file. Raises SettingsError naming the file, the source and the field."""
    rows = read_rows(path, "sources", "sources")
    sources = [source_of(row, f"sources {path}: [[sources]] number {number}") for number, row in enumerate(rows, 1)]
    names: set[str] = set()
    for source in sources:
        if source.name in names:
            raise SettingsError(f"sources {path}: two sources are named {source.name!r}; give each its own name")
        names.add(source.name)
    return sources


def source_of(row: Any, where: str) -> Source:
    """The source of a table. where: what it is called in messages. Raises SettingsError naming the field."""
    if not isinstance(row, dict):
        raise SettingsError(f"{where}: is not a table")
    if isinstance(row.get("name"), str) and row["name"]:
        where += f" ({row['name']})"
    hints = get_type_hints(Source, include_extras=True)
    for name, value in row.items():
        if name not in hints:
            raise SettingsError(f"{where}: there is no field {name!r}; the fields are {', '.join(hints)}")
        try:
            msgspec.convert(value, hints[name])
        except msgspec.ValidationError as error:
            raise SettingsError(f"{where}: {name}: {error}") from error
    try:
        source = msgspec.convert(row, Source)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{where}: {error}") from error
    if not canonical(source.url):
        raise SettingsError(f"{where}: url: {source.url!r} is not an http or https address")
    try:
        ZoneInfo(source.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SettingsError(f"{where}: timezone: {source.timezone!r} is not a zone such as 'Asia/Shanghai' or 'UTC'") from error
    return source
