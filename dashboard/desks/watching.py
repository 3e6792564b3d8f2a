"""What the page of watchlists asks of the process that serves it: the dashboard matches nothing, it shows and hands on their text."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple, Protocol

from dashboard.desks.ruling import InForce
from spine.store import ArticleRow


class Matched(NamedTuple):
    """What one watchlist would have matched. articles, negative: how many; newest: the last ones, each with what it has of the list"""

    name: str
    title_en: str
    title_zh: str
    articles: int
    negative: int
    newest: tuple[tuple[ArticleRow, str], ...]


class Tried(NamedTuple):
    """What watchlists would have matched of the articles of [since, until); since is later than was asked for where time ran out."""

    since: datetime
    until: datetime
    read: int
    lists: tuple[Matched, ...]


class Watching(Protocol):
    """Thread safe. Every method raises StoreError."""

    def in_force(self) -> InForce:
        """The text of the watchlists that are followed now."""

    def attempt(self, text: str) -> Tried:
        """What these watchlists would have matched in the last 7 days. Raises SettingsError with a line for each mistake."""

    def save(self, text: str, base: str, who: str) -> InForce:
        """Follow these watchlists in place of those of id `base`. Raises SettingsError for mistakes, and where others are by now."""
