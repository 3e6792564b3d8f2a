"""Fixtures of the API's tests."""

from __future__ import annotations

import pytest

from storage.store import Store


@pytest.fixture(scope="module")
def store(embedded_store: Store) -> Store:
    """An embedded store: the API does not depend on the adapter."""
    return embedded_store
