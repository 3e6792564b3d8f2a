"""The embedded mode: a small parent that owns the broker, the outbox and the crawler, and restarts the one child that does the work.

    parent ── crawl ─▶ outbox (SQLite) ─▶ publisher ─▶ broker (Tansu, in memory)
      └─ child (tocsin.runtime.worker_process): score, watch, notify · store (chdb) · dashboard · scheduler

The child may die at any point: the broker gives again what it had not acknowledged. The broker may die at any point: what
had not been scored is still in the outbox, which lets go of an article only when the worker's committed offset has passed it.
With a Kafka and a ClickHouse of one's own the same parent starts no broker; everything else is the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from core import log
from core.errors import EXIT_USAGE, SettingsError, TocsinError
from core.settings import Settings
from ingest.kafka.client import committed_offsets, ensure_topics
from ingest.kafka.outbox import Outbox
from ingest.kafka.producer import BoundedProducer
from ingest.kafka.publisher import Publisher
from tocsin.runtime import wiring
from tocsin.runtime.crawler_bridge import MAILBOX_FILE
from tocsin.runtime.embedded_broker import EmbeddedBroker, free_port
from tocsin.runtime.first_login import FirstLogin
from tocsin.runtime.threads import supervised_thread
from tocsin.runtime.worker_process import STOP_TIMEOUT_S, WorkerProcess, WorkerProcessPlan, last_reason

if TYPE_CHECKING:
    from ingest.crawl.sources import Source

_log = log.get_logger(__name__)

EMBEDDED_SESSION_TIMEOUT_S = 6.0
"""Tansu lets a new group wait half of it before the first partition is given: ready in 4 s instead of 7 at the default of 12."""
QUICK_DEATHS = 4
"""A child that ends this often without ever having been ready will not get better by itself, unless it waits for others' servers."""
SHORT_LIFE_S = 60.0
"""A child that lived shorter is started again after a wait that doubles."""
DRAIN_S = 60.0
"""A broker that has grown too large is restarted when all that it holds is stored, and after so long in any case."""

ALONE_S = 2.0
"""A child whose broker died may do its batch's writing to the end. It can commit nothing any more, and would try for 10 to 30 s."""


class Stack:
    """Everything that runs, as a context manager: started on entering, ended in order on leaving.

    say: told what happens, in words for a person
    first: the account to make for the dashboard where nobody has one
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
        self._trouble = ""
        self._was_ready = False
        self._quick = 0  # children that ended before they were ready, one after the other
        self._short = 0  # children that ended soon after, one after the other
        self._started = 0.0
        self._beginning = False  # the broker is being started anew
        self._draining = 0.0  # since when the broker is emptied, to be restarted; 0: it is not

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def _start(self, stack: contextlib.ExitStack) -> None:
        folder = wiring.data_dir(self._given)
        stack.enter_context(sole_owner(folder))
        settings, embedded = self._given, self._given.broker == "embedded"
        self.broker: EmbeddedBroker | None = None
        if embedded:
            self.broker = EmbeddedBroker(folder / "broker.log")
            self.broker.start()
            stack.callback(self.broker.stop)
            settings = msgspec.structs.replace(settings, broker=self.broker.address)
        self.settings = msgspec.structs.replace(settings, metrics_port=settings.metrics_port or free_port())
        self._ensure_topics()
        self._notify(f"broker ready on {settings.broker}")
        self.outbox = Outbox(folder / "outbox.sqlite", durable_broker=not embedded)
        stack.callback(self.outbox.close)
        if embedded:
            self.outbox.rewind()  # a broker in memory begins empty
        self.node = WorkerProcess(self._plan, None if self._given.log_format == "human" else self.log_file)
        self._start_worker()
        stack.callback(self.node.stop)
        self.publisher = Publisher(self.outbox, BoundedProducer(settings.broker, wiring.names(settings).articles))
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
            era=self.broker.era,
        )

    def _give_up(self, why: str) -> None:
        self._trouble = self._trouble or why

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

        path = wiring.data_dir(self.settings) / MAILBOX_FILE
        with contextlib.closing(Fetcher()) as fetcher, contextlib.closing(CrawlerMailbox(path)) as mailbox:
            Crawler(self._sources, fetcher, self.outbox, wiring.make_gazetteer(self.settings), mailbox=mailbox).run(self._stop)

    def wait_ready(self, timeout_s: float = 120.0) -> None:
        """Wait until the worker has its model and its partitions. Raises TocsinError when it cannot."""
        deadline = time.monotonic() + timeout_s
        while not self.node.ready():
            self.check()
            if time.monotonic() > deadline:
                raise TocsinError(f"the worker was not ready after {timeout_s:.0f} s; see {self.log_file}")
            time.sleep(0.1)

    def check(self) -> None:
        """Raises TocsinError when something ended for good."""
        if self._trouble:
            raise TocsinError(self._trouble)

    @property
    def log_file(self) -> Path:
        """Where the worker writes its log."""
        return wiring.data_dir(self._given) / "node.log"

    def settled(self) -> bool:
        """Whether everything in the outbox was published, scored and stored."""
        return self.outbox.counts().unsettled == 0

    def _supervise(self) -> None:
        while not self._stop.wait(0.5) and not self._trouble:
            try:
                self._look()
            except TocsinError as error:
                _log.warning("supervisor will try again", reason=str(error))
            except Exception as error:  # the supervisor must outlive everything it watches
                _log.error("supervisor met the unexpected", error=repr(error))

    def _look(self) -> None:
        self._was_ready = self._was_ready or self.node.ready()
        if self.broker is not None and (self._beginning or not self.broker.alive):
            self._restart_broker("the broker ended; starting it and the worker again")
        elif self.node.returncode is not None:
            self._restart_worker(self.node.returncode)
        elif self.broker is not None:
            articles = wiring.names(self.settings).articles
            self.outbox.prune(committed_offsets(self.settings.broker, self.settings.consumer_group, articles))
            self._relieve(self.broker)

    def _restart_worker(self, code: int) -> None:
        """Start the ended child again, or give it up."""
        self._quick = 0 if self._was_ready else self._quick + 1
        self._short = self._short + 1 if time.monotonic() - self._started < SHORT_LIFE_S else 0
        alone = self.broker is not None and self.settings.store == "embedded"
        if code == EXIT_USAGE or (alone and self._quick >= QUICK_DEATHS):
            self._give_up(f"the worker ended (exit {code}) and would again: {last_reason(self.log_file)}")
            return
        self._notify(f"the worker ended (exit {code}: {last_reason(self.log_file)}); starting it again")
        if not self._stop.wait(min(2.0**self._short, 30.0) if self._short > 1 else 0.0):
            self._start_worker()

    def _start_worker(self) -> None:
        self._was_ready, self._started = False, time.monotonic()
        self.node.start()

    def _relieve(self, broker: EmbeddedBroker) -> None:
        """The broker frees no memory: over its limit it is given nothing more, and restarted when all is stored."""
        limit = self.settings.broker_max_mb * 1_000_000
        if not self._draining and broker.rss_bytes() > limit:
            self._draining = time.monotonic()
            self.publisher.paused = True
        if self._draining and (not self.outbox.counts().sent or time.monotonic() - self._draining > DRAIN_S):
            self._restart_broker(f"the broker has grown beyond {self.settings.broker_max_mb} MB; starting it and the worker again")

    def _restart_broker(self, why: str) -> None:
        """What the broker held is gone: the worker must begin anew, and get again what it had not stored."""
        if self.broker is None:
            return
        if not self._beginning:
            self._notify(why)
        self._beginning = True  # until all of it is done: what fails here is done again
        self.node.stop(STOP_TIMEOUT_S if self.broker.alive else ALONE_S)
        self.broker.stop()
        self.broker.start()
        self._ensure_topics()
        self.publisher.rewound()
        self._draining, self.publisher.paused = 0.0, False
        self._start_worker()
        self._beginning = False


@contextlib.contextmanager
def sole_owner(folder: Path) -> Iterator[None]:
    """Hold the folder's lock while inside. Raises SettingsError when another process has it."""
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SettingsError(f"another tocsin uses the data folder {folder}; stop it, or set data_dir to another folder") from error
        yield
