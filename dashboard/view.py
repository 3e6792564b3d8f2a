"""What a viewer looks at, parsed from the address and the browser. Unknown values become the default."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any, Literal, TypeVar, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.records import Genre, Language
from core.series import is_series
from core.taxonomy import all_topics
from dashboard.time_ranges import DEFAULT_RANGE, range_of
from storage.search_terms import tidy
from storage.store import Criteria, SearchCursor
from storage.tables.labels import SENTIMENTS
from storage.tables.search import MATERIALITY_FILTERS

T = TypeVar("T")
Theme = Literal["light", "dark"]
Kind = Literal["topic", "company", "sector", "watchlist"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Kinds of series of the overview."""
Measure = Literal["negative", "volume", "tone"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
Colours = Literal["safe", "red-up"]
States = Literal["open", "resolved", "all"]
STATES: tuple[States, ...] = ("open", "resolved", "all")
MAX_TOPICS = 8
"""Maximum number of lines in a chart: there are no more colours that are easy to distinguish."""


ANYTHING = Criteria()
FILTERS = {"q": "words"} | {name: name for name in ("language", "source", "genre", "topic", "company", "sentiment", "materiality")}
"""Parameter of the address to field of Criteria."""
OPTIONS: Mapping[str, str] = {"kind": "topic", "by": "negative", "colours": "safe"}
"""Further parameters of the address and their defaults."""
_ONE_OF = {"language": get_args(Language), "genre": get_args(Genre), "sentiment": SENTIMENTS, "materiality": MATERIALITY_FILTERS}
_CURSOR = re.compile(r"(\d{1,10})-([0-9A-Za-z]{0,64})")


@dataclass(frozen=True, slots=True)
class View:
    """What is shown and how.

    Attributes:
        range: key of a preset or custom range; odd_range: the address had an invalid one.
        kind: kind of series of the overview; topics: keys of the selected ones, in order, () for the most active.
        by: measure that the biggest movers are sorted by.
        colours: "safe" is blue and vermillion; "red-up" is red for positive and green for negative news, as in Chinese markets.
        zone: name of the browser's time zone; "UTC" where it is unknown.
        state: state filter of the inbox.
        find, before: search filters, and the start of the page of results.
    """

    range: str = DEFAULT_RANGE
    topics: tuple[str, ...] = ()
    language: Language = "en"
    theme: Theme = "light"
    zone: str = "UTC"
    state: States = "open"
    find: Criteria = ANYTHING
    before: SearchCursor | None = None
    odd_range: bool = False
    kind: Kind = "topic"
    by: Measure = "negative"
    colours: Colours = "safe"

    @property
    def tz(self) -> tzinfo:
        """The time zone."""
        return zone_of(self.zone)


def zone_of(name: str) -> tzinfo:
    """The time zone of this name; UTC for an unknown name."""
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):  # an absolute path, a folder, ".." and the like
        return UTC


def parse(data: Any, theme: Any = "light") -> View:
    """The view in data from the browser, which is not trusted: invalid values become the default."""
    fields: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    range_key, zone, chosen = fields.get("range"), fields.get("zone"), fields.get("topics")
    chosen_range = range_of(range_key)
    filters = fields.get("find")
    kind = _one_of(KINDS, fields.get("kind"))
    topics = [key for key in chosen if isinstance(key, str) and _is_key(kind, key)] if isinstance(chosen, list | tuple) else []
    return View(
        range=chosen_range.key if chosen_range else DEFAULT_RANGE,
        odd_range=chosen_range is None and bool(range_key),
        topics=tuple(dict.fromkeys(topics))[:MAX_TOPICS],
        kind=kind,
        by=_one_of(MEASURES, fields.get("by")),
        colours="red-up" if fields.get("colours") == "red-up" else "safe",
        state=_one_of(STATES, fields.get("state")),
        language="zh" if fields.get("lang") == "zh" else "en",
        theme="dark" if theme == "dark" else "light",
        zone=zone if isinstance(zone, str) and len(zone) <= 64 and zone_of(zone) is not UTC else "UTC",
        find=criteria(filters),
        before=cursor(filters.get("before")) if isinstance(filters, Mapping) else None,
    )


def _one_of(choices: tuple[T, ...], given: Any) -> T:
    """The given choice if it is valid, else the first."""
    return next((choice for choice in choices if choice == given), choices[0])


def _is_key(kind: Kind, key: str) -> bool:
    return any(topic.key == key for topic in all_topics()) if kind == "topic" else is_series(f"{kind}:{key}")


def criteria(data: Any) -> Criteria:
    """The filters in data from the browser, by parameter of the address."""
    if not isinstance(data, Mapping):
        return Criteria()
    given = {name: tidy(data[key]) for key, name in FILTERS.items() if isinstance(data.get(key), str)}
    return Criteria(**{name: value for name, value in given.items() if value in _ONE_OF.get(name, (value,))})


def cursor(text: Any) -> SearchCursor | None:
    """The start of a page of results in the address: "1795348800-6f1e..."; None for the first page."""
    found = _CURSOR.fullmatch(text) if isinstance(text, str) else None
    return SearchCursor(int(found[1]), found[2]) if found else None
