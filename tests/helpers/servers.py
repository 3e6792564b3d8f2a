"""Real servers for the tests; if one is not installed, tests that need it are skipped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pytest

from bench.servers import ROOT, ClickHouseServer, Kafka, Unavailable

__all__ = ["ROOT", "ClickHouseServer", "Kafka", "made", "or_skip"]

ServerT = TypeVar("ServerT", Kafka, ClickHouseServer)


@contextmanager
def or_skip() -> Iterator[None]:
    """A server that is missing skips the test, with the reason; under CI=true that is a failure."""
    try:
        yield
    except Unavailable as error:
        unavailable(str(error))


def unavailable(reason: str) -> NoReturn:
    """What cannot be had skips the test, with the reason; under CI=true that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"under CI=true this must not be skipped: {reason}")
    pytest.skip(reason)


def made(kind: type[ServerT], folder: Path, **options: Any) -> ServerT:
    """A server in `folder`, not started; options: as its class has them; see or_skip."""
    with or_skip():
        return kind(folder, **options)
