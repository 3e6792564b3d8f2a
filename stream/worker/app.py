"""The worker: Faust with the one configuration that loses nothing, and the watchdogs (stream/worker/watchdogs.py) around it.

Crash-only: a worker that cannot go on ends at once with exit code 70, before Faust can commit anything; whoever started it
starts it again. Run it on the main thread of its own process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import faust
from faust.transport.drivers import aiokafka as driver

from core import log
from core.kafka_topics import TopicNames
from stream.worker import watchdogs
from stream.worker.agents import ROLES, Role, add_agent, stages
from stream.worker.pipeline import Pipeline
from stream.worker.progress import Place, Progress
from stream.worker.watchdogs import bounded_stop, fatal, leave, said, watched_loop, watched_progress

SESSION_TIMEOUT_S = 12.0
"""A killed worker's partitions go to another one after this. (Tansu also lets a new group wait for half of it.)"""
REBALANCE_TIMEOUT_S = 60.0
"""Who does not come to a rebalance for so long is put out of the group. One step of a batch that waits for the store takes less:
stream.worker.retry.RetryPolicy's deadline and the attempt that was begun just before it. A batch of many slow steps may take longer: then
another worker does it too, rows replace themselves, the late commit is refused and Faust joins the group anew (tests/faults)."""
FETCH_WAIT_MS = 100
"""One request for all partitions is under way at a time: while a broker holds it back for want of news, what was just consumed
is not asked for. Faust's fixed 1,500 ms made an article wait 1.2 s between `articles` and `scores`."""
_log = log.get_logger(__name__)


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
        leave(said(reason))


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
    stall_s: float = 30.0,
    stop_s: float = 30.0,
    topics_s: float = 15.0,
) -> None:
    """Run the agents of `roles` until `stop` is set, then finish what is begun. On the main thread's loop.

    Without its topics, at the start or later, the process ends: nothing would ever come, and nobody would notice.

    data_dir: a folder for Faust's own files
    on_ready: called once, when Kafka has given this worker its partitions for the first time
    stuck_s: with work waiting and no batch finished for so long, the process ends; so it does when a batch takes so long
    stall_s: so does it when the event loop stands still for so long
    stop_s: a stop whose batches take longer ends the process
    topics_s: so often it is looked whether the topics are still there
    """
    app = create_app(broker=broker, group=group, batch_max=batch_max, data_dir=data_dir, session_timeout_s=session_timeout_s)
    progress = Progress()
    ours = [stage for stage in stages(pipeline, names, batch_max) if stage.role in roles]
    for stage in ours:
        add_agent(app, stage, progress, batch_wait_s, fatal)
    topics = list(dict.fromkeys(topic for stage in ours for topic in (stage.source, stage.sink) if topic))
    ready = asyncio.Event()

    async def assigned(_app: Any, **_unused: Any) -> None:
        ready.set()

    app.on_rebalance_complete.connect(assigned)
    app.finalize()
    try:
        watchdogs.refuse(broker, await watchdogs.missing(broker, topics))
        await app.start()
    except Exception as error:
        fatal(f"no worker can start with Kafka at {broker}", error)
    loop = asyncio.get_running_loop()
    with watched_loop(loop, stall_s), watched_progress(progress, partial(_ends, app), stuck_s):
        waiting = [asyncio.ensure_future(event.wait()) for event in (stop, ready)]
        looking = asyncio.create_task(watchdogs.watch(broker, topics, topics_s))
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if ready.is_set():
            _log.info("worker ready", roles=",".join(roles), broker=broker, group=group)
            if on_ready is not None:
                on_ready()
        await stop.wait()
        for task in (*waiting, looking):
            task.cancel()
    app.ending = True
    with bounded_stop(progress, stop_s):
        await app.stop()
    _log.info("worker stopped")


def _ends(app: Any) -> Mapping[Place, tuple[int | None, int | None]]:
    """Each assigned partition's committed offset and end, as the consumer has them in memory. Empty while it is not up."""
    ends: dict[Place, tuple[int | None, int | None]] = {}
    with contextlib.suppress(Exception):  # a rebalance may change all of it under our hands: look again next time
        consumer = app.consumer
        for place in consumer.assignment():
            ends[place.topic, place.partition] = (consumer._committed_offset.get(place), consumer.highwater(place))
    return ends
