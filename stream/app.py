"""The worker: Faust with the one configuration that loses nothing, and the watchdogs around it.

Crash-only: a worker that cannot go on ends at once with exit code 70, before Faust can commit anything; whoever started it
starts it again. Run it on the main thread of its own process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import faust
from faust.transport.drivers import aiokafka as driver

from spine import log
from spine.topics import TopicNames
from stream.agents import ROLES, Role, add_agent, stages
from stream.pipeline import Pipeline
from stream.progress import Place, Progress

EXIT_FATAL = 70
SESSION_TIMEOUT_S = 12.0
"""A killed worker's partitions go to another one after this. (Tansu also lets a new group wait for half of it.)"""
REBALANCE_TIMEOUT_S = 60.0
"""A batch and the one read ahead, retries included, must end well before this: stream.resilience.Patience waits half of it."""
LEAVE_S = 10.0
"""A worker that is to stop and whose batches are done has so long to commit and to leave its group. Faust may wait for ever: when
workers leave together, its consumer's thread waits for its main thread to give partitions away, and that waits for the thread."""
FETCH_WAIT_MS = 100
"""One request for all partitions is under way at a time: while a broker holds it back for want of news, what was just consumed
is not asked for. Faust's fixed 1,500 ms made an article wait 1.2 s between `articles` and `scores`."""
_log = log.get_logger(__name__)


def fatal(what: str, error: BaseException | None = None) -> None:
    """Say why in one line, and end the process now. No clean-up runs: Faust's would commit what was not done."""
    _exit(EXIT_FATAL, partial(_log.critical, "worker ends", reason=what, error=_said(error), exit_code=EXIT_FATAL))


def _exit(code: int, say: Callable[[], None]) -> None:
    """End the process now, after `say`, whatever becomes of that."""
    with contextlib.suppress(Exception):
        say()
        sys.stderr.flush()
    os._exit(code)


def _leave(why: str) -> None:
    """End a worker that was to stop, without Faust's consent: what is not committed is done again by the next, as after a crash."""
    _exit(0, partial(_log.warning, "worker stopped without its last commit", error=why))


def _said(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}" if error else ""


class _Thread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer


class _Consumer(driver.Consumer):  # type: ignore[misc]
    def _new_consumer_thread(self) -> Any:
        return _Thread(self, loop=self.loop, beacon=self.beacon)


class _Transport(driver.Transport):  # type: ignore[misc]
    Consumer = _Consumer


class _App(faust.App):  # type: ignore[misc]
    """A Faust app that ends the process where Faust would stop the app in good order, and commit on the way."""

    ending = False

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)

    def _crash(self, reason: BaseException) -> None:
        if not self.ending:
            fatal("Faust crashed", reason)
        # The last commit of workers that leave together may be refused, and Faust cannot end after it: its thread's loop is gone.
        _leave(_said(reason))


for _kind in (_Thread, _Consumer, _Transport, _App):
    _kind.logger = logging.getLogger("faust")  # not ours: it tells of every step of a start


def create_app(*, broker: str, group: str, batch_max: int, data_dir: Path, session_timeout_s: float = SESSION_TIMEOUT_S) -> Any:
    """The Faust app, without agents. broker: "host:port,host:port"."""
    data_dir.mkdir(parents=True, exist_ok=True)
    return _App(
        group,
        broker=[f"kafka://{place.strip()}" for place in broker.split(",")],
        datadir=str(data_dir),
        autodiscover=False,
        web_enabled=False,
        key_serializer="raw",
        value_serializer="raw",
        topic_disable_leader=True,
        topic_allow_declare=False,  # topics are made with their partitions and retention before any worker starts
        consumer_auto_offset_reset="earliest",
        table_standby_replicas=0,  # no tables, so partitions go round robin, also among workers with different roles
        broker_session_timeout=session_timeout_s,
        broker_heartbeat_interval=session_timeout_s / 4,
        broker_rebalance_timeout=REBALANCE_TIMEOUT_S,
        broker_commit_interval=0.5,
        stream_wait_empty=True,
        stream_buffer_maxsize=max(64, 2 * batch_max),
        producer_acks=-1,
        producer_request_timeout=30.0,
    )


async def run_worker(
    pipeline: Pipeline,
    *,
    broker: str,
    names: TopicNames,
    group: str,
    batch_max: int,
    batch_wait_s: float,
    data_dir: Path,
    stop: asyncio.Event,
    on_ready: Callable[[], None] | None = None,
    roles: Sequence[Role] = ROLES,
    session_timeout_s: float = SESSION_TIMEOUT_S,
    stuck_s: float = 180.0,
    stop_s: float = 30.0,
) -> None:
    """Run the agents of `roles` until `stop` is set, then finish what is begun. On the main thread's loop; the topics must be there.

    data_dir: a folder for Faust's own files
    on_ready: called once, when Kafka has given this worker its partitions for the first time
    stuck_s: with work waiting and no batch finished for so long, the process ends; so it does when a batch takes so long
    stop_s: a stop whose batches take longer ends the process
    """
    app = create_app(broker=broker, group=group, batch_max=batch_max, data_dir=data_dir, session_timeout_s=session_timeout_s)
    progress = Progress()
    for stage in stages(pipeline, names, batch_max):
        if stage.role in roles:
            add_agent(app, stage, progress, batch_wait_s, fatal)
    ready = asyncio.Event()

    async def assigned(_app: Any, **_unused: Any) -> None:
        ready.set()

    app.on_rebalance_complete.connect(assigned)
    app.finalize()
    try:
        await app.start()
    except Exception as error:
        fatal(f"no worker can start with Kafka at {broker}", error)
    with _watchdog(app, progress, stuck_s):
        waiting = [asyncio.ensure_future(event.wait()) for event in (stop, ready)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if ready.is_set():
            _log.info("worker ready", roles=",".join(roles), broker=broker, group=group)
            if on_ready is not None:
                on_ready()
        await stop.wait()
        for task in waiting:
            task.cancel()
    app.ending = True
    with _bounded_stop(progress, stop_s):
        await app.stop()
    _log.info("worker stopped")


@contextlib.contextmanager
def _bounded_stop(progress: Progress, stop_s: float) -> Iterator[None]:
    """While inside, a thread of its own ends the process when its batches are done and Faust is not, or when they do not get done."""

    def late(over: threading.Event) -> None:
        busy = time.monotonic()  # when any agent last was
        deadline = busy + stop_s
        while not over.wait(0.1):
            now = time.monotonic()
            if progress.busy():
                busy = now
            if now - busy > LEAVE_S:
                _leave(f"Faust did not end within {LEAVE_S:.0f} s of the last batch")
            if now > deadline:
                fatal(f"the worker did not stop within {stop_s:.0f} s")

    with _beside(late, "stop"):
        yield


@contextlib.contextmanager
def _watchdog(app: Any, progress: Progress, stuck_s: float) -> Iterator[None]:
    """While inside, a thread of its own ends the process when nothing moves although there is work."""

    def look(over: threading.Event) -> None:
        while not over.wait(min(5.0, stuck_s / 4)):
            stuck = progress.stuck(_ends(app), stuck_s)
            if stuck:
                fatal(stuck)

    with _beside(look, "watchdog"):
        yield


@contextlib.contextmanager
def _beside(run: Callable[[threading.Event], None], name: str) -> Iterator[None]:
    """While inside, `run` has a thread; the event tells it that it is over."""
    over = threading.Event()
    thread = threading.Thread(target=run, args=[over], name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def _ends(app: Any) -> Mapping[Place, tuple[int | None, int | None]]:
    """Each assigned partition's committed offset and end, as the consumer has them in memory. Empty while it is not up."""
    ends: dict[Place, tuple[int | None, int | None]] = {}
    with contextlib.suppress(Exception):  # a rebalance may change all of it under our hands: look again next time
        consumer = app.consumer
        for place in consumer.assignment():
            ends[place.topic, place.partition] = (consumer._committed_offset.get(place), consumer.highwater(place))
    return ends
