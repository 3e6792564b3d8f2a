"""Real servers for the tests; where one cannot be had, a test that asks for it is skipped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import pytest

from bench.servers import ROOT, ClickHouseServer, Kafka, Unavailable

__all__ = ["ROOT", "ClickHouseServer", "Kafka", "made"]

ServerT = TypeVar("ServerT", Kafka, ClickHouseServer)


def made(kind: type[ServerT], folder: Path) -> ServerT:
    """A server in `folder`, not started. A missing one skips the test, with the reason; under CI=true that is a failure."""
    try:
        return kind(folder)
    except Unavailable as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"under CI=true this must not be skipped: {error}")
        pytest.skip(str(error))
