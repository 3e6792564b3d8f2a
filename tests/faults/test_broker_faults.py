"""Kafka is killed, frozen, cut off or silent, and its topics are missing: every article arrives once, and fatal errors are reported."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import KafkaAdminClient

from core.errors import BrokerError
from ingest.kafka.client import ensure_topics, lag
from ingest.kafka.outbox import Outbox
from ingest.kafka.producer import BoundedProducer
from ingest.kafka.publisher import Publisher
from tests.faults.wire import BOTH, Wire
from tests.helpers.servers import Kafka, made
from tests.helpers.waiting import until
from tests.helpers.worker import Installation, Worker, article

pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning")
"""kafka-python leaves sockets to a broker that is gone to the garbage collector, also while a test still runs."""
SESSION_S = 3.0
STUCK_S = 4.0
"""A fault lasts until the watchdog of the publisher detects it, which is longer than the session timeout of the worker."""
NEW_ARTICLE_INTERVAL_S = 5.0


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with Wire() as made_wire:
        yield made_wire


@pytest.fixture(scope="module")
def broker(wire: Wire, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A Kafka broker that tests may kill, behind the proxy."""
    server = made(Kafka, tmp_path_factory.mktemp("kafka"), advertised=wire.port)
    wire.target = server.behind
    with server:
        yield server


@pytest.fixture
def installation(broker: Kafka, wire: Wire, tmp_path: Path) -> Installation:
    """An installation that reaches Kafka through the proxy."""
    return Installation(f"127.0.0.1:{wire.port}", tmp_path)


class RunningPublisher:
    """An outbox and its publisher in a thread, as in the crawler."""

    def __init__(self, installation: Installation, folder: Path) -> None:
        self.count = 0
        self.outbox = Outbox(folder / "outbox.sqlite", durable_broker=True)
        self.sender = BoundedProducer(installation.plan.broker, installation.names.articles, stuck_s=STUCK_S)
        self._publisher, self._stop = Publisher(self.outbox, self.sender, retry_s=0.1), threading.Event()
        self._thread = threading.Thread(target=self._publisher.run, args=(self._stop,))
        self._thread.start()

    def put(self, count: int) -> None:
        """Adds articles: a0, a1 and so on."""
        self.outbox.put([article(f"a{number}") for number in range(self.count, self.count + count)])
        self.count += count

    @property
    def sent(self) -> bool:
        """Whether the broker has acknowledged everything."""
        return not self.outbox.counts().pending

    def close(self) -> None:
        self._stop.set()
        self.outbox.wake.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        self._publisher.close()
        self.outbox.close()


@pytest.fixture
def publisher(installation: Installation, tmp_path: Path) -> Iterator[RunningPublisher]:
    running = RunningPublisher(installation, tmp_path)
    yield running
    running.close()


def finish(installation: Installation, worker: Worker, publisher: RunningPublisher) -> dict[str, Any]:
    """Waits until everything is sent and read, stops the worker, and returns the contents of the store.

    A worker that exits is restarted, as by its supervisor. New articles are added in the meantime: if Kafka removed the worker from its
    group during a commit, Faust believes that the commit succeeded and may stall; only an unread article triggers the watchdog then.
    """
    deadline = time.monotonic() + 150  # a stalled worker exits after STUCK_S
    next_article_at = time.monotonic() + NEW_ARTICLE_INTERVAL_S
    while time.monotonic() < deadline:
        if time.monotonic() > next_article_at:
            publisher.put(1)
            next_article_at += NEW_ARTICLE_INTERVAL_S
        if worker.code is not None:
            assert worker.wait() == 70, worker.log[-5:]
            worker = installation.worker(session_timeout_s=SESSION_S, stuck_s=STUCK_S)
            worker.expect("ready")
        with contextlib.suppress(BrokerError):
            if (
                publisher.sent
                and lag(installation.plan.broker, installation.plan.group, installation.names.articles) == 0
                and worker.code is None
            ):
                return worker.stop()
        worker.until_more("score", 0.3)
    raise AssertionError(f"{publisher.outbox.counts()}: {worker.errors[-20:]} {worker.log[-10:]}")


@contextlib.contextmanager
def killed(broker: Kafka, _wire: Wire) -> Iterator[None]:
    """F8."""
    broker.kill()
    try:
        yield
    finally:
        broker.start()


@contextlib.contextmanager
def frozen(broker: Kafka, _wire: Wire) -> Iterator[None]:
    """F9."""
    broker.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        broker.signal(signal.SIGCONT)


@contextlib.contextmanager
def cut_off(_broker: Kafka, wire: Wire) -> Iterator[None]:
    """F10: nothing gets through, then the connections are reset."""
    wire.drop(*BOTH)
    try:
        yield
    finally:
        wire.heal()
        wire.cut()


@contextlib.contextmanager
def unanswered(_broker: Kafka, wire: Wire) -> Iterator[None]:
    """F11: requests arrive, but no response comes back."""
    wire.drop("to client")
    try:
        yield
    finally:
        wire.heal()


@pytest.mark.parametrize("fault", [killed, frozen, cut_off, unanswered])
def test_publisher_and_worker_survive_the_fault_and_lose_and_duplicate_nothing(
    installation: Installation,
    publisher: RunningPublisher,
    broker: Kafka,
    wire: Wire,
    fault: Callable[[Kafka, Wire], contextlib.AbstractContextManager[None]],
):
    worker = installation.worker(session_timeout_s=SESSION_S, stuck_s=STUCK_S)
    worker.expect("ready")
    publisher.put(100)
    worker.until_sum("score", "messages", 100)
    with fault(broker, wire):
        publisher.put(100)
        until(lambda: publisher.sender.replacements > 0, "the producer is replaced")
        publisher.put(100)
    contents = finish(installation, worker, publisher)
    assert contents["ids"] == sorted(article(f"a{n}").id for n in range(publisher.count))
    assert (contents["articles"], contents["doubled"], contents["dead"]) == (publisher.count, 0, [])
    if fault is unanswered:
        assert installation.committed() > publisher.count  # some are twice in the topic, but once in the store


@pytest.mark.parametrize("when", ["never created", "deleted"])
def test_a_worker_without_its_topics_exits_with_an_instruction(broker: Kafka, tmp_path: Path, when: str):
    """F13: it must not report itself ready and idle."""
    installation = Installation(broker.bootstrap, tmp_path, topics=when == "deleted")
    worker = installation.worker(topics_s=0.5)
    if when == "deleted":
        worker.expect("ready")
        admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
        admin.delete_topics([installation.names.articles])
        admin.close()
    assert worker.wait() == 70
    last = worker.log[-1]
    assert last["event"] == "worker_failed"
    assert f"has no topic {installation.names.articles}" in last["reason"]
    assert "run `tocsin migrate`" in last["reason"]
    assert not any(line["event"] == "worker_ready" for line in worker.log) or when == "deleted"


def test_a_publisher_without_its_topic_keeps_its_articles(broker: Kafka, tmp_path: Path):
    """F13: the articles are sent when the topic exists."""
    installation = Installation(broker.bootstrap, tmp_path, topics=False)
    outbox = Outbox(tmp_path / "outbox.sqlite", durable_broker=True)
    publisher = Publisher(outbox, BoundedProducer(broker.bootstrap, installation.names.articles))
    outbox.put([article("a"), article("b")])
    assert not publisher.flush(0.1)
    assert outbox.counts().pending == 2
    ensure_topics(broker.bootstrap, installation.names, partitions=2, replication=1)
    assert publisher.flush(30)
    publisher.close()
    outbox.close()
