"""What a viewer looks at, as the page's address and the browser say it. Anything unknown falls back to the default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from spine.records import Language
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


@dataclass(frozen=True, slots=True)
class View:
    """What is shown and how.

    topics: the chosen ones, in order; empty: the busiest ones
    zone: the browser's time zone by name, "UTC" where it is not known
    state: of the alerts in the inbox
    """

    range: str = DEFAULT_RANGE
    topics: tuple[str, ...] = ()
    language: Language = "en"
    theme: Theme = "light"
    zone: str = "UTC"
    state: States = "open"

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
    topics = [key for key in chosen if isinstance(key, str) and key in BY_KEY] if isinstance(chosen, list | tuple) else []
    return View(
        range=range_key if isinstance(range_key, str) and range_key in RANGES else DEFAULT_RANGE,
        topics=tuple(dict.fromkeys(topics))[:MAX_TOPICS],
        state=next((state for state in STATES if state == fields.get("state")), "open"),
        language="zh" if fields.get("lang") == "zh" else "en",
        theme="dark" if theme == "dark" else "light",
        zone=zone if isinstance(zone, str) and len(zone) <= 64 and zone_of(zone) is not UTC else "UTC",
    )


def bounds(chosen: Range, now: datetime) -> tuple[datetime, datetime]:
    """[since, until) of a range at `now`, aligned to its windows: `now` lies in the last one, which is not over yet."""
    until = datetime.fromtimestamp((int(now.timestamp()) // chosen.width_s + 1) * chosen.width_s, tz=UTC)
    return until - chosen.span, until
