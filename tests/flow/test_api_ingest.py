"""Articles pushed through the API reach Kafka, or are scored by `tocsin up`; nothing acknowledged is lost."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.client import ApiError, Client
from api.requests import ArticleIn
from api.types import ScoreEvent
from core.errors import BrokerError
from core.kafka_topics import topic_names
from core.settings import Settings
from domain.tokens import new_token
from ingest.kafka.client import ensure_topics
from ingest.kafka.producer import BoundedProducer
from storage.store import open_store
from tests.helpers.kafka import read_articles
from tests.helpers.waiting import until
from tocsin.runtime.embedded import Stack
from tocsin.runtime.embedded_broker import EmbeddedBroker, free_port
from tocsin.services.api_backends import ArticlePusher, KafkaTarget
from tocsin.wiring import make_gazetteer

pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning")
"""kafka-python leaves sockets to a broker that is gone to the garbage collector, also while a test still runs (see conftest.py)."""
NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)


def articles(start: int, end: int) -> list[ArticleIn]:
    return [
        ArticleIn(source="wire", title=f"第{number}号公司债券违约", url=f"https://example.org/{number}") for number in range(start, end)
    ]


def test_articles_acknowledged_by_kafka_are_stored_and_others_are_rejected(tmp_path: Path):
    gazetteer = make_gazetteer(Settings())
    names = topic_names(f"t{uuid.uuid4().hex[:8]}.")
    broker = EmbeddedBroker(tmp_path / "broker.log")
    broker.start()
    ensure_topics(broker.address, names, partitions=4, replication=1)
    place = KafkaTarget(BoundedProducer(broker.address, names.articles), timeout_s=3.0)
    pusher = ArticlePusher(lambda: gazetteer, place)
    results: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda start=start: results.append([each.id for each in pusher(articles(start, start + 50), NOW, "desk")]))
        for start in range(0, 200, 50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    pushed = {ident for some in results for ident in some}
    assert len(pushed) == 200
    assert {article.id for article in read_articles(broker.address, names.articles, 200)} == pushed
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGSTOP)
    with pytest.raises(BrokerError, match=r"has not acknowledged all articles within 3 s"):
        pusher(articles(200, 201), NOW, "desk")
    os.kill(broker.pid, signal.SIGCONT)
    assert pusher(articles(200, 201), NOW, "desk")[0].accepted, "it may be pushed again"
    broker.stop()
    with pytest.raises(BrokerError):
        pusher(articles(201, 202), NOW, "desk")
    pusher.close()


def test_pushed_articles_are_scored_although_the_worker_is_killed(tmp_path: Path):
    settings = Settings(data_dir=str(tmp_path / "data"), model="keyword", log_format="json", dashboard_port=free_port())
    secret, token = new_token("夜班", ["read", "ingest", "classify"], author="test", now=datetime.now(UTC))
    (tmp_path / "data").mkdir()
    store = open_store("embedded", tmp_path / "data")
    store.migrate()
    store.tokens.add([token])
    store.close()
    with Stack(settings) as stack, Client(f"http://127.0.0.1:{settings.dashboard_port}", secret) as client:
        stack.wait_ready()
        received: list[ScoreEvent] = []
        connected = threading.Event()

        def receive() -> None:
            with Client(f"http://127.0.0.1:{settings.dashboard_port}", secret) as other:
                for event in other.stream(events="score", attempts=60, on_open=connected.set):
                    if isinstance(event.data, ScoreEvent):
                        received.append(event.data)
                    if len({each.article.id for each in received}) == 40:
                        return

        receiver = threading.Thread(target=receive, daemon=True)
        receiver.start()
        assert connected.wait(60)
        ids = {each.id for each in client.push(articles(0, 20)).results}
        assert client.classify(["某公司债券违约"]).model == "keyword-1"
        assert stack.worker.pid is not None
        os.kill(stack.worker.pid, signal.SIGKILL)
        until(lambda: _push_rest(client, ids), "the API is available again", 120)
        until(stack.settled, "everything is scored", 120)
        assert {article.id for article in client.articles(source="wire")} == ids
        assert len(ids) == 40
        receiver.join(60)
        assert {each.article.id for each in received} == ids
        assert {each.article.sentiment.negative > 0.5 for each in received} == {True}


def _push_rest(client: Client, ids: set[str]) -> bool:
    """Push the second half, once the API is available again."""
    try:
        ids |= {each.id for each in client.push(articles(20, 40)).results}
    except ApiError:
        return False
    return True
