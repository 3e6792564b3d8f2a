"""One request as a handler sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from dashboard.api import cursors
from dashboard.api.asked import Asked
from dashboard.api.backends import Backends
from dashboard.api.feed import Feed
from dashboard.api.problems import invalid
from spine.store import Store
from spine.tokens import Token

QueryT = TypeVar("QueryT", bound=Asked)
BodyT = TypeVar("BodyT")
PlaceT = TypeVar("PlaceT")

SLACK = timedelta(minutes=1)
"""A client's clock may be ahead of ours."""


@dataclass(frozen=True, slots=True)
class Call(Generic[QueryT, BodyT]):
    """One request that was let in.

    now: when it came; path, parts: its path, and what its {places} hold
    holds: whether its token still opens anything; raises StoreError
    """

    store: Store
    backends: Backends
    feed: Feed
    now: datetime
    token: Token
    path: str
    parts: Mapping[str, str]
    query: QueryT
    body: BodyT
    last_event_id: str
    holds: Callable[[], bool]

    def not_ahead(self, as_of: datetime | None) -> datetime | None:
        """`as_of` as it was given. Raises Refused for a time to come."""
        if as_of is not None and as_of > self.now + SLACK:
            raise invalid("as_of", f"{as_of.isoformat()} is still to come")
        return as_of

    def place(self, cursor: str, kind: type[PlaceT]) -> PlaceT | None:
        """Where the page before ended; None: there was none. Raises Refused."""
        return cursors.read(cursor, self.query, self.path, kind)

    def next(self, place: tuple[str | int, ...]) -> str:
        """The cursor of the page behind `place`."""
        return cursors.make(self.query, self.path, place)
