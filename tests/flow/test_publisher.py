"""The publisher with real brokers: articles arrive despite restarts, pauses and bad messages."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import uuid
from datetime import UTC, datetime

import pytest
from kafka import KafkaConsumer

from core.errors import BrokerError
from core.kafka_topics import topic_names
from core.records import Article
from ingest.kafka.client import committed_offsets, ensure_topics
from ingest.kafka.outbox import Outbox
from ingest.kafka.producer import BoundedProducer
from ingest.kafka.publisher import Publisher
from tests.helpers.kafka import read_articles
from tests.helpers.waiting import until
from tocsin.runtime.embedded_broker import EmbeddedBroker, free_port

pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning")
"""kafka-python leaves sockets of a dead broker to the garbage collector, even during a test (see conftest.py)."""
NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)


def article(number: int, title: str = "涨停") -> Article:
    return Article(
        id=f"{number:032d}", source="wire", language="zh", title=f"{title}{number}", text="正文" * 50, published_at=NOW, fetched_at=NOW
    )


def send_signal(broker: EmbeddedBroker, number: signal.Signals) -> None:
    assert broker.pid is not None
    os.kill(broker.pid, number)


@pytest.fixture
def names():
    return topic_names(f"t{uuid.uuid4().hex[:8]}.")


@pytest.fixture
def outbox(tmp_path):
    box = Outbox(tmp_path / "o.sqlite", durable_broker=False)
    yield box
    box.close()


def test_creating_topics_twice_is_harmless(tansu, names):
    for _ in range(2):
        ensure_topics(tansu.address, names, partitions=4, replication=1)
    assert read_articles(tansu.address, names.articles, 0) == []


def test_an_unreachable_broker_gives_one_clear_error(names):
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(BrokerError, match=address):
        ensure_topics(address, names, partitions=1, replication=1, deadline_s=1)
    with pytest.raises(BrokerError, match=address):
        committed_offsets(address, "g", names.articles)


def test_every_article_arrives_once(tansu, names, outbox):
    ensure_topics(tansu.address, names, partitions=4, replication=1)
    sender = BoundedProducer(tansu.address, names.articles, max_in_flight=100)
    publisher, stop = Publisher(outbox, sender), threading.Event()
    thread = threading.Thread(target=publisher.run, args=(stop,))
    thread.start()
    for start in range(0, 3_000, 100):
        outbox.put([article(number) for number in range(start, start + 100)])
    assert publisher.flush(60)
    stop.set()
    outbox.wake.set()
    thread.join(10)
    assert not thread.is_alive()
    publisher.close()
    found = read_articles(tansu.address, names.articles, 3_000)
    assert sorted(item.id for item in found) == [article(number).id for number in range(3_000)]
    assert found[0].title.startswith("涨停")
    assert outbox.counts()[:2] == (0, 3_000)
    assert committed_offsets(tansu.address, f"g{names.articles}", names.articles) == {}


def test_messages_in_flight_are_bounded(tmp_path, names, outbox):
    """A paused broker must not fill memory: the library alone accepts messages without limit."""
    broker = EmbeddedBroker(tmp_path / "broker.log")
    broker.start()
    try:
        ensure_topics(broker.address, names, partitions=1, replication=1)
        sender = BoundedProducer(broker.address, names.articles, max_in_flight=50)
        publisher = Publisher(outbox, sender)
        outbox.put([article(1)])
        assert publisher.flush(20)
        send_signal(broker, signal.SIGSTOP)
        try:
            outbox.put([article(number) for number in range(500)])
            assert not publisher.flush(1.0)
            assert sender.in_flight == 50
        finally:
            send_signal(broker, signal.SIGCONT)
        assert publisher.flush(60)
        publisher.close()
    finally:
        broker.stop()


def test_a_producer_that_hangs_is_replaced_and_nothing_is_lost(tmp_path, names, outbox):
    """The broker freezes for longer than stuck_s; afterwards everything arrives, at worst twice."""
    broker = EmbeddedBroker(tmp_path / "broker.log")
    broker.start()
    try:
        ensure_topics(broker.address, names, partitions=4, replication=1)
        sender = BoundedProducer(broker.address, names.articles, stuck_s=1.0)
        publisher = Publisher(outbox, sender, retry_s=0.1)
        outbox.put([article(0)])
        assert publisher.flush(20)
        send_signal(broker, signal.SIGSTOP)
        try:
            outbox.put([article(number) for number in range(1, 300)])
            until(lambda: publisher.flush(0.2) or sender.replacements, "the producer is replaced", 30)
            assert sender.replacements
        finally:
            send_signal(broker, signal.SIGCONT)
        assert publisher.flush(60)
        publisher.close()
        assert {item.id for item in read_articles(broker.address, names.articles, 300)} == {article(number).id for number in range(300)}
        names_left = [thread.name for thread in threading.enumerate() if "producer" in thread.name.lower()]
        assert names_left == [], "a dropped producer must not leave its thread behind"
    finally:
        broker.stop()


def test_everything_is_sent_again_after_a_broker_restart(tmp_path, names, outbox):
    """Tansu keeps messages in memory, so it is empty after a restart."""
    broker = EmbeddedBroker(tmp_path / "broker.log")
    broker.start()
    try:
        ensure_topics(broker.address, names, partitions=4, replication=1)
        publisher, stop = Publisher(outbox, BoundedProducer(broker.address, names.articles, stuck_s=2.0), retry_s=0.1), threading.Event()
        thread = threading.Thread(target=publisher.run, args=(stop,))
        thread.start()
        outbox.put([article(number) for number in range(200)])
        assert publisher.flush(30)
        broker.stop()
        outbox.put([article(number) for number in range(200, 400)])
        broker.start()
        ensure_topics(broker.address, names, partitions=4, replication=1)
        publisher.resend_all()
        assert publisher.flush(60)
        stop.set()
        outbox.wake.set()
        thread.join(10)
        publisher.close()
        assert {item.id for item in read_articles(broker.address, names.articles, 400)} == {article(number).id for number in range(400)}
    finally:
        broker.stop()


def test_disk_errors_are_retried_and_kafka_errors_are_reported(tmp_path, names, outbox, monkeypatch):
    broker, stop = EmbeddedBroker(tmp_path / "broker.log"), threading.Event()
    outbox.put([article(1)])
    publisher = Publisher(outbox, BoundedProducer(broker.address, names.articles), retry_s=0.02)
    thread = threading.Thread(target=publisher.run, args=(stop,))
    thread.start()
    until(lambda: publisher.unhealthy_reason(limit_s=0.1), "the failure is reported", 20)
    assert "Kafka has accepted nothing" in publisher.unhealthy_reason(limit_s=0.1)
    assert publisher.unhealthy_reason(limit_s=3600) == ""
    pending, failures = outbox.pending, iter([sqlite3.OperationalError("disk I/O error")])

    def failing(*args, **more):
        for error in failures:
            with outbox._read_access():
                raise error
        return pending(*args, **more)

    monkeypatch.setattr(outbox, "pending", failing)
    broker.start()
    try:
        ensure_topics(broker.address, names, partitions=1, replication=1)
        assert [item.id for item in read_articles(broker.address, names.articles, 1, partitions=1)] == [article(1).id]
        until(lambda: not outbox.counts().pending, "all is sent", 20)
        assert publisher.unhealthy_reason(limit_s=0.0) == ""
        outbox.max_bytes = 1
        assert "the outbox is full" in publisher.unhealthy_reason()
    finally:
        stop.set()
        outbox.wake.set()
        thread.join(10)
        publisher.close()
        broker.stop()
    assert not thread.is_alive()


def test_a_real_kafka_accepts_articles_and_its_offsets_prune_rows(kafka_server, names, outbox):
    ensure_topics(kafka_server.bootstrap, names, partitions=4, replication=1)
    publisher = Publisher(outbox, BoundedProducer(kafka_server.bootstrap, names.articles))
    outbox.put([article(number) for number in range(1_000)])
    assert publisher.flush(60)
    publisher.close()
    assert len(read_articles(kafka_server.bootstrap, names.articles, 1_000)) == 1_000
    group = f"g{uuid.uuid4().hex[:8]}"
    consumer = KafkaConsumer(
        names.articles, bootstrap_servers=kafka_server.bootstrap, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False
    )
    read = 0
    while read < 1_000:
        read += sum(map(len, consumer.poll(timeout_ms=1_000).values()))
    consumer.commit()
    consumer.close()
    committed = committed_offsets(kafka_server.bootstrap, group, names.articles)
    assert sum(committed.values()) == 1_000
    assert outbox.prune(committed) == 1_000


def test_a_message_too_large_for_the_broker_is_dropped(tansu, names, outbox, monkeypatch):
    ensure_topics(tansu.address, names, partitions=4, replication=1)
    monkeypatch.setattr("ingest.kafka.client.MAX_REQUEST_BYTES", 2_000)
    publisher = Publisher(outbox, BoundedProducer(tansu.address, names.articles))
    outbox.put([article(1), article(2, "长" * 990), article(3)])
    assert publisher.flush(20)
    publisher.close()
    assert sorted(int(item.id) for item in read_articles(tansu.address, names.articles, 2)) == [1, 3]
