"""The worker: Faust in the one configuration that loses nothing, with the watchdogs of stream/worker/watchdogs.py.

Crash-only: a worker that cannot continue exits at once with code 70, before Faust can commit anything; its supervisor restarts it. Run it
on the main thread of a process of its own.
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
from core.kafka_address import KafkaAddress, kafka_address, place_of
from core.kafka_topics import TopicNames
from core.record_seals import RecordSeal
from stream.worker import watchdogs
from stream.worker.agents import ROLES, Role, add_agent, stages
from stream.worker.pipeline import Pipeline
from stream.worker.progress import Progress, TopicPartition
from stream.worker.watchdogs import bounded_stop, exit_uncommitted, fatal, format_error, watched_loop, watched_progress

SESSION_TIMEOUT_S = 12.0
"""After so long, the partitions of a killed worker go to another one. (Tansu also delays a new group by half of it.)"""
REBALANCE_TIMEOUT_S = 60.0
"""A worker that does not join a rebalance within this time is removed from the group. A single step of a batch that waits for the store
takes less: the deadline of stream.retry.RetryPolicy plus one attempt. A batch of many slow steps may take longer: then another
worker processes it too, rows replace themselves, the late commit is rejected, and Faust joins the group again (tests/faults)."""
FETCH_WAIT_MS = 100
"""Only one fetch request for all partitions is in flight at a time. While the broker holds it, as there is nothing new, no partition is
fetched. With Faust's fixed 1,500 ms, an article took 1.2 s from `articles` to `scores`."""
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
    """A Faust app that ends the process where Faust would stop gracefully, and commit on the way."""

    ending = False

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)

    def _crash(self, reason: BaseException) -> None:
        if not self.ending:
            fatal("Faust crashed", reason)
        # When workers leave together, the last commit may be rejected, after which Faust cannot stop: the loop of its thread has ended.
        exit_uncommitted(format_error(reason))


for _kind in (_Thread, _Consumer, _Transport, _App):
    _kind.logger = logging.getLogger("faust")  # logs every step of a start


def _credentials(address: KafkaAddress) -> Any:
    """The credentials of an address in Faust's form; None without any."""
    if address.user:
        return faust.SASLCredentials(username=address.user, password=address.password, ssl_context=address.tls, mechanism=address.mechanism)
    return faust.SSLCredentials(address.tls) if address.tls is not None else None


def create_app(*, broker: str, group: str, batch_max: int, data_dir: Path, session_timeout_s: float = SESSION_TIMEOUT_S) -> Any:
    """The Faust app, without agents. broker: as in the settings."""
    data_dir.mkdir(parents=True, exist_ok=True)
    address = kafka_address(broker)
    return _App(
        group,
        broker=[f"kafka://{server}" for server in address.servers],
        broker_credentials=_credentials(address),
        datadir=str(data_dir),
        autodiscover=False,
        web_enabled=False,
        key_serializer="raw",
        value_serializer="raw",
        topic_disable_leader=True,
        topic_allow_declare=False,  # `tocsin migrate` creates topics with their partitions and retention
        consumer_auto_offset_reset="earliest",
        table_standby_replicas=0,  # without tables, partitions are assigned round-robin, also among workers with different roles
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
    seal: RecordSeal | None = None,
) -> None:
    """Runs the agents of `roles` until `stop` is set, then finishes the batches in progress. On the event loop of the main thread.

    Without its topics, at the start or later, the process exits: Faust would wait for messages forever.

    Args:
        pipeline: the steps.
        broker: as in the settings.
        names: of the topics.
        group: the consumer group.
        batch_max: maximum messages per batch.
        batch_wait_s: how long a batch waits for further messages.
        data_dir: a folder for Faust's own files.
        stop: ends the worker.
        on_ready: called once, when the first partitions are assigned.
        roles: of this worker.
        session_timeout_s: see SESSION_TIMEOUT_S.
        stuck_s: the process exits if no batch is finished for so long while there is work, or if a batch takes so long.
        stall_s: the process exits if the event loop is blocked for so long.
        stop_s: the process exits if a stop takes longer.
        topics_s: interval of the check that the topics exist.
        seal: on each record of the embedded broker; None for Kafka.
    """
    app = create_app(broker=broker, group=group, batch_max=batch_max, data_dir=data_dir, session_timeout_s=session_timeout_s)
    progress = Progress()
    active = [stage for stage in stages(pipeline, names, batch_max) if stage.role in roles]
    for stage in active:
        add_agent(app, stage, progress, batch_wait_s, fatal, seal or RecordSeal())
    topics = list(dict.fromkeys(topic for stage in active for topic in (stage.source, stage.sink) if topic))
    ready = asyncio.Event()

    async def assigned(_app: Any, **_unused: Any) -> None:
        ready.set()

    app.on_rebalance_complete.connect(assigned)
    app.finalize()
    try:
        watchdogs.require_topics(broker, await watchdogs.missing_topics(broker, topics))
        await app.start()
    except Exception as error:
        fatal(f"the worker cannot start with Kafka at {place_of(broker)}", error)
    loop = asyncio.get_running_loop()
    with watched_loop(loop, stall_s), watched_progress(progress, partial(_offsets, app), stuck_s):
        waiting = [asyncio.ensure_future(event.wait()) for event in (stop, ready)]
        topic_check = asyncio.create_task(watchdogs.watch_topics(broker, topics, topics_s))
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if ready.is_set():
            _log.info("worker_ready", roles=",".join(roles), broker=place_of(broker), group=group)
            if on_ready is not None:
                on_ready()
        await stop.wait()
        for task in (*waiting, topic_check):
            task.cancel()
    app.ending = True
    with bounded_stop(progress, stop_s):
        await app.stop()
    _log.info("worker_stopped")


def _offsets(app: Any) -> Mapping[TopicPartition, tuple[int | None, int | None]]:
    """Committed offset and end of each assigned partition, as the consumer knows them. Empty while it is not running."""
    offsets: dict[TopicPartition, tuple[int | None, int | None]] = {}
    with contextlib.suppress(Exception):  # a rebalance may change the assignment meanwhile; the next call reads it again
        consumer = app.consumer
        for partition in consumer.assignment():
            offsets[partition.topic, partition.partition] = (consumer._committed_offset.get(partition), consumer.highwater(partition))
    return offsets
