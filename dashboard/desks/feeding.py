"""What the page of sources asks of the process that serves it: to look at a feed, to add and to remove one. No page fetches anything."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, Protocol

import msgspec


class Problem(NamedTuple):
    """What is odd about a feed. key: of the words, dashboard/words/sources.py, without "feed.problem."; values: that they name"""

    key: str
    values: Mapping[str, object] = {}


class Entry(NamedTuple):
    """An entry as a feed has it. published: None: it has no time that can be believed"""

    title: str
    published: datetime | None


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What stands at an address. Texts are the feed's own: strangers wrote them.

    url: where it came from in the end; kind: such as "rss20"
    language: "zh", "en", or "" where it has both; entries: how many; newest: the newest of them
    size_bytes, took_s: of the answer; interval_s: how often it should be visited, by its own past
    """

    url: str
    title: str
    kind: str
    language: str
    entries: int
    newest: tuple[Entry, ...]
    problems: tuple[Problem, ...]
    size_bytes: int
    took_s: float
    interval_s: float


class NewFeed(msgspec.Struct, frozen=True, kw_only=True):
    """A feed as somebody wants it: the fields of a [[sources]] table that the page asks for."""

    name: str
    url: str
    language: str = ""
    genre: str = "news"
    interval_s: float = 120.0
    full_text: str = "never"


class Feeding(Protocol):
    """Thread safe."""

    def look(self, url: str, who: str) -> Looked:
        """Fetch and read it as the crawler would, and store nothing. Raises SettingsError or SourceError for what it cannot be."""

    def add(self, feed: NewFeed, who: str) -> None:
        """Have the crawler take it up. Raises SettingsError for what it cannot be, StoreError."""

    def remove(self, name: str, who: str) -> None:
        """Have the crawler leave it. Raises SettingsError where nobody added it here, StoreError."""
