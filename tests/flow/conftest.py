"""What the flows share."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def library_leftovers() -> Iterator[None]:
    """kafka-python may leave a socket to a broker that is gone for the collector; collected here, it is no other test's warning."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
