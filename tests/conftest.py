"""Servers that several tests share: each is started once, when the first test asks for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

from tests.flow.worker_tools import Receiver
from tests.servers import ClickHouseServer, Kafka, made
from tocsin.runtime.embedded_broker import EmbeddedBroker

settings.register_profile("long", max_examples=5_000, deadline=None)
STARTS_SERVERS = {"browser", "contract", "faults", "flow"}
"""Folders whose tests use servers and processes of their own."""
LAST = 0.85
AGAIN = pytest.mark.flaky(reruns=1, only_rerun=["^TimeoutException", "^TimeoutError: not within"])
"""Processes on a busy machine may come late once. What is wrong, lost or doubled fails at once, and pure tests have no second try."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start servers are spread among the pure ones, and are over before the end.

    Side by side they would fight for two cores, and the longest would be waited for by a core that has nothing left to do.
    """
    files = {item.path: None for item in items}
    heavy = [path for path in files if path.parent.name in STARTS_SERVERS]
    light = [path for path in files if path.parent.name not in STARTS_SERVERS]
    place = {path: LAST * number / len(heavy) for number, path in enumerate(heavy)}
    place |= {path: number / len(light) for number, path in enumerate(light)}
    items.sort(key=lambda item: place[item.path])
    for item in items:
        if item.path.parent.name in STARTS_SERVERS:
            item.add_marker(AGAIN)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What was done again is told in full, passed or not: it is to be mended."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"done again: {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)


@pytest.fixture(autouse=True)
def log_of_its_own() -> Iterator[None]:
    """What a test logs goes to its own captured stderr: a handler on it must not outlive it."""
    root = logging.getLogger()
    before = root.handlers[:]
    yield
    root.handlers[:] = before


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A real Apache Kafka; `.bootstrap` is its address."""
    server = made(Kafka, tmp_path_factory.mktemp("kafka"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    """A real ClickHouse server; `.address` + "/database" is a store address."""
    server = made(ClickHouseServer, tmp_path_factory.mktemp("clickhouse"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def tansu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """The embedded broker; `.address` is its bootstrap address."""
    broker = EmbeddedBroker(tmp_path_factory.mktemp("tansu") / "broker.log")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An endpoint of webhooks that answers as told."""
    made = Receiver()
    yield made
    made.close()
