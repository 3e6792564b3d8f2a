"""Three Kafka brokers, a ClickHouse server and workers; their faults, and the problems found in the end."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clickhouse_driver import Client
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import NewTopic, OffsetSpec
from kafka.errors import KafkaError

from bench.servers import ClickHouseServer, Process, kafka_cluster
from tests.soak.alert_endpoint import AlertEndpoint, stored_alerts
from tests.soak.ledger import Ledger
from tests.soak.load import Load
from tests.soak.nemesis import Fault
from tests.soak.worker import ALLOWED_EXITS, ROOT, Supervised, environment, rss_mb

GROUP = "soak"
TOPICS = {"articles": 4, "scores": 1, "alerts": 1}
DRAIN_S = 240.0


class Cluster:
    """Runs the servers, the workers and the load as a context manager."""

    max_rss_mb = 1_600

    def __init__(
        self, folder: Path, seed: int, seconds: float, *, model: str, rate: float, workers: int = 2, crises: int | None = None
    ) -> None:
        self._folder, self._model, self._count = folder, model, workers
        self._rng = random.Random(seed)
        self.ledger = Ledger()
        self._exit = contextlib.ExitStack()
        self._rate = rate
        self._crises = [self._rng.uniform(5, seconds * 0.8) for _ in range(crises or max(1, round(seconds / 120)))]

    def __enter__(self) -> Cluster:
        with self._exit as stack:
            self._start(stack)
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *problem: Any) -> None:
        self._exit.__exit__(*problem)

    def _start(self, stack: contextlib.ExitStack) -> None:
        self.brokers = kafka_cluster(self._folder)
        for broker in self.brokers:
            broker.launch()
            stack.callback(broker.stop)
        place = self._folder / "clickhouse"
        place.mkdir()
        self.store = stack.enter_context(ClickHouseServer(place))
        self._alert_endpoint = AlertEndpoint()
        stack.callback(self._alert_endpoint.close)
        for broker in self.brokers:
            broker.wait_up()
        self.bootstrap = ",".join(broker.bootstrap for broker in self.brokers)
        self._make_topics()
        (self._folder / "tocsin.toml").write_text(self._alert_endpoint.settings)
        self._environment = {
            "TOCSIN_CONFIG": str(self._folder / "tocsin.toml"),
            "TOCSIN_BROKER": self.bootstrap,
            "TOCSIN_STORE": f"{self.store.address}/tocsin",
            "TOCSIN_MODEL": self._model,
            "TOCSIN_CONSUMER_GROUP": GROUP,
            "TOCSIN_ALERT_INHIBIT": "",  # so that every alert is delivered
            "TOCSIN_LOG_FORMAT": "json",
            "TOCSIN_MODEL_THREADS": "1",
        }
        migrate = [sys.executable, "-m", "tocsin", "migrate"]
        data = {"TOCSIN_DATA_DIR": str(self._folder / "migrate")}
        subprocess.run(migrate, check=True, capture_output=True, cwd=ROOT, env=environment({**self._environment, **data}))
        self._load = Load(self.bootstrap, "articles", self.ledger, self._rate, self._rng, self._crises)
        self.workers = [self._worker(number) for number in range(self._count)]
        for worker in self.workers:
            stack.callback(worker.stop)
        self._load.start()
        stack.callback(self._load.stop)

    def _worker(self, number: int) -> Supervised:
        own = {"TOCSIN_DATA_DIR": str(self._folder / f"worker-{number}")}
        return Supervised(f"worker-{number}", ["work"], {**self._environment, **own}, self._folder)

    def _make_topics(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                with contextlib.closing(KafkaAdminClient(bootstrap_servers=self.bootstrap.split(","))) as admin:
                    admin.create_topics([NewTopic(name, count, 3) for name, count in TOPICS.items()])
                return
            except (KafkaError, AssertionError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(1.0)

    # faults

    def faults(self, rng: random.Random) -> dict[str, list[Fault]]:
        """The faults of the workers and of the servers; at most one of each kind lasts at a time."""

        def workers() -> Supervised:
            return rng.choice(self.workers)

        return {
            "workers": [
                Fault("worker killed", lambda _s: workers().signal(signal.SIGKILL), (0, 0)),
                Fault("worker stopped", lambda _s: workers().signal(signal.SIGTERM), (0, 0)),
                Fault("worker frozen", lambda seconds: _frozen(workers(), seconds), (2, 25)),
            ],
            "servers": [
                Fault("broker killed", lambda seconds: self._down(rng.choice(self.brokers), seconds), (2, 10)),
                Fault("broker frozen", lambda seconds: _frozen(rng.choice(self.brokers), seconds), (2, 20)),
                Fault("store killed", lambda seconds: self._down(self.store, seconds), (1, 15)),
                Fault("store frozen", lambda seconds: _frozen(self.store, seconds), (2, 20)),
                Fault("store slow", lambda seconds: _slow(self.store, seconds), (5, 20)),
            ],
        }

    def _down(self, server: Process, seconds: float) -> None:
        server.kill()
        time.sleep(seconds)
        server.start(600)

    # observation

    def read(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a SELECT."""
        client = Client("127.0.0.1", port=self.store.port, database="tocsin", connect_timeout=5, send_receive_timeout=60)
        try:
            return [tuple(row) for row in client.execute(sql)]
        finally:
            client.disconnect()

    def lag(self) -> dict[str, int]:
        """Uncommitted messages of each topic."""
        with contextlib.closing(KafkaAdminClient(bootstrap_servers=self.bootstrap.split(","))) as admin:
            places = [TopicPartition(topic, number) for topic, count in TOPICS.items() for number in range(count)]
            ends = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST))
            done = admin.list_group_offsets({GROUP: None}).get(GROUP, {})
        lag = dict.fromkeys(TOPICS, 0)
        for place in places:
            at = done.get(place)
            lag[place.topic] += ends[place].offset - (at.offset if at is not None and at.offset > 0 else 0)
        return lag

    def state(self) -> dict[str, Any]:
        """Counts for the progress line."""
        with contextlib.suppress(Exception):  # a server may be down
            visible = self.read("SELECT uniqExact(id) FROM articles")[0][0]
            return {"acked": len(self.ledger.acked), "visible": int(visible), "lag": self.lag(), "rss_mb": self.memory()}
        return {"acked": len(self.ledger.acked), "rss_mb": self.memory()}

    def memory(self) -> list[int]:
        """Of each worker, MB."""
        return [round(rss_mb([worker.pid])) for worker in self.workers]

    def finish(self) -> float:
        """Stops the load and waits for the backlog; returns the seconds since the last message."""
        self._load.stop()
        began = time.monotonic()
        while sum(self._lag_or_one().values()) and time.monotonic() - began < DRAIN_S:
            time.sleep(0.5)
        return time.monotonic() - began

    def _lag_or_one(self) -> dict[str, int]:
        try:
            return self.lag()
        except Exception:  # for example during an election
            return {"articles": 1}

    def problems(self) -> dict[str, int]:
        """Counts of problems; all zero if there are none."""
        letters = self.read("SELECT partition, offset, value FROM dead_letters FINAL WHERE topic = 'articles'")
        stored = stored_alerts(self.read)
        series = {str(row[2]) for row in stored}
        return {
            **self.ledger.problems(self.read),
            **self.ledger.dead_problems(letters),
            "messages left": sum(self.lag().values()),
            "crises without alert": sum(f"company:{company}" not in series for company in self.ledger.crises),
            **self._alert_endpoint.problems(stored),
            "unexpected exit codes": sum(code not in ALLOWED_EXITS for worker in self.workers for code in worker.exits),
        }

    def summary(self) -> dict[str, Any]:
        """Counts for the result."""
        return {
            "published": len(self.ledger.acked),
            "broken": len(self.ledger.broken),
            "crises": len(self.ledger.crises),
            "alerts": len(self._alert_endpoint.alerts),
            "webhooks": sum(self._alert_endpoint.received.values()),
            "sends failed": self._load.failures,
            "exits": {worker.name: worker.exits for worker in self.workers},
        }


@contextlib.contextmanager
def _stopped(what: Process | Supervised) -> Iterator[None]:
    what.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        what.signal(signal.SIGCONT)


def _frozen(what: Process | Supervised, seconds: float) -> None:
    with _stopped(what):
        time.sleep(seconds)


def _slow(what: Process, seconds: float) -> None:
    """Run the process for a fifth of the time only."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with _stopped(what):
            time.sleep(0.08)
        time.sleep(0.02)
