"""What a viewer looks at, as the page's address and the browser say it. Anything unknown falls back to the default."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from spine.fulltext import tidy
from spine.records import Genre, Language
from spine.store import Criteria, Cursor
from spine.store.labels import SENTIMENTS
from spine.taxonomy import BY_KEY

Theme = Literal["light", "dark"]
States = Literal["open", "resolved", "all"]
STATES: tuple[States, ...] = ("open", "resolved", "all")
MAX_TOPICS = 8
"""Lines that one chart shows at most: there are no more colours that everybody can tell apart."""


class Range(NamedTuple):
    """A choice of the time-range picker.

    width_s: of a window, so that a chart has 20 to 30 of them: fewer say little, more are noise
    ttl_s: how long its aggregates may be shared before they are read again; well below what can be seen in its chart
    """

    key: str
    span: timedelta
    width_s: int
    ttl_s: float


RANGES: dict[str, Range] = {
    item.key: item
    for item in (
        Range("1h", timedelta(hours=1), 180, 2.0),
        Range("6h", timedelta(hours=6), 900, 2.0),
        Range("24h", timedelta(hours=24), 3_600, 2.0),
        Range("7d", timedelta(days=7), 21_600, 5.0),
        Range("30d", timedelta(days=30), 86_400, 15.0),
    )
}
DEFAULT_RANGE = "24h"
ANYTHING = Criteria()
FILTERS = {"q": "words"} | {name: name for name in ("language", "source", "genre", "topic", "company", "sentiment")}
"""What an address calls the filters of articles, and what they are."""
_ONE_OF = {"language": get_args(Language), "genre": get_args(Genre), "sentiment": SENTIMENTS}
_CURSOR = re.compile(r"(\d{1,10})-([0-9A-Za-z]{0,64})")


@dataclass(frozen=True, slots=True)
class View:
    """What is shown and how.

    topics: the chosen ones, in order; empty: the busiest ones
    zone: the browser's time zone by name, "UTC" where it is not known
    state: of the alerts in the inbox
    find, before: which articles are looked for, and after which one the page begins
    """

    range: str = DEFAULT_RANGE
    topics: tuple[str, ...] = ()
    language: Language = "en"
    theme: Theme = "light"
    zone: str = "UTC"
    state: States = "open"
    find: Criteria = ANYTHING
    before: Cursor | None = None

    @property
    def tz(self) -> tzinfo:
        """The zone itself."""
        return zone_of(self.zone)


def zone_of(name: str) -> tzinfo:
    """The time zone of this name; UTC for a name that is none."""
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):  # an absolute path, a folder, ".." and the like
        return UTC


def parse(data: Any, theme: Any = "light") -> View:
    """The view that a browser sent. It is never trusted: what does not fit becomes the default."""
    fields: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    range_key, zone, chosen = fields.get("range"), fields.get("zone"), fields.get("topics")
    filters = fields.get("find")
    topics = [key for key in chosen if isinstance(key, str) and key in BY_KEY] if isinstance(chosen, list | tuple) else []
    return View(
        range=range_key if isinstance(range_key, str) and range_key in RANGES else DEFAULT_RANGE,
        topics=tuple(dict.fromkeys(topics))[:MAX_TOPICS],
        state=next((state for state in STATES if state == fields.get("state")), "open"),
        language="zh" if fields.get("lang") == "zh" else "en",
        theme="dark" if theme == "dark" else "light",
        zone=zone if isinstance(zone, str) and len(zone) <= 64 and zone_of(zone) is not UTC else "UTC",
        find=criteria(filters),
        before=cursor(filters.get("before")) if isinstance(filters, Mapping) else None,
    )


def criteria(data: Any) -> Criteria:
    """The filters that a browser sent, by their names in an address."""
    if not isinstance(data, Mapping):
        return Criteria()
    given = {name: tidy(data[key]) for key, name in FILTERS.items() if isinstance(data.get(key), str)}
    return Criteria(**{name: value for name, value in given.items() if value in _ONE_OF.get(name, (value,))})


def cursor(text: Any) -> Cursor | None:
    """Where a page begins, as an address says it: "1795348800-6f1e..."; None: at the newest article."""
    found = _CURSOR.fullmatch(text) if isinstance(text, str) else None
    return Cursor(int(found[1]), found[2]) if found else None


def bounds(chosen: Range, now: datetime) -> tuple[datetime, datetime]:
    """[since, until) of a range at `now`, aligned to its windows: `now` lies in the last one, which is not over yet."""
    until = datetime.fromtimestamp((int(now.timestamp()) // chosen.width_s + 1) * chosen.width_s, tz=UTC)
    return until - chosen.span, until


def starts(since: datetime, until: datetime, width_s: int) -> list[datetime]:
    """Where the windows of [since, until) begin."""
    return [since + timedelta(seconds=n * width_s) for n in range(int((until - since).total_seconds()) // width_s)]
