"""Where a page ended, as an opaque word: the place of its last item, and a mark of the question that it belongs to."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from dashboard.api.asked import Asked
from dashboard.api.problems import Refused, invalid

PlaceT = TypeVar("PlaceT")


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
