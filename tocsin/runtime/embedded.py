"""The embedded mode: a parent process with broker, outbox and crawler that supervises one worker process.

    parent ── crawl ─▶ outbox (SQLite) ─▶ publisher ─▶ broker (Tansu, in memory)
      └─ child (tocsin.runtime.worker_process): classify, evaluate, deliver · store (chdb) · dashboard · scheduler

The child may be killed at any time: the broker redelivers unacknowledged messages. So may the broker: articles not yet scored are
still in the outbox, which deletes one only after the worker has committed its offset. With an external Kafka and ClickHouse the
parent starts no broker; everything else is the same.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from core import log
from core.errors import EXIT_USAGE, TocsinError
from core.kafka_address import place_of
from core.record_seals import RecordSeal, new_seal_key
from core.settings import Settings
from ingest.kafka.client import committed_offsets, ensure_topics
from ingest.kafka.outbox import Outbox
from ingest.kafka.producer import BoundedProducer
from ingest.kafka.publisher import Publisher
from tocsin import wiring
from tocsin.runtime.crawler_bridge import MAILBOX_FILE
from tocsin.runtime.embedded_broker import EmbeddedBroker, free_port
from tocsin.runtime.first_login import FirstLogin
from tocsin.runtime.threads import supervised_thread
from tocsin.runtime.worker_process import STOP_TIMEOUT_S, WorkerProcess, WorkerProcessPlan, last_reason

if TYPE_CHECKING:
    from ingest.crawl.sources import Source

_log = log.get_logger(__name__)

EMBEDDED_SESSION_TIMEOUT_S = 6.0
"""Tansu delays the first assignment of a new group by half of it: ready in 4 s instead of 7 s with the default of 12."""
MAX_EARLY_EXITS = 4
"""A worker that exits this often before being ready is not restarted, unless it depends on external servers."""
MIN_UPTIME_S = 60.0
"""A worker with less uptime is restarted after a delay that doubles each time."""
DRAIN_S = 60.0
"""A broker over its memory limit is restarted when all its messages are stored, and at the latest after this time."""

ORPHAN_STOP_TIMEOUT_S = 2.0
"""Time for a worker whose broker died to finish writing its batch. It cannot commit and would retry for 10 to 30 s."""


class Stack:
    """The whole embedded mode as a context manager: started on entry, stopped in order on exit.

    Args:
        settings: of this installation.
        sources: feeds to crawl; none starts no crawler.
        dashboard: whether the worker serves the dashboard.
        notify: called with progress messages for a person.
        first: account to create if there are none.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        sources: Sequence[Source] = (),
        dashboard: bool = True,
        notify: Callable[[str], None] = lambda _: None,
        first: FirstLogin | None = None,
    ) -> None:
        self._given = settings
        self._sources = sources
        self._dashboard = dashboard
        self._notify = notify
        self.first = first
        self._stop = threading.Event()
        self._exit = contextlib.ExitStack()
        self._seal_key = new_seal_key() if settings.broker == "embedded" else ""
        self._failure = ""
        self._was_ready = False
        self._early_exits = 0  # consecutive workers that exited before being ready
        self._short_runs = 0  # consecutive workers with an uptime below MIN_UPTIME_S
        self._started = 0.0
        self._restarting_broker = False
        self._draining = 0.0  # monotonic time since when the broker is drained for a restart; 0: not

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def _start(self, stack: contextlib.ExitStack) -> None:
        folder = wiring.data_dir(self._given)
        stack.enter_context(wiring.sole_owner(folder))
        settings, embedded = self._given, self._given.broker == "embedded"
        self.broker: EmbeddedBroker | None = None
        if embedded:
            self.broker = EmbeddedBroker(folder / "broker.log")
            self.broker.start()
            stack.callback(self.broker.stop)
            settings = msgspec.structs.replace(settings, broker=self.broker.address)
        self.settings = msgspec.structs.replace(settings, metrics_port=settings.metrics_port or free_port())
        self._ensure_topics()
        self._notify(f"broker ready on {place_of(settings.broker)}")
        self.outbox = Outbox(folder / "outbox.sqlite", durable_broker=not embedded)
        stack.callback(self.outbox.close)
        if embedded:
            self.outbox.rewind()  # an in-memory broker starts empty
        self.worker = WorkerProcess(self._plan, None if self._given.log_format == "human" else self.log_file)
        self._start_worker()
        stack.callback(self.worker.stop)
        self.publisher = Publisher(
            self.outbox, BoundedProducer(settings.broker, wiring.names(settings).articles, seal=RecordSeal(self._seal_key))
        )
        stack.callback(self.publisher.close)
        threads = [supervised_thread("publisher", partial(self.publisher.run, self._stop), self._give_up)]
        if self._sources:
            threads.append(supervised_thread("crawler", self._crawl, self._give_up))
        threads.append(supervised_thread("supervisor", self._supervise, self._give_up))
        stack.callback(self._join, threads)
        for thread in threads:
            thread.start()

    def _plan(self) -> WorkerProcessPlan:
        account = self.first.account if self.first else None
        if self.broker is None:
            return WorkerProcessPlan(settings=self.settings, dashboard=self._dashboard, first=account, outbox=True)
        return WorkerProcessPlan(
            settings=self.settings,
            dashboard=self._dashboard,
            first=account,
            outbox=True,
            session_timeout_s=EMBEDDED_SESSION_TIMEOUT_S,
            broker_pid=self.broker.pid or 0,
            broker_run=self.broker.run_id,
            seal_key=self._seal_key,
        )

    def _give_up(self, why: str) -> None:
        self._failure = self._failure or why

    def _join(self, threads: Sequence[threading.Thread]) -> None:
        self._stop.set()
        for thread in threads:
            thread.join(timeout=20)

    def _ensure_topics(self) -> None:
        settings = self.settings
        ensure_topics(settings.broker, wiring.names(settings), partitions=settings.partitions, replication=settings.replication)

    def _crawl(self) -> None:
        from ingest.crawl.crawler import Crawler
        from ingest.crawl.crawler_mailbox import CrawlerMailbox
        from ingest.crawl.fetcher import Fetcher
        from ingest.crawl.parsers import ParserPool

        path, gazetteer = wiring.data_dir(self.settings) / MAILBOX_FILE, wiring.make_gazetteer(self.settings)
        with (
            contextlib.closing(Fetcher()) as fetcher,
            contextlib.closing(CrawlerMailbox(path)) as mailbox,
            contextlib.closing(ParserPool()) as parsers,
        ):
            Crawler(self._sources, fetcher, self.outbox, gazetteer, mailbox=mailbox, parsers=parsers).run(self._stop)

    def wait_ready(self, timeout_s: float = 120.0) -> None:
        """Wait until the worker has loaded its model and joined the consumer group. Raises TocsinError on failure or timeout."""
        deadline = time.monotonic() + timeout_s
        while not self.worker.ready():
            self.check()
            if time.monotonic() > deadline:
                raise TocsinError(f"the worker was not ready after {timeout_s:.0f} s; see {self.log_file}")
            time.sleep(0.1)

    def check(self) -> None:
        """Raise TocsinError if a component has failed for good."""
        if self._failure:
            raise TocsinError(self._failure)

    @property
    def log_file(self) -> Path:
        """Log file of the worker."""
        return wiring.data_dir(self._given) / "worker.log"

    def settled(self) -> bool:
        """Whether everything in the outbox was published, scored and stored."""
        return self.outbox.counts().unsettled == 0

    def _supervise(self) -> None:
        while not self._stop.wait(0.5) and not self._failure:
            try:
                self._check_processes()
            except TocsinError as error:
                _log.warning("supervisor_retry", reason=str(error))
            except Exception as error:  # the supervisor must not end with an unexpected error
                _log.error("supervisor_error", error=repr(error))

    def _check_processes(self) -> None:
        with contextlib.suppress(OSError):  # a full disk must not stop the supervision
            for file in (self.log_file, self.log_file.with_name("broker.log")):
                log.rotate(file)
        self._was_ready = self._was_ready or self.worker.ready()
        if self.broker is not None and (self._restarting_broker or not self.broker.alive):
            self._restart_broker("the broker exited; restarting it and the worker")
        elif self.worker.returncode is not None:
            self._restart_worker(self.worker.returncode)
        elif self.broker is not None:
            articles = wiring.names(self.settings).articles
            self.outbox.prune(committed_offsets(self.settings.broker, self.settings.consumer_group, articles))
            self._limit_broker_memory(self.broker)

    def _restart_worker(self, code: int) -> None:
        """Restart the worker, or give up if it would fail again."""
        self._early_exits = 0 if self._was_ready else self._early_exits + 1
        self._short_runs = self._short_runs + 1 if time.monotonic() - self._started < MIN_UPTIME_S else 0
        self_contained = self.broker is not None and self.settings.store == "embedded"
        if code == EXIT_USAGE or (self_contained and self._early_exits >= MAX_EARLY_EXITS):
            self._give_up(f"the worker exited with status {code} and is not restarted: {last_reason(self.log_file)}")
            return
        self._notify(f"the worker exited with status {code} ({last_reason(self.log_file)}); restarting it")
        if not self._stop.wait(min(2.0**self._short_runs, 30.0) if self._short_runs > 1 else 0.0):
            self._start_worker()

    def _start_worker(self) -> None:
        self._was_ready, self._started = False, time.monotonic()
        self.worker.start()

    def _limit_broker_memory(self, broker: EmbeddedBroker) -> None:
        """The broker never frees memory: over its limit publishing pauses, and it is restarted when everything is stored."""
        limit = self.settings.broker_max_mb * 1_000_000
        if not self._draining and broker.rss_bytes() > limit:
            self._draining = time.monotonic()
            self.publisher.paused = True
        if self._draining and (not self.outbox.counts().sent or time.monotonic() - self._draining > DRAIN_S):
            self._restart_broker(f"the broker uses more than {self.settings.broker_max_mb} MB; restarting it and the worker")

    def _restart_broker(self, why: str) -> None:
        """Restart broker and worker; messages that were not stored are published again."""
        if self.broker is None:
            return
        if not self._restarting_broker:
            self._notify(why)
        self._restarting_broker = True  # until every step succeeded: a failed restart is repeated
        self.worker.stop(STOP_TIMEOUT_S if self.broker.alive else ORPHAN_STOP_TIMEOUT_S)
        self.broker.stop()
        self.broker.start()
        self._ensure_topics()
        self.publisher.resend_all()
        self._draining, self.publisher.paused = 0.0, False
        self._start_worker()
        self._restarting_broker = False
