"""ClickHouse is killed, frozen, full or rejects temporarily; its responses are lost; it is killed while writing."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from clickhouse_driver import Client
from clickhouse_driver.errors import ServerException

from core.errors import StoreUnavailable
from core.records import Scored, encode
from models.inference.keyword import KeywordClassifier
from storage.clickhouse import Embedded, Server
from storage.store import Store
from stream.detection.spike_rule import SpikeRule
from stream.retry import RetryPolicy
from stream.worker.app import REBALANCE_TIMEOUT_S
from stream.worker.batches import RawMessage
from stream.worker.pipeline import Pipeline
from tests.faults.wire import Wire
from tests.helpers.servers import ROOT, ClickHouseServer, Kafka, made, unavailable
from tests.helpers.stores import NOON, save, scored
from tests.helpers.worker import Installation, article

Fault = Callable[[ClickHouseServer], contextlib.AbstractContextManager[None]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    """A ClickHouse server that tests may kill."""
    own = made(ClickHouseServer, tmp_path_factory.mktemp("clickhouse"))
    own.start()
    yield own
    own.kill()  # on SIGTERM it would wait ten seconds for its clients


@pytest.fixture
def installation(kafka_server: Kafka, tmp_path: Path) -> Installation:
    return Installation(kafka_server.bootstrap, tmp_path)


@pytest.fixture
def database(server: ClickHouseServer) -> str:
    """Address of a new database."""
    return f"{server.address}/d{uuid.uuid4().hex[:8]}"


@contextlib.contextmanager
def killed(server: ClickHouseServer) -> Iterator[None]:
    """F15."""
    server.kill()
    try:
        yield
    finally:
        server.start()


@contextlib.contextmanager
def frozen(server: ClickHouseServer) -> Iterator[None]:
    """F16."""
    server.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.signal(signal.SIGCONT)


@pytest.mark.parametrize("fault", [killed, frozen])
def test_a_worker_waits_for_an_unavailable_store(installation: Installation, server: ClickHouseServer, database: str, fault: Fault):
    """The same process continues, without dead letters."""
    articles = [article(f"a{n}") for n in range(50)]
    worker = installation.worker(store=database, store_timeout_s=1.0)
    worker.expect("ready")
    installation.publish(articles[:20])
    installation.until_read(worker)
    with fault(server):
        installation.publish(articles[20:])
        worker.until_event("store_retry", 3)
        assert installation.committed() == 20
    installation.until_read(worker)
    contents = worker.stop()
    assert contents["ids"] == sorted(item.id for item in articles)
    assert (contents["articles"], contents["doubled"], contents["dead"], installation.committed()) == (50, 0, [], 50)


@pytest.mark.parametrize("fault", [killed, frozen])
def test_a_worker_exits_if_the_store_stays_unavailable(installation: Installation, server: ClickHouseServer, database: str, fault: Fault):
    """Exit code 70, no commit, no dead letters; the next worker processes everything."""
    articles = [article(f"a{n}") for n in range(30)]
    worker = installation.worker(store=database, store_timeout_s=0.5, patience_s=1.5)
    worker.expect("ready")
    worker.until_event("watch_started")
    with fault(server):
        installation.publish(articles)
        assert worker.wait() == 70
        assert "cannot be reached" in worker.log[-1]["error"]
        assert installation.committed() == 0
    second = installation.worker(store=database)
    second.expect("ready")
    installation.until_read(second)
    contents = second.stop()
    assert contents["ids"] == sorted(item.id for item in articles)
    assert (contents["articles"], contents["doubled"], contents["dead"], installation.committed()) == (30, 0, [], 30)


def test_a_frozen_server_times_out_early_enough_for_a_retry(server: ClickHouseServer):
    """F16: with the default settings, a step tries at least twice and ends before the rebalance timeout."""
    client = Server(f"{server.address}/default", connect_timeout_s=0.5, timeout_s=0.5)
    assert client.query("SELECT 1") == [(1,)]
    with frozen(server):
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            client.query("SELECT 1")  # tries the old connection, then a new one
        assert time.monotonic() - began < 2.5
    assert client.query("SELECT 1") == [(1,)]
    client.close()
    default = Server.__init__.__kwdefaults__
    assert default is not None
    attempt_s = default["connect_timeout_s"] + default["timeout_s"]
    assert 2 * attempt_s <= RetryPolicy().deadline_s < RetryPolicy().deadline_s + attempt_s < REBALANCE_TIMEOUT_S


def test_an_insert_whose_response_is_lost_is_repeated_and_counts_once(server: ClickHouseServer, database: str):
    """F17: the rows are stored but the response is lost, so they are sent again; for each step of a batch in turn."""
    items = [scored(f"a{n}", minutes=n, negative=0.9, source=f"s{n % 3}", bands=()) for n in range(10)]
    with Wire(server.port) as wire:
        behind = database.replace(f":{server.port}/", f":{wire.port}/")
        store, answered = stored(wire, behind + "_rehearsal", items, {})
        store.client.close()
        store, _ = stored(wire, behind, items, {step: size - 1 for step, size in answered.items()})  # the last byte confirms the insert
        rows = {table: store.client.query(f"SELECT count() FROM {table}")[0][0] for table in ("articles", "mentions", "article_keys")}
        assert rows == {"articles": 2 * 10, "mentions": 2 * 6 * 10, "article_keys": 2 * 10}
        assert (store.articles.totals().articles, store.articles.duplicates(), len(store.articles.latest(50))) == (10, 0, 10)
        assert len(store.articles.keys([item.article.id for item in items])) == 10
        hour = (NOON, NOON + timedelta(hours=1))
        (count,) = store.mentions.window_counts("company:ACME", *hour, 3600)
        assert (count.negative, count.total) == (10, 10)
        assert [(row.stories, row.negative) for row in store.mentions.totals(*hour, ["market"])] == [(10, 10)]
        store.client.command("SYSTEM START MERGES")
        store.client.close()


def stored(wire: Wire, address: str, items: Sequence[Scored], allowed_bytes: dict[str, int]) -> tuple[Store, dict[str, int]]:
    """A new store with these items, and the bytes of the response to each step. allowed_bytes: of the response that get through"""
    store = Store(Server(address, connect_timeout_s=0.5, timeout_s=0.5))
    store.migrate()
    store.client.command("SYSTEM STOP MERGES")  # so that duplicates remain visible
    steps: dict[str, Callable[[], None]] = {
        "articles": lambda: store.articles.insert(items),
        "mentions": lambda: store.mentions.insert([item.score for item in items]),
        "remember": lambda: store.articles.insert_keys(items),
    }
    answered, retry = {}, RetryPolicy(first_s=0.01, sleep=lambda _: wire.heal())
    for step, action in steps.items():
        store.client.query("SELECT 1")
        before = wire.passed["to client"]
        if step in allowed_bytes:
            wire.drop("to client", after=allowed_bytes[step])
        retry.call(step, action)
        answered[step] = wire.passed["to client"] - before
    return store, answered


def test_temporary_rejections_of_the_server_are_retried(server: ClickHouseServer, database: str):
    """F18: too many parts (252), no memory (241) and read-only mode (164), raised by a real server."""
    client = Server(database)
    client.command("CREATE TABLE t (x UInt64) ENGINE = MergeTree ORDER BY x SETTINGS parts_to_delay_insert = 1, parts_to_throw_insert = 2")
    client.command("SYSTEM STOP MERGES")
    with pytest.raises(StoreUnavailable, match="code 252"):
        for number in range(4):
            client.insert("t", {"x": [number]})
    client.command("SYSTEM START MERGES")
    client.command("SET max_memory_usage = 10000000")
    with pytest.raises(StoreUnavailable, match="code 241"):
        client.query(
            "SELECT number, count() FROM (SELECT number FROM system.numbers LIMIT 10000000) GROUP BY number ORDER BY number LIMIT 1"
        )
    client.close()
    reader = Client(host="127.0.0.1", port=server.port, user="reader", database=client.database)
    with pytest.raises(ServerException) as refused:
        reader.execute("INSERT INTO t VALUES", [[1]])
    reader.disconnect()
    assert refused.value.code == 164
    with pytest.raises(StoreUnavailable, match="code 164"):
        Server(database.replace("default", "reader", 1) + "_new")  # connecting creates a database that is missing


def test_memory_errors_of_the_embedded_store_are_retried(tmp_path: Path):
    """F18."""
    client = Embedded(tmp_path / "store")
    with pytest.raises(StoreUnavailable, match="Code: 241"):
        client.query("SELECT length(groupArray(number)) FROM (SELECT number FROM numbers(10000000)) SETTINGS max_memory_usage = 1000000")
    assert client.query("SELECT 1") == [(1,)]
    client.close()


@pytest.mark.parametrize("code", [75, 243])
def test_a_temporarily_full_disk_writes_no_dead_letters(database: str, code: int):
    """F19, with the error codes of old and new servers."""
    store = Store(Server(database))
    store.migrate()
    insert, errors = store.articles.insert, [ServerException("No space left on device", code)] * 2

    def full(scored: Sequence[Scored]) -> None:
        if errors:
            error = errors.pop()

            def refuse(_client: object) -> None:
                raise error

            store.client._run(refuse)  # type: ignore[attr-defined]
        insert(scored)

    store.articles.insert = full  # type: ignore[method-assign]
    pipeline = Pipeline(KeywordClassifier(), store, SpikeRule(), retry=RetryPolicy(first_s=0.01))
    messages = [RawMessage("articles", 0, n, b"k", encode(article(f"a{n}", published_at=NOON))) for n in range(25)]
    batch = pipeline.score(messages, NOON)
    pipeline.close()
    assert (batch.scored, batch.dead, errors, store.dead_letters.count()) == (25, [], [], 0)
    store.client.close()


def test_a_worker_waits_for_space_on_a_full_disk(kafka_server: Kafka, installation: Installation, tmp_path: Path):
    """F19, with a real disk: the worker waits and continues when there is space."""
    small = _on_a_small_disk(tmp_path / "small")
    articles = [article(f"a{n}") for n in range(40)]
    filler = Path(f"/proc/{small.pid}/root{tmp_path}/small/data/filler")
    try:
        worker = installation.worker(store=f"{small.address}/tocsin")
        worker.expect("ready")
        installation.publish(articles[:20])
        installation.until_read(worker)
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 12))
        installation.publish(articles[20:])
        worker.until_event("store_retry", 3)
        assert installation.committed() == 20
        filler.unlink()
        installation.until_read(worker)
        contents = worker.stop()
    finally:
        small.kill()
    assert contents["ids"] == sorted(item.id for item in articles)
    assert (contents["doubled"], contents["dead"], installation.committed()) == (0, [], 40)


def _on_a_small_disk(folder: Path) -> ClickHouseServer:
    """A server with a disk of 48 MB; skips the test where no disk can be mounted."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        unavailable("only root can mount a small disk")
    probe = subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
    if probe.returncode:
        unavailable(f"no disk can be mounted here: {probe.stderr.decode().strip()}")
    folder.mkdir()
    server = made(ClickHouseServer, folder, disk_mb=48)
    server.start()
    return server


def test_a_server_killed_while_writing_has_all_acknowledged_rows(server: ClickHouseServer, database: str):
    """F21."""
    store = Store(Server(database))
    store.migrate()
    written: list[str] = []
    enough = threading.Event()

    def kill() -> None:
        enough.wait(60)
        server.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(StoreUnavailable):
            while True:
                item = scored(f"a{len(written)}")
                save(store, item)
                written.append(item.article.id)
                if len(written) == 30:
                    enough.set()
    finally:
        enough.set()
        killer.join()
        server.start()
    assert set(store.articles.keys(written)) == set(written)
    assert {row.id for row in store.articles.by_id(written)} == set(written)
    assert store.articles.duplicates() == 0
    store.client.close()


WRITER = """
import sys
from pathlib import Path
from storage.store import open_store
from tests.helpers.stores import save, scored
store = open_store("embedded", Path(sys.argv[1]))
store.migrate()
for number in range(1_000_000):
    save(store, scored(f"a{number}"))
    print(number, flush=True)
"""
READER = """
import sys
from pathlib import Path
from storage.store import open_store
store = open_store("embedded", Path(sys.argv[1]))
print(store.articles.totals().articles, store.client.query("SELECT count() FROM article_keys FINAL")[0][0], store.articles.duplicates())
store.close()
"""


def test_the_embedded_store_killed_while_writing_has_all_acknowledged_rows(tmp_path: Path):
    """F21."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    last_printed = -1
    while last_printed < 30:
        last_printed = int(process.stdout.readline())
    process.kill()
    process.wait()
    last_printed = int((process.stdout.read().split() or [str(last_printed).encode()])[-1])
    process.stdout.close()
    done = subprocess.run([sys.executable, "-c", READER, str(tmp_path)], check=True, capture_output=True, text=True, timeout=60, cwd=ROOT)
    articles, known, doubled = map(int, done.stdout.split())
    assert last_printed + 1 <= known <= articles <= last_printed + 2
    assert doubled == 0
