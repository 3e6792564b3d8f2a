"""A complete temporary installation for benchmarks: broker, store and worker processes.

It uses Apache Kafka and a ClickHouse server if they are installed (tests/install), else the embedded broker and chdb.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from bench.servers import ClickHouseServer, Kafka, Unavailable
from core.errors import TocsinError
from core.records import Article, encode
from core.settings import Settings
from ingest.kafka.client import ensure_topics
from ingest.kafka.producer import BoundedProducer
from tocsin import wiring
from tocsin.runtime.embedded_broker import EmbeddedBroker, free_port, rss_bytes
from tocsin.runtime.worker_process import WorkerProcess, WorkerProcessPlan

READY_S = 180.0


class BenchInstallation:
    """Context manager that runs an installation.

    Args:
        settings: settings of the workers; addresses and folders are replaced.
        workers: worker processes of one consumer group.
        partitions: partitions of the topics.
        shared: whether other processes read the store, which chdb does not allow.
    """

    def __init__(self, settings: Settings, *, workers: int = 1, partitions: int = 4, shared: bool = False) -> None:
        self._given, self._count, self._partitions = settings, workers, partitions
        self._shared = shared or workers > 1
        self._exit = contextlib.ExitStack()
        self.broker_name = self.store_name = ""
        self.sent = 0

    def __enter__(self) -> Self:
        with self._exit as stack:
            self._start(stack)
            self._exit = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._exit.__exit__(kind, error, trace)

    def _start(self, stack: contextlib.ExitStack) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tocsin-bench-")))
        store, self.store_name = self._store(stack, folder)
        broker, self.broker_name = self._broker(stack, folder)
        self.settings = msgspec.structs.replace(
            self._given, broker=broker, store=store, log_format="json", webhooks=(), partitions=self._partitions, consumer_group="bench"
        )
        names = wiring.names(self.settings)
        ensure_topics(broker, names, partitions=self._partitions, replication=1)
        if store != "embedded":
            wiring.make_store(self.settings).close()  # creates the tables, so that workers that start together do not
        began = time.monotonic()
        self.nodes = []
        for number in range(self._count):
            worker_folder = folder / f"worker-{number}"
            worker_folder.mkdir()
            settings = msgspec.structs.replace(self.settings, data_dir=str(worker_folder), metrics_port=free_port())
            plan = WorkerProcessPlan(settings=settings, dashboard=False, schedule=False)
            node = WorkerProcess(partial(_itself, plan), worker_folder / "log")
            node.start()
            stack.callback(node.stop)
            self.nodes.append(node)
        self._folder = folder
        deadline = time.monotonic() + READY_S
        while not all(node.ready() for node in self.nodes):
            self.check()
            if time.monotonic() > deadline:
                raise TocsinError(f"the workers were not ready after {READY_S:.0f} s: {self._log_tail(0)}")
            time.sleep(0.1)
        self.ready_s = time.monotonic() - began
        self._sender = BoundedProducer(broker, names.articles, max_in_flight=20_000)
        stack.callback(self._sender.close)

    def _store(self, stack: contextlib.ExitStack, folder: Path) -> tuple[str, str]:
        subfolder = folder / "clickhouse"
        subfolder.mkdir()
        with contextlib.suppress(Unavailable):
            return f"{stack.enter_context(ClickHouseServer(subfolder)).address}/bench", "ClickHouse server"
        if self._shared:
            raise Unavailable("several processes share the store, which chdb does not allow: run tests/install as root on Debian")
        return "embedded", "chdb"

    def _broker(self, stack: contextlib.ExitStack, folder: Path) -> tuple[str, str]:
        subfolder = folder / "kafka"
        subfolder.mkdir()
        with contextlib.suppress(Unavailable):
            return stack.enter_context(Kafka(subfolder)).bootstrap, "Apache Kafka"
        broker = EmbeddedBroker(folder / "broker.log")
        broker.start()
        stack.callback(broker.stop)
        return broker.address, "Tansu"

    def check(self) -> None:
        """Raise TocsinError if a worker has exited."""
        for number, node in enumerate(self.nodes):
            if node.returncode is not None:
                raise TocsinError(f"worker {number} exited with {node.returncode}: {self._log_tail(number)}")

    def _log_tail(self, number: int) -> str:
        return (self._folder / f"worker-{number}" / "log").read_text(errors="replace")[-1500:]

    def publish(self, articles: Sequence[Article]) -> None:
        """Publish articles to Kafka, waiting while too many are in flight. Raises TocsinError."""
        for article in articles:
            while not self._sender.has_room():
                self._collect_deliveries()
                time.sleep(0.001)
            self._sender.send(self.sent, article.id.encode(), encode(article))
            self.sent += 1
        self._collect_deliveries()

    def feed(self, source: Iterator[Article], backlog: int) -> int:
        """Publish as many articles of `source` as keep `backlog` of them waiting. Returns the number stored so far."""
        self.check()
        stored = self.scored()
        self.publish(list(itertools.islice(source, max(0, backlog - (self.sent - stored)))))
        return stored

    def saturate(self, source: Iterator[Article], backlog: int, seconds: float) -> float:
        """Articles stored per second with a constant backlog, over `seconds` after a warm-up. Drains at the end. Raises TocsinError."""
        started, began, base = time.monotonic(), 0.0, 0
        while not began or time.monotonic() - began < seconds:
            stored = self.feed(source, backlog)
            if not began and time.monotonic() - started > seconds / 4:
                began, base = time.monotonic(), stored
            time.sleep(0.1)
        rate = (self.scored() - base) / (time.monotonic() - began)
        self.drain()
        return rate

    def drain(self) -> None:
        """Wait until all published articles are stored. Raises TocsinError."""
        self.flush()
        while self.scored() < self.sent:
            self.check()
            time.sleep(0.05)

    def flush(self, timeout_s: float = 30.0) -> None:
        """Wait until Kafka has acknowledged all articles. Raises TocsinError."""
        deadline = time.monotonic() + timeout_s
        while self._sender.in_flight:
            self.check()
            self._collect_deliveries()
            if time.monotonic() > deadline:
                raise TocsinError(f"Kafka did not acknowledge {self._sender.in_flight} articles in {timeout_s:.0f} s")
            time.sleep(0.002)

    def _collect_deliveries(self) -> None:
        failed = [done.error for done in self._sender.delivery_reports() if done.error]
        if failed:
            raise TocsinError(f"Kafka did not accept an article: {failed[0]}")

    def scored(self) -> int:
        """Number of articles stored by all workers so far."""
        return round(sum(node.metrics().get("tocsin_scored_total", 0.0) for node in self.nodes))

    def rss_mb(self) -> float:
        """Resident memory of all workers in 10^6 bytes."""
        return sum(rss_bytes(node.pid) for node in self.nodes) / 1e6


def _itself(plan: WorkerProcessPlan) -> WorkerProcessPlan:
    return plan
