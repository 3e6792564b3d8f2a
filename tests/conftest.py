"""Fixtures that all tests share. Servers are started once, when the first test asks for one."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.helpers.servers import ROOT, ClickHouseServer, Kafka, made
from tests.helpers.webhook_server import WebhookServer
from tocsin.runtime.embedded_broker import EmbeddedBroker

settings.register_profile("long", max_examples=5_000, deadline=None)
TESTS = Path(__file__).parent
STARTS_SERVERS = {"browser", "contract", "faults", "flow"}
"""Folders whose tests start servers and processes."""
LAST = 0.85
"""Where in the run, as a share of its files, the last test file that starts servers is placed."""
RETRY = pytest.mark.flaky(reruns=1, only_rerun=["^TimeoutException", "^TimeoutError: not within"])
"""One retry after a time-out: a process may start late on a busy machine. Wrong, lost or duplicated data fails at once, and pure tests are
never retried."""


def pytest_configure() -> None:
    """Set what torch, the model and Java read when they start, here and in processes that tests start.

    Several processes share the cores: threads of torch that wait without sleeping cost two thirds of its time, and Kafka runs for minutes,
    too short for what Java's second compiler would cost.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
    os.environ["XDG_CACHE_HOME"] = str(ROOT / ".cache" / "tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the files that start servers among the pure ones, and finish them before the end of the run.

    If they ran at the same time, they would compete for two cores, and the run would end with one worker waiting for the longest.
    """
    files = {item.path: None for item in items}
    heavy = [path for path in files if _starts_servers(path)]
    light = [path for path in files if not _starts_servers(path)]
    place = {path: LAST * number / len(heavy) for number, path in enumerate(heavy)}
    place |= {path: number / len(light) for number, path in enumerate(light)}
    items.sort(key=lambda item: place[item.path])
    for item in items:
        if _starts_servers(item.path):
            item.add_marker(RETRY)


def _starts_servers(path: Path) -> bool:
    return path.relative_to(TESTS).parts[0] in STARTS_SERVERS


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the full report of every test that was retried, so that its cause gets fixed."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"retried: {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)


@pytest.fixture(autouse=True)
def fresh_log_handlers() -> Iterator[None]:
    """Remove log handlers after each test: they write to the captured stderr of that test, which is closed then."""
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
def receiver() -> Iterator[WebhookServer]:
    """A webhook endpoint whose responses the test sets."""
    made = WebhookServer()
    yield made
    made.close()
