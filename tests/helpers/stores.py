"""Stores for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.clickhouse import Embedded
from storage.store import Store


@contextmanager
def migrated_store(folder: Path) -> Iterator[Store]:
    """An embedded store below `folder` with empty tables; closed at the end."""
    store = Store(Embedded(folder / "store"))
    store.migrate()
    yield store
    store.close()
