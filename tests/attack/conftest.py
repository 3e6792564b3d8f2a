from __future__ import annotations

from collections.abc import Iterator

import pytest

from storage.clickhouse import Embedded
from storage.store import Store


@pytest.fixture(scope="package")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """An embedded store that the tests of this folder share."""
    made = Store(Embedded(tmp_path_factory.mktemp("chdb") / "store"))
    made.migrate()
    yield made
    made.close()
