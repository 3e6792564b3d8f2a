"""One request as a handler sees it.

Where a page ended, as an opaque word: the place of its last item, and a mark of the question that it belongs to.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import msgspec

from api.backends import Backends
from api.event_feed import Feed
from api.problems import Refused, invalid
from api.requests import Asked
from domain.tokens import Token
from storage.store import Store

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
        return read(cursor, self.query, self.path, kind)

    def next(self, place: tuple[str | int, ...]) -> str:
        """The cursor of the page behind `place`."""
        return make(self.query, self.path, place)


def _mark(query: Asked, path: str) -> str:
    """Of all that must stay the same from page to page; how long a page is may change."""
    asked = {name: getattr(query, name) for name in query.__struct_fields__ if name not in ("cursor", "limit", "text")}
    return hashlib.blake2b(msgspec.json.encode([path, asked], order="sorted"), digest_size=6).hexdigest()


def make(query: Asked, path: str, place: Sequence[str | int]) -> str:
    """The cursor of the page behind `place`."""
    return base64.urlsafe_b64encode(msgspec.json.encode([_mark(query, path), place])).decode().rstrip("=")


def read(cursor: str, query: Asked, path: str, kind: type[PlaceT]) -> PlaceT | None:
    """The place that a cursor means, None for "". Raises Refused."""
    if not cursor:
        return None
    try:
        data = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        mark, place = msgspec.json.decode(data, type=tuple[str, kind])  # type: ignore[valid-type]
    except (ValueError, binascii.Error, msgspec.DecodeError, RecursionError) as error:
        raise _unknown() from error
    if mark != _mark(query, path):
        raise invalid("cursor", "belongs to another question: the parameters of all pages must be the same")
    return place


def _unknown() -> Refused:
    return invalid("cursor", "is none of ours: give `next` of the page before as it was")
