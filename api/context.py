"""What a handler of the API receives: the request, what the process can do besides reading the store, and pagination cursors."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import msgspec

from api.event_stream import EventFeed
from api.problems import ApiProblem, invalid_field
from api.requests import ArticleIn, RequestModel
from api.types import Classified, PushResult, RuleOut, WatchlistOut
from domain.alert_lifecycle import Inhibition
from domain.tokens import Token
from storage.store import Store

QueryT = TypeVar("QueryT", bound=RequestModel)
BodyT = TypeVar("BodyT")
PositionT = TypeVar("PositionT")

CLOCK_SKEW = timedelta(minutes=1)
"""How far the clock of a client may be ahead of the server's."""

Classify = Callable[[Sequence[str]], Classified]
"""Classifies texts, one item each. Raises ModelError, also while the model is being loaded or is busy."""

Push = Callable[[Sequence[ArticleIn], datetime, str], list[PushResult]]
"""Stores articles durably before it returns; the datetime is the time of the request. One result per article, in order.

The last argument is the name of the token: only the same token can revise an article, and only under the same source.

Raises BrokerError or StoreError if none was stored, or if that is not known: the same articles may be pushed again.
"""


@dataclass(frozen=True, slots=True)
class Backends:
    """What the serving process can do besides reading the store. None: not available in this process.

    Attributes:
        rules, watchlists: those in force; raise SettingsError if their file is invalid
        inhibit: which alerts suppress which others
        per_minute: requests per minute and token
        streams: maximum number of open event streams
    """

    classify: Classify | None = None
    push: Push | None = None
    rules: Callable[[], Sequence[RuleOut]] | None = None
    watchlists: Callable[[], Sequence[WatchlistOut]] | None = None
    inhibit: tuple[Inhibition, ...] = ()
    per_minute: int = 600
    streams: int = 50


@dataclass(frozen=True, slots=True)
class RequestContext(Generic[QueryT, BodyT]):
    """One authorised request.

    Attributes:
        now: time of the request
        path: its path; path_parameters: the values of the {placeholders} in the path of the endpoint
        token_is_valid: whether the token is still valid; raises StoreError
    """

    store: Store
    backends: Backends
    feed: EventFeed
    now: datetime
    token: Token
    path: str
    path_parameters: Mapping[str, str]
    query: QueryT
    body: BodyT
    last_event_id: str
    token_is_valid: Callable[[], bool]

    def check_as_of(self, as_of: datetime | None) -> datetime | None:
        """Returns `as_of` unchanged. Raises ApiProblem if it is in the future."""
        if as_of is not None and as_of > self.now + CLOCK_SKEW:
            raise invalid_field("as_of", f"{as_of.isoformat()} is in the future")
        return as_of

    def cursor_position(self, cursor: str, kind: type[PositionT]) -> PositionT | None:
        """The position where the previous page ended, None for the first page. Raises ApiProblem."""
        return decode_cursor(cursor, self.query, self.path, kind)

    def cursor_after(self, position: tuple[str | int, ...]) -> str:
        """The cursor of the page that begins after `position`."""
        return encode_cursor(self.query, self.path, position)


def encode_cursor(query: RequestModel, path: str, position: Sequence[str | int]) -> str:
    """The opaque cursor of the page that begins after `position`: the position, and a digest of the query that it belongs to."""
    return base64.urlsafe_b64encode(msgspec.json.encode([_query_digest(query, path), position])).decode().rstrip("=")


def decode_cursor(cursor: str, query: RequestModel, path: str, kind: type[PositionT]) -> PositionT | None:
    """The position in a cursor.

    Args:
        cursor: as encode_cursor made it; "" for the first page
        query, path: of the request that carries it
        kind: type of the position

    Returns:
        The position, None for "".

    Raises:
        ApiProblem: the cursor is malformed, or belongs to another query
    """
    if not cursor:
        return None
    try:
        data = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        digest, position = msgspec.json.decode(data, type=tuple[str, kind])  # type: ignore[valid-type]
    except (ValueError, binascii.Error, msgspec.DecodeError, RecursionError) as error:
        raise _malformed_cursor() from error
    if digest != _query_digest(query, path):
        raise invalid_field("cursor", "belongs to another query: all pages need the same parameters")
    return position


def _query_digest(query: RequestModel, path: str) -> str:
    """Digest of all parameters that must stay the same from page to page; the page size may change."""
    fixed = {name: getattr(query, name) for name in query.__struct_fields__ if name not in ("cursor", "limit", "text")}
    return hashlib.blake2b(msgspec.json.encode([path, fixed], order="sorted"), digest_size=6).hexdigest()


def _malformed_cursor() -> ApiProblem:
    return invalid_field("cursor", "is malformed: pass `next` of the previous page unchanged")
