"""Fixtures of the fault tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.conftest import library_leftovers, what_stays
from tests.helpers.servers import Kafka
from tests.helpers.worker import Installation

__all__ = ["library_leftovers", "what_stays"]


@pytest.fixture(params=["tansu", "kafka"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Installation:
    """An installation on each broker that Tocsin runs on."""
    if request.param == "tansu":
        return Installation(request.getfixturevalue("tansu").address, tmp_path)
    return Installation(request.getfixturevalue("kafka_server").bootstrap, tmp_path)


@pytest.fixture
def on_kafka(kafka_server: Kafka, tmp_path: Path) -> Installation:
    """An installation on Kafka, for tests that do not depend on the broker."""
    return Installation(kafka_server.bootstrap, tmp_path)
