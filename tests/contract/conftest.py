"""Stores for contract tests, over each ClickHouse client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from storage.clickhouse import Embedded, Server
from storage.store import Store
from tests.helpers.servers import ClickHouseServer


@pytest.fixture(scope="module", params=["chdb", "server"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store over either client, its tables made."""
    if request.param == "chdb":
        made = Store(Embedded(tmp_path_factory.mktemp("chdb") / "store"))
    else:
        server: ClickHouseServer = request.getfixturevalue("clickhouse_server")
        made = Store(Server(f"{server.address}/contract"))
    made.migrate()
    yield made
    made.close()


@pytest.fixture(scope="module")
def embedded_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store in this process, its tables made, for what is not about SQL."""
    made = Store(Embedded(tmp_path_factory.mktemp("chdb") / "store"))
    made.migrate()
    yield made
    made.close()
