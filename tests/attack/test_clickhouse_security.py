"""ClickHouse over TLS, with a user who has one database: Tocsin needs no more, and trusts only the configured authority."""

from __future__ import annotations

import pytest

from bench.servers import ClickHouseServer
from core.errors import SettingsError, StoreError
from storage.clickhouse import Server
from storage.store import Store
from tests.helpers.stores import alert


@pytest.fixture(scope="module")
def store(clickhouse_server: ClickHouseServer) -> Store:
    admin = Server(f"{clickhouse_server.address}/tocsin")  # the database; its user need not be allowed to create it
    admin.command("CREATE TABLE IF NOT EXISTS default.secrets (word String) ENGINE = MergeTree() ORDER BY word")
    admin.close()
    return Store(Server(clickhouse_server.secure_address))


def test_a_user_of_one_database_can_migrate_write_and_read_over_tls(store: Store):
    assert store.migrate() == ["0001_baseline"]
    assert store.migrate() == []
    made = alert()
    store.alerts.insert([made])
    assert store.alerts.get(made.id) == made


def test_this_user_reaches_no_other_database(store: Store):
    for statement in ("SELECT * FROM default.secrets", "SELECT count() FROM default.secrets"):
        with pytest.raises(StoreError):
            store.client.query(statement)


def test_a_server_whose_authority_is_not_trusted_is_refused(clickhouse_server: ClickHouseServer):
    for address in (
        clickhouse_server.secure_address.partition("?")[0],
        clickhouse_server.secure_address.replace(str(clickhouse_server.ca), "/etc/ssl/certs/ca-certificates.crt"),
        clickhouse_server.secure_address.replace("p%40ss", "guess"),
    ):
        with pytest.raises(StoreError) as caught:
            Server(address)
        assert "guess" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["clickhouses://u:s3cr3t@a/t?verify=0", "clickhouses://u:s3cr3t@a/t?ca=/nowhere", "clickhouse://u:s3cr3t@a/t?ca=x"]
)
def test_options_that_would_weaken_or_break_tls_are_refused(address: str):
    with pytest.raises(SettingsError) as caught:
        Server(address)
    assert "s3cr3t" not in str(caught.value)
