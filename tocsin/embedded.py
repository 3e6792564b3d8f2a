"""The embedded mode: a small parent that owns the broker, the outbox and the crawler, and restarts the one child that does the work.

    parent ── crawl ─▶ outbox (SQLite) ─▶ publisher ─▶ broker (Tansu, in memory)
      └─ child (tocsin.node): score, watch, notify · store (chdb) · dashboard · scheduler

The child may die at any point: the broker gives again what it had not acknowledged. The broker may die at any point: what
had not been scored is still in the outbox, which lets go of an article only when the worker's committed offset has passed it.
With a Kafka and a ClickHouse of one's own the same parent starts no broker; everything else is the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from ingest.kafka import committed_offsets, ensure_topics
from ingest.outbox import Outbox
from ingest.publisher import Publisher
from ingest.sender import Sender
from spine import log
from spine.errors import SettingsError, TocsinError
from spine.settings import Settings
from tocsin import wiring
from tocsin.broker import EmbeddedBroker, free_port
from tocsin.node import NodePlan

if TYPE_CHECKING:
    from ingest.sources import Source

_log = log.get_logger(__name__)

STOP_TIMEOUT_S = 40.0
"""Longer than the worker's own shutdown watchdog (30 s)."""
EMBEDDED_SESSION_TIMEOUT_S = 6.0
"""Tansu lets a new group wait half of it before the first partition is given: ready in 4 s instead of 7 at the default of 12."""
QUICK_DEATHS = 4
"""A child that ends this often without ever having been ready will not get better by itself."""


class Node:
    """The child process. make_plan: what it runs, asked at each start."""

    def __init__(self, make_plan: Callable[[], NodePlan], log_file: Path | None) -> None:
        self._make_plan = make_plan
        self._metrics_port = 0
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, again if it ended; it is not ready yet."""
        self._close_stdin()
        plan = self._make_plan()
        self._metrics_port = plan.settings.metrics_port
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(self._log_file.open("ab")) if self._log_file else None
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tocsin.node"], stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
            )
        stdin = self._process.stdin
        if stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it ended already: `returncode` tells
                stdin.write(msgspec.json.encode(plan) + b"\n")
                stdin.flush()

    @property
    def returncode(self) -> int | None:
        """Its exit status once it has ended."""
        return self._process.poll() if self._process else None

    @property
    def pid(self) -> int | None:
        """Its process id."""
        return self._process.pid if self._process else None

    def ready(self) -> bool:
        """Whether it is in the consumer group, with its model loaded."""
        return _get(self._metrics_port, "/healthz") == "ok"

    def metrics(self) -> dict[str, float]:
        """Its counters summed over their labels; empty while it does not answer."""
        return counters(_get(self._metrics_port, "/metrics"))

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Ask it to end, and wait; by force after `timeout_s`."""
        if self._process is None:
            return
        self._close_stdin()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                _log.warning("node had to be killed", timeout_s=timeout_s)
                self._process.kill()
                self._process.wait()

    def _close_stdin(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()


def counters(exposition: str) -> dict[str, float]:
    """Prometheus text to {metric: sum over its labels}."""
    totals: dict[str, float] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if not sample.name.endswith(("_created", "_bucket")):
                totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
    return totals


def _get(port: int, path: str) -> str:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
        return str(answer.read().decode())
    return ""


class Stack:
    """Everything that runs, as a context manager: started on entering, ended in order on leaving.

    say: told what happens, in words for a person
    """

    def __init__(
        self,
        settings: Settings,
        *,
        sources: Sequence[Source] = (),
        dashboard: bool = True,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._given = settings
        self._sources = sources
        self._dashboard = dashboard
        self._say = say
        self._stop = threading.Event()
        self._exit = contextlib.ExitStack()
        self._trouble = ""
        self._was_ready = False

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
        self._say(f"broker ready on {settings.broker}")
        self.outbox = Outbox(folder / "outbox.sqlite", durable_broker=not embedded)
        stack.callback(self.outbox.close)
        if embedded:
            self.outbox.rewind()  # a broker in memory begins empty
        self.node = Node(self._plan, None if self._given.log_format == "human" else self.log_file)
        self.node.start()
        stack.callback(self.node.stop)
        self.publisher = Publisher(self.outbox, Sender(settings.broker, wiring.names(settings).articles))
        stack.callback(self.publisher.close)
        threads = [threading.Thread(target=self.publisher.run, args=(self._stop,), name="publisher", daemon=True)]
        if self._sources:
            threads.append(threading.Thread(target=self._crawl, name="crawler", daemon=True))
        threads.append(threading.Thread(target=self._supervise, name="supervisor", daemon=True))
        stack.callback(self._join, threads)
        for thread in threads:
            thread.start()

    def _plan(self) -> NodePlan:
        if self.broker is None:
            return NodePlan(settings=self.settings, dashboard=self._dashboard)
        return NodePlan(
            settings=self.settings,
            dashboard=self._dashboard,
            session_timeout_s=EMBEDDED_SESSION_TIMEOUT_S,
            broker_pid=self.broker.pid or 0,
        )

    def _join(self, threads: Sequence[threading.Thread]) -> None:
        self._stop.set()
        for thread in threads:
            thread.join(timeout=20)

    def _ensure_topics(self) -> None:
        settings = self.settings
        ensure_topics(settings.broker, wiring.names(settings), partitions=settings.partitions, replication=settings.replication)

    def _crawl(self) -> None:
        from ingest.crawl import Crawler
        from ingest.fetch import Fetcher

        with contextlib.closing(Fetcher()) as fetcher:
            Crawler(self._sources, fetcher, self.outbox, wiring.make_gazetteer(self.settings)).run(self._stop)

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
        quick = 0
        while not self._stop.wait(0.5):
            try:
                self._was_ready = self._was_ready or self.node.ready()
                if self.broker is not None and not self.broker.alive:
                    self._restart_broker()
                elif self.node.returncode is not None:
                    quick = 0 if self._was_ready else quick + 1
                    if self.node.returncode == 2 or quick >= QUICK_DEATHS:
                        self._trouble = f"the worker ended (exit {self.node.returncode}) and would again: {last_reason(self.log_file)}"
                        return
                    self._restart_node(wait_s=min(2.0**quick, 15.0) if quick else 0.0)
                elif self.broker is not None:
                    self.outbox.prune(
                        committed_offsets(self.settings.broker, self.settings.consumer_group, wiring.names(self.settings).articles)
                    )
            except TocsinError as error:
                _log.warning("supervisor will try again", reason=str(error))
            except Exception as error:  # the supervisor must outlive everything it watches
                _log.error("supervisor met the unexpected", error=repr(error))

    def _restart_node(self, wait_s: float) -> None:
        self._say(f"the worker ended (exit {self.node.returncode}); starting it again")
        if not self._stop.wait(wait_s):
            self._was_ready = False
            self.node.start()

    def _restart_broker(self) -> None:
        """The broker's memory is gone: the worker must begin anew and get again what it had not stored."""
        if self.broker is None:
            return
        self._say("the broker ended; starting it and the worker again")
        self.node.stop()
        self.broker.stop()
        self.broker.start()
        self._ensure_topics()
        self.publisher.rewound()
        self.node.start()


@contextlib.contextmanager
def sole_owner(folder: Path) -> Iterator[None]:
    """Hold the folder's lock while inside. Raises SettingsError when another process has it."""
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SettingsError(f"another tocsin uses the data folder {folder}; stop it, or set data_dir to another folder") from error
        yield


def last_reason(log_file: Path) -> str:
    """The last error that the worker logged, for a message to a person."""
    with contextlib.suppress(OSError):
        for line in reversed(log_file.read_text(errors="replace").splitlines()[-200:]):
            with contextlib.suppress(msgspec.DecodeError):
                entry = msgspec.json.decode(line, type=dict[str, object])
                if entry.get("level") == "error" and entry.get("reason"):
                    return str(entry["reason"])
    return f"see {log_file}"
