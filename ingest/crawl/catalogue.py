"""The catalogue of public finance sources that ships with Tocsin. Its addresses could not be tried when it was written."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from core.errors import NotFound, SettingsError
from core.toml_files import parse_toml, rows_of

UNTRIED = "These addresses could not be tried when the catalogue was written: test each one before you rely on it."
"""Shown with every listing of the catalogue."""
Category = Literal["statistics", "central_bank", "exchange", "regulator", "ministry", "agency", "international"]
_Text = Annotated[str, Meta(min_length=1)]


class CatalogueSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One public source.

    Attributes:
        key: its unique name in the catalogue
        title: in its language; the name of the source once it is added
        kind: format of the feed, or page for a list page without a known feed
        country: ISO 3166, or EU or INT
        timezone: zone of dates that state none
        terms: note on the publisher's terms of use
    """

    key: Annotated[str, Meta(pattern="^[a-z0-9_]+$")]
    title: _Text
    category: Category
    kind: Literal["rss", "atom", "page"]
    url: _Text
    language: Literal["zh", "en"]
    country: Annotated[str, Meta(pattern="^[A-Z]{2,3}$")]
    timezone: _Text
    terms: _Text

    @property
    def is_feed(self) -> bool:
        """Whether the crawler can read it."""
        return self.kind != "page"


@cache
def catalogue() -> tuple[CatalogueSource, ...]:
    """All sources of the catalogue, in its order."""
    file = resources.files("ingest.crawl").joinpath("catalogue.toml")
    table = parse_toml(file.read_text(encoding="utf-8"), "the catalogue")
    notes = table.pop("terms")
    try:
        return tuple(
            msgspec.convert(row | {"terms": notes[row["terms"]]}, CatalogueSource) for row in rows_of(table, "the catalogue", "source")
        )
    except (KeyError, msgspec.ValidationError) as error:
        raise SettingsError(f"the catalogue is invalid: {error}") from error


def catalogue_source(key: str) -> CatalogueSource:
    """The source with this key. Raises NotFound, which names similar keys."""
    from difflib import get_close_matches

    sources = {each.key: each for each in catalogue()}
    if key in sources:
        return sources[key]
    similar = get_close_matches(key, sources, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(similar)}?" if similar else "; `tocsin sources catalogue` lists all keys"
    raise NotFound(f"{key[:100]!r} is not in the catalogue{hint}")
