"""ClickHouse goes away, freezes, is full or refuses for now; answers of it are lost; it is killed while it writes."""

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
from core.records import Scored
from models.inference.keyword import KeywordClassifier
from storage.clickhouse import Embedded, Server
from storage.store import Store
from stream.detection.spike_rule import SpikeRule
from stream.worker.app import REBALANCE_TIMEOUT_S
from stream.worker.pipeline import Pipeline
from stream.worker.retry import RetryPolicy
from tests.faults.wire import Wire
from tests.flow.test_worker_pipeline import crisis, raws
from tests.helpers.servers import ROOT, ClickHouseServer, Kafka, made, unavailable
from tests.helpers.stores import NOON, save, scored
from tests.helpers.worker import Installation, article

Fault = Callable[[ClickHouseServer], contextlib.AbstractContextManager[None]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    """A ClickHouse of our own, to be killed."""
    own = made(ClickHouseServer, tmp_path_factory.mktemp("clickhouse"))
    own.start()
    yield own
    own.kill()  # asked to end, it first waits ten seconds for its clients


@pytest.fixture
def place(kafka_server: Kafka, tmp_path: Path) -> Installation:
    return Installation(kafka_server.bootstrap, tmp_path)


@pytest.fixture
def database(server: ClickHouseServer) -> str:
    """The address of a database of its own."""
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
def test_a_store_that_is_away_for_a_while_is_waited_for(place: Installation, server: ClickHouseServer, database: str, fault: Fault):
    """The same process goes on; nothing is set aside."""
    articles = [article(f"a{n}") for n in range(50)]
    worker = place.worker(store=database, store_timeout_s=1.0)
    worker.expect("ready")
    place.publish(articles[:20])
    place.until_read(worker)
    with fault(server):
        place.publish(articles[20:])
        worker.until_event("waits", 3)
        assert place.committed() == 20
    place.until_read(worker)
    held = worker.stop()
    assert held["ids"] == sorted(item.id for item in articles)
    assert (held["articles"], held["doubled"], held["dead"], place.committed()) == (50, 0, [], 50)


@pytest.mark.parametrize("fault", [killed, frozen])
def test_a_store_that_stays_away_ends_the_worker_and_the_next_one_does_all(
    place: Installation, server: ClickHouseServer, database: str, fault: Fault
):
    """Exit 70, no offset moved, no dead letter."""
    articles = [article(f"a{n}") for n in range(30)]
    worker = place.worker(store=database, store_timeout_s=0.5, patience_s=1.5)
    worker.expect("ready")
    worker.until_event("watch begins")
    with fault(server):
        place.publish(articles)
        assert worker.wait() == 70
        assert "cannot be reached" in worker.log[-1]["error"]
        assert place.committed() == 0
    second = place.worker(store=database)
    second.expect("ready")
    place.until_read(second)
    held = second.stop()
    assert held["ids"] == sorted(item.id for item in articles)
    assert (held["articles"], held["doubled"], held["dead"], place.committed()) == (30, 0, [], 30)


def test_a_frozen_server_is_given_up_in_time_for_another_attempt(server: ClickHouseServer):
    """F16: as the product has it, a step asks at least twice and ends before a rebalance would."""
    client = Server(f"{server.address}/default", connect_timeout_s=0.5, timeout_s=0.5)
    assert client.query("SELECT 1") == [(1,)]
    with frozen(server):
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            client.query("SELECT 1")  # asks the old connection, then a new one
        assert time.monotonic() - began < 2.5
    assert client.query("SELECT 1") == [(1,)]
    client.close()
    default = Server.__init__.__kwdefaults__
    assert default is not None
    attempt_s = default["connect_timeout_s"] + default["timeout_s"]
    assert 2 * attempt_s <= RetryPolicy().deadline_s < RetryPolicy().deadline_s + attempt_s < REBALANCE_TIMEOUT_S


def test_an_insert_whose_answer_is_lost_is_done_again_and_counts_once(server: ClickHouseServer, database: str):
    """F17: the rows are in, nobody was told, so they are sent once more; so it goes with each step of a batch in turn."""
    items = [scored(f"a{n}", minutes=n, negative=0.9, source=f"s{n % 3}", bands=()) for n in range(10)]
    with Wire(server.port) as wire:
        behind = database.replace(f":{server.port}/", f":{wire.port}/")
        store, answered = stored(wire, behind + "_rehearsal", items, {})
        store.client.close()
        store, _ = stored(wire, behind, items, {step: size - 1 for step, size in answered.items()})  # the last byte says: they are in
        rows = {table: store.client.query(f"SELECT count() FROM {table}")[0][0] for table in ("articles", "mentions", "article_keys")}
        assert rows == {"articles": 2 * 10, "mentions": 2 * 6 * 10, "article_keys": 2 * 10}
        assert (store.articles.totals().articles, store.articles.doubled(), len(store.articles.latest(50))) == (10, 0, 10)
        assert len(store.articles.known([item.article.id for item in items])) == 10
        hour = (NOON, NOON + timedelta(hours=1))
        (count,) = store.mentions.window_counts("company:ACME", *hour, 3600)
        assert (count.negative, count.total) == (10, 10)
        assert [(row.stories, row.negative) for row in store.mentions.touched(*hour, ["market"])] == [(10, 10)]
        store.client.command("SYSTEM START MERGES")
        store.client.close()


def stored(wire: Wire, address: str, items: Sequence[Scored], come: dict[str, int]) -> tuple[Store, dict[str, int]]:
    """A new store that holds these, and how many bytes each step was answered. come: so many bytes of a step's answer do."""
    store = Store(Server(address, connect_timeout_s=0.5, timeout_s=0.5))
    store.migrate()
    store.client.command("SYSTEM STOP MERGES")  # so that what was written twice is seen
    steps: dict[str, Callable[[], None]] = {
        "articles": lambda: store.articles.insert(items),
        "mentions": lambda: store.mentions.insert([item.score for item in items]),
        "remember": lambda: store.articles.remember(items),
    }
    answered, retry = {}, RetryPolicy(first_s=0.01, sleep=lambda _: wire.heal())
    for step, action in steps.items():
        store.client.query("SELECT 1")
        before = wire.passed["to client"]
        if step in come:
            wire.drop("to client", after=come[step])
        retry.call(step, action)
        answered[step] = wire.passed["to client"] - before
    return store, answered


def test_what_the_server_refuses_for_now_is_asked_again(server: ClickHouseServer, database: str):
    """F18: too many parts (252), no memory (241) and a server that only reads (164), as a real server says them."""
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
        Server(database.replace("default", "reader", 1))  # it begins with CREATE DATABASE


def test_the_embedded_store_without_memory_is_asked_again(tmp_path: Path):
    """F18."""
    client = Embedded(tmp_path / "store")
    with pytest.raises(StoreUnavailable, match="Code: 241"):
        client.query("SELECT length(groupArray(number)) FROM (SELECT number FROM numbers(10000000)) SETTINGS max_memory_usage = 1000000")
    assert client.query("SELECT 1") == [(1,)]
    client.close()


@pytest.mark.parametrize("code", [75, 243])
def test_a_disk_that_is_full_for_a_moment_makes_no_dead_letters(database: str, code: int):
    """F19, as old and as new servers say it."""
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
    batch = pipeline.score(raws(crisis()), NOON)
    pipeline.close()
    assert (batch.scored, batch.dead, errors, store.dead_letters.count()) == (25, [], [], 0)
    store.client.close()


def test_a_full_disk_is_waited_for(kafka_server: Kafka, place: Installation, tmp_path: Path):
    """F19, with a real one: the worker waits, and goes on when there is room."""
    small = _on_a_small_disk(tmp_path / "small")
    articles = [article(f"a{n}") for n in range(40)]
    filler = Path(f"/proc/{small.pid}/root{tmp_path}/small/data/filler")
    try:
        worker = place.worker(store=f"{small.address}/tocsin")
        worker.expect("ready")
        place.publish(articles[:20])
        place.until_read(worker)
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 12))
        place.publish(articles[20:])
        worker.until_event("waits", 3)
        assert place.committed() == 20
        filler.unlink()
        place.until_read(worker)
        held = worker.stop()
    finally:
        small.kill()
    assert held["ids"] == sorted(item.id for item in articles)
    assert (held["doubled"], held["dead"], place.committed()) == (0, [], 40)


def _on_a_small_disk(folder: Path) -> ClickHouseServer:
    """A server with 48 MB of room; skips where no disk can be mounted."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        unavailable("only root can mount a small disk")
    probe = subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
    if probe.returncode:
        unavailable(f"no disk can be mounted here: {probe.stderr.decode().strip()}")
    folder.mkdir()
    server = made(ClickHouseServer, folder, disk_mb=48)
    server.start()
    return server


def test_a_server_killed_while_it_writes_has_all_that_it_acknowledged(server: ClickHouseServer, database: str):
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
    assert set(store.articles.known(written)) == set(written)
    assert {row.id for row in store.articles.by_id(written)} == set(written)
    assert store.articles.doubled() == 0
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
print(store.articles.totals().articles, store.client.query("SELECT count() FROM article_keys FINAL")[0][0], store.articles.doubled())
store.close()
"""


def test_the_embedded_store_killed_while_it_writes_has_all_that_it_acknowledged(tmp_path: Path):
    """F21."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    said = -1
    while said < 30:
        said = int(process.stdout.readline())
    process.kill()
    process.wait()
    said = int((process.stdout.read().split() or [str(said).encode()])[-1])
    process.stdout.close()
    done = subprocess.run([sys.executable, "-c", READER, str(tmp_path)], check=True, capture_output=True, text=True, timeout=60, cwd=ROOT)
    articles, known, doubled = map(int, done.stdout.split())
    assert said + 1 <= known <= articles <= said + 2
    assert doubled == 0
