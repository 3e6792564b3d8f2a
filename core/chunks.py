"""Split a sequence into parts that fit into one query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
CHUNK_SIZE = 2_000
"""Ids in one query: clickhouse-driver writes them into the query's text, of which old servers read at most 256 kB."""


def chunks(items: Sequence[T], size: int = CHUNK_SIZE) -> Iterator[Sequence[T]]:
    """Consecutive parts of `items`, each with at most `size` items; none for an empty sequence."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
