"""Fixtures of the flow tests."""

from __future__ import annotations

import contextlib
import gc
import shutil
import ssl
import subprocess
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.store import Store, open_store
from tests.helpers.servers import ClickHouseServer, unavailable


@pytest.fixture(autouse=True, scope="module")
def what_stays() -> None:
    """Freeze the objects that exist before a file: otherwise the garbage collector scans them after each test, for half a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def library_leftovers() -> Iterator[None]:
    """kafka-python may leave a socket to a broker that is gone for the collector; collected here, it is no other test's warning."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The context of a server called wire.example, whose certificate is trusted from now on."""
    openssl = shutil.which("openssl")
    if openssl is None:
        unavailable("no openssl here to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    names = ["-subj", "/CN=wire.example", "-addext", "subjectAltName=DNS:wire.example"]
    made = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([openssl, "req", "-x509", *made, *names], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


ABOUT_ALERTS = (
    "alerts",
    "deliveries",
    "alert_events",
    "alert_last_breach",
    "suppressed_deliveries",
    "silences",
    "silence_ends",
    "alert_groups",
)


@pytest.fixture(scope="module")
def alert_address(clickhouse_server: ClickHouseServer) -> str:
    """A database of the module's own on the real server."""
    return f"{clickhouse_server.address}/a{uuid.uuid4().hex[:8]}"


@pytest.fixture
def alert_store(alert_address: str, tmp_path: Path) -> Iterator[Store]:
    """A store in which no alert is."""
    with contextlib.closing(open_store(alert_address, tmp_path)) as store:
        store.migrate()
        for table in ABOUT_ALERTS:
            store.client.command(f"TRUNCATE TABLE {table}")
        yield store
