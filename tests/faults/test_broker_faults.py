"""Kafka dies, freezes, or cannot be reached, and its topics are gone: what was put arrives once, and what cannot go on says so."""

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
"""A fault lasts until the publisher's watchdog has noticed it, which is longer than the worker's session."""
NEWS_S = 5.0


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with Wire() as made_wire:
        yield made_wire


@pytest.fixture(scope="module")
def broker(wire: Wire, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A Kafka of our own, to be killed, with the wire in front of it."""
    server = made(Kafka, tmp_path_factory.mktemp("kafka"), advertised=wire.port)
    wire.target = server.behind
    with server:
        yield server


@pytest.fixture
def place(broker: Kafka, wire: Wire, tmp_path: Path) -> Installation:
    """An installation whose every byte to and from Kafka goes through the wire."""
    return Installation(f"127.0.0.1:{wire.port}", tmp_path)


class Feed:
    """An outbox and its publisher, at work in a thread, as the crawler has them."""

    def __init__(self, place: Installation, folder: Path) -> None:
        self.count = 0
        self.outbox = Outbox(folder / "outbox.sqlite", durable_broker=True)
        self.sender = BoundedProducer(place.plan.broker, place.names.articles, stuck_s=STUCK_S)
        self._publisher, self._stop = Publisher(self.outbox, self.sender, retry_s=0.1), threading.Event()
        self._thread = threading.Thread(target=self._publisher.run, args=(self._stop,))
        self._thread.start()

    def put(self, count: int) -> None:
        """So many more articles: a0, a1 and so on."""
        self.outbox.put([article(f"a{number}") for number in range(self.count, self.count + count)])
        self.count += count

    @property
    def sent(self) -> bool:
        """Whether the broker has acknowledged all."""
        return not self.outbox.counts().pending

    def close(self) -> None:
        self._stop.set()
        self.outbox.wake.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        self._publisher.close()
        self.outbox.close()


@pytest.fixture
def feed(place: Installation, tmp_path: Path) -> Iterator[Feed]:
    made_feed = Feed(place, tmp_path)
    yield made_feed
    made_feed.close()


def carried_on(place: Installation, worker: Worker, feed: Feed) -> dict[str, Any]:
    """Once all is sent and read, and the worker has stopped: what is stored. One that ended by itself is started again, as its
    supervisor does.

    News goes on meanwhile, as it does. Where Kafka has thrown the worker out of its group as it committed, Faust takes what was done
    for committed and may stand there: it is the next article that nobody reads which tells the worker's watchdog.
    """
    deadline = time.monotonic() + 150  # a worker that Faust leaves standing ends itself after STUCK_S
    news = time.monotonic() + NEWS_S
    while time.monotonic() < deadline:
        if time.monotonic() > news:
            feed.put(1)
            news += NEWS_S
        if worker.code is not None:
            assert worker.wait() == 70, worker.log[-5:]
            worker = place.worker(session_timeout_s=SESSION_S, stuck_s=STUCK_S)
            worker.expect("ready")
        with contextlib.suppress(BrokerError):
            if feed.sent and lag(place.plan.broker, place.plan.group, place.names.articles) == 0 and worker.code is None:
                return worker.stop()
        worker.until_more("score", 0.3)
    raise AssertionError(f"{feed.outbox.counts()}: {worker.errors[-20:]} {worker.log[-10:]}")


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
    """F10: nothing goes through, and then the connections are reset."""
    wire.drop(*BOTH)
    try:
        yield
    finally:
        wire.heal()
        wire.cut()


@contextlib.contextmanager
def unanswered(_broker: Kafka, wire: Wire) -> Iterator[None]:
    """F11: what is sent arrives, and no answer comes back."""
    wire.drop("to client")
    try:
        yield
    finally:
        wire.heal()


@pytest.mark.parametrize("fault", [killed, frozen, cut_off, unanswered])
def test_publisher_and_worker_outlive_the_fault_and_lose_and_double_nothing(
    place: Installation,
    feed: Feed,
    broker: Kafka,
    wire: Wire,
    fault: Callable[[Kafka, Wire], contextlib.AbstractContextManager[None]],
):
    worker = place.worker(session_timeout_s=SESSION_S, stuck_s=STUCK_S)
    worker.expect("ready")
    feed.put(100)
    worker.until_sum("score", "messages", 100)
    with fault(broker, wire):
        feed.put(100)
        until(lambda: feed.sender.replacements > 0, "the producer is replaced")
        feed.put(100)
    held = carried_on(place, worker, feed)
    assert held["ids"] == sorted(article(f"a{n}").id for n in range(feed.count))
    assert (held["articles"], held["doubled"], held["dead"]) == (feed.count, 0, [])
    if fault is unanswered:
        assert place.committed() > feed.count  # some were sent twice: the topic has them twice, the store once


@pytest.mark.parametrize("when", ["never made", "deleted"])
def test_a_worker_without_its_topics_ends_and_says_what_to_do(broker: Kafka, tmp_path: Path, when: str):
    """F13: it must not stand there, ready and idle."""
    place = Installation(broker.bootstrap, tmp_path, topics=when == "deleted")
    worker = place.worker(topics_s=0.5)
    if when == "deleted":
        worker.expect("ready")
        admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
        admin.delete_topics([place.names.articles])
        admin.close()
    assert worker.wait() == 70
    last = worker.log[-1]
    assert last["event"] == "worker ends"
    assert f"has no topic {place.names.articles}" in last["reason"]
    assert "run `tocsin migrate`" in last["reason"]
    assert not any(line["event"] == "worker ready" for line in worker.log) or when == "deleted"


def test_a_publisher_without_its_topic_waits_and_keeps(broker: Kafka, tmp_path: Path):
    """F13: what waits is sent when the topic is there."""
    place = Installation(broker.bootstrap, tmp_path, topics=False)
    outbox = Outbox(tmp_path / "outbox.sqlite", durable_broker=True)
    publisher = Publisher(outbox, BoundedProducer(broker.bootstrap, place.names.articles))
    outbox.put([article("a"), article("b")])
    assert not publisher.flush(0.1)
    assert outbox.counts().pending == 2
    ensure_topics(broker.bootstrap, place.names, partitions=2, replication=1)
    assert publisher.flush(30)
    publisher.close()
    outbox.close()
