"""The flow of the worker:

    articles ─▶ [score] ─▶ scores ─▶ [watch] ─▶ alerts ─▶ [notify] ─▶ webhooks
                   │                    │                    │
                   └── articles, dead ──┴── alerts ──────────┴── deliveries ──▶ the store

Timers do what no message triggers: `watch` checks for source outages and for sources whose sentiment stands out; `notify` resolves alerts
and makes attempts that are due.

There is one agent per topic, and all use the one way of consuming that loses nothing with Faust (docs/decisions.md): raw bytes; batches in
order (`noack_take`); the work, including the store, in threads; publish and await Kafka's confirmation; then acknowledge every event in
order. While a batch is stored and published, the next one may already be read, which for `score` includes classification; it is stored
after the previous one is acknowledged. The body of an agent never raises, as Faust would then commit the batch. An unrecoverable error
ends the process before Faust can commit anything (`fatal`), and the batch is delivered again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar

from faust.types import TP

from core import log, metrics
from core.kafka_topics import TopicNames
from core.record_seals import RecordSeal
from core.records import Alert, Score, encode
from storage.store import Delivery
from stream.worker.batches import RawMessage
from stream.worker.pipeline import ClassifiedBatch, Pipeline
from stream.worker.progress import LostMessages, OffsetTracker, Progress, lost_messages

Role = Literal["score", "watch", "notify"]
ROLES: tuple[Role, ...] = ("score", "watch", "notify")
TICK_S = 1.0
_log = log.get_logger(__name__)

P = ParamSpec("P")
ResultT = TypeVar("ResultT")


class StageResult(NamedTuple):
    """The result of a batch. publish: (key, value) of messages; counts: for the log line"""

    publish: list[tuple[bytes, bytes]]
    counts: dict[str, int]


class Stage(NamedTuple):
    """An agent.

    source, sink: topics; sink is "" for none
    read: decodes messages for `work`; it stores dead letters only
    record_lost: called with messages that were deleted before they were read
    batch_max: maximum number of messages per batch
    read_ahead: whether a batch may be read, in a thread of its own, while the previous one is worked on
    begin: called each time this worker is assigned partitions of `source`, in parallel to the batches
    tick: called every TICK_S while this worker has partitions of `source`, in parallel to the batches
    """

    role: Role
    source: str
    read: Callable[[Sequence[RawMessage], datetime], Any]
    work: Callable[[Any, datetime], StageResult]
    record_lost: Callable[[Sequence[LostMessages], datetime], None]
    sink: str
    batch_max: int
    read_ahead: bool = False
    begin: Callable[[datetime], StageResult] | None = None
    tick: Callable[[datetime], StageResult] | None = None


def stages(pipeline: Pipeline, names: TopicNames, batch_max: int) -> list[Stage]:
    """The three agents, in the order of the flow."""

    def store(batch: ClassifiedBatch, now: datetime) -> StageResult:
        result = pipeline.store_batch(batch, now)
        counts = {"scored": result.scored, "repeated": result.repeated, "dead": len(result.dead)}
        return StageResult([(score.id.encode(), encode(score)) for score in result.scores], counts)

    def read_scores(messages: Sequence[RawMessage], now: datetime) -> list[Score]:
        return pipeline.read(messages, Score, now)

    def publish(alerts: Sequence[Alert]) -> StageResult:
        return StageResult([(alert.series.encode(), encode(alert)) for alert in alerts], {"alerts": len(alerts)})

    def watch(scores: Sequence[Score], now: datetime) -> StageResult:
        return publish(pipeline.watch(scores, now))

    def catch_up(now: datetime) -> StageResult:
        return publish(pipeline.catch_up(now))

    def check_sources(now: datetime) -> StageResult:
        pipeline.check_source_sentiment(now)
        return publish(pipeline.check_outages(now))

    def read_alerts(messages: Sequence[RawMessage], now: datetime) -> list[Alert]:
        return pipeline.read(messages, Alert, now)

    def notify(alerts: Sequence[Alert], _now: datetime) -> StageResult:
        return count([delivery for alert in alerts for delivery in pipeline.notify(alert)])

    def resolve_and_send(now: datetime) -> StageResult:
        pipeline.resolve_alerts(now)
        return count(pipeline.send_due(now))

    def count(deliveries: Sequence[Delivery]) -> StageResult:
        delivered = sum(delivery.delivered for delivery in deliveries)
        return StageResult([], {"delivered": delivered, "failed": len(deliveries) - delivered})

    lost = pipeline.record_lost
    # notify takes one alert at a time, so that a slow endpoint delays one alert, and a rebalance by one
    return [
        Stage("score", names.articles, pipeline.classify_batch, store, lost, names.scores, batch_max, read_ahead=True),
        Stage("watch", names.scores, read_scores, watch, lost, names.alerts, batch_max, begin=catch_up, tick=check_sources),
        Stage("notify", names.alerts, read_alerts, notify, lost, "", 1, tick=resolve_and_send),
    ]


def add_agent(
    app: Any, stage: Stage, progress: Progress, batch_wait_s: float, fatal: Callable[[str, BaseException], None], seal: RecordSeal
) -> None:
    """Adds a stage to the Faust app. `fatal` ends the process and does not return."""
    agent = _Agent(app, stage, progress, batch_wait_s, fatal, seal)
    app.on_partitions_revoked.connect(agent.revoked)
    app.on_partitions_assigned.connect(agent.assigned)
    topic = app.topic(stage.source, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    async def run(stream: Any) -> None:
        await agent.run(stream)

    app.agent(topic, name=stage.role, concurrency=1)(run)


class _Agent:
    """Runs a stage."""

    def __init__(
        self,
        app: Any,
        stage: Stage,
        progress: Progress,
        batch_wait_s: float,
        fatal: Callable[[str, BaseException], None],
        seal: RecordSeal,
    ) -> None:
        self._seal = seal
        self._app, self._stage, self._progress = app, stage, progress
        self._batch_wait_s, self._fatal = batch_wait_s, fatal
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix=stage.role)
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"{stage.role} ahead") if stage.read_ahead else self._worker
        self._offsets = OffsetTracker(lambda partition: app.consumer._committed_offset.get(TP(*partition)))
        self._starting: set[asyncio.Task[None]] = set()
        self._ticking: asyncio.Task[None] | None = None

    async def run(self, stream: Any) -> None:
        """Processes the batches of `stream` until Faust cancels it."""
        previous: asyncio.Task[None] | None = None  # works on the previous batch
        numbers: deque[int] = deque(maxlen=2)  # of the batches in progress
        try:
            async for events in stream.noack_take(self._stage.batch_max, within=self._batch_wait_s):
                began, batch = time.monotonic(), self._progress.started(self._stage.role)
                numbers.append(batch)
                messages = [_raw(event.message) for event in events]
                found = await self._read(messages)
                if previous is not None:
                    await previous
                previous = asyncio.create_task(self._work(stream, events, messages, found, batch, began))
                if not self._stage.read_ahead:
                    await previous
        finally:
            if previous is not None:
                previous.cancel()
            for number in numbers:
                self._progress.dropped(number)

    async def _read(self, messages: Sequence[RawMessage]) -> Any:
        with self._no_error():
            jumps = self._offsets.jumps(messages)
            if jumps:
                beginnings = await self._app.consumer.earliest_offsets(*{TP(*jump.partition) for jump in jumps})
                await _in(self._reader, self._stage.record_lost, lost_messages(jumps, beginnings), datetime.now(UTC))
            return await _in(self._reader, self._stage.read, self._opened(messages), datetime.now(UTC))

    def _opened(self, messages: Sequence[RawMessage]) -> Sequence[RawMessage]:
        """The messages that we wrote, without their seals. Others are dropped: whoever wrote them must not fill the dead letters."""
        if not self._seal:
            return messages
        opened = [message._replace(value=self._seal.open(message.topic, message.key, message.value)) for message in messages]
        genuine = [message for message in opened if message.value is not None]
        if len(genuine) < len(messages):
            count = len(messages) - len(genuine)
            metrics.FORGED_RECORDS.labels(self._stage.source).inc(count)
            _log.error("forged_records_dropped", topic=self._stage.source, records=count, reason="they have no valid seal of this start")
        return genuine

    async def _work(self, stream: Any, events: Sequence[Any], messages: Sequence[RawMessage], found: Any, batch: int, began: float) -> None:
        with self._no_error():
            result = await _in(self._worker, self._stage.work, found, datetime.now(UTC))
            await self._publish(result)
            for event in events:
                await stream.ack(event)
            self._progress.finished(batch, messages)
        took_ms = round((time.monotonic() - began) * 1000)
        metrics.BATCH_MESSAGES.labels(self._stage.role).observe(len(messages))
        _log.info(self._stage.role, messages=len(messages), **result.counts, published=len(result.publish), took_ms=took_ms)

    async def _publish(self, result: StageResult) -> None:
        """Sends the messages and waits until Kafka has confirmed all."""
        sink = self._stage.sink
        sealed = [(key, self._seal.seal(sink, key, value)) for key, value in result.publish]
        sent = [await self._app.producer.send(sink, key, value, None, None, None) for key, value in sealed]
        await asyncio.gather(*sent)

    async def assigned(self, _app: Any, partitions: Collection[Any], **_unused: Any) -> None:
        """Called when this worker is assigned partitions. The stage starts in parallel to the rebalance."""
        if not any(each.topic == self._stage.source for each in partitions):
            return
        if self._stage.tick is not None and self._ticking is None:
            self._ticking = asyncio.create_task(self._tick(self._stage.tick))
        if self._stage.begin is not None:
            task = asyncio.create_task(self._begin(self._stage.begin))
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _begin(self, begin: Callable[[datetime], StageResult]) -> None:
        with self._no_error():
            try:
                result = await _in(self._worker, begin, datetime.now(UTC))
                await self._publish(result)
            except Exception:
                if self._app.ending:
                    return  # the next worker starts again
                raise
        _log.info(f"{self._stage.role}_started", **result.counts)

    async def _tick(self, tick: Callable[[datetime], StageResult]) -> None:
        """Retries a failure at the next tick, as ticks depend on the store only, not on messages. Their results must be published."""
        while not self._app.ending:
            await asyncio.sleep(TICK_S)
            try:
                result = await _in(self._worker, tick, datetime.now(UTC))
            except Exception as error:
                _log.warning(f"{self._stage.role}_tick_failed", error=f"{type(error).__name__}: {error}")
                continue
            with self._no_error():
                try:
                    await self._publish(result)
                except Exception:
                    if self._app.ending:
                        return  # the next worker publishes it again
                    raise

    async def revoked(self, _app: Any, partitions: Collection[Any], **_unused: Any) -> None:
        """Called when other workers read these partitions from now on."""
        if self._ticking is not None and any(each.topic == self._stage.source for each in partitions):
            self._ticking.cancel()
            self._ticking = None
        self._offsets.revoked([(each.topic, each.partition) for each in partitions])

    @contextlib.contextmanager
    def _no_error(self) -> Iterator[None]:
        """Ends the process on any error inside. If Faust cancels the batch, nothing was acknowledged."""
        try:
            yield
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._fatal(f"a batch of {self._stage.source} failed", error)
            raise


async def _in(threads: ThreadPoolExecutor, action: Callable[P, ResultT], *args: P.args, **kwargs: P.kwargs) -> ResultT:
    """Runs `action` in one of these threads."""
    return await asyncio.get_running_loop().run_in_executor(threads, partial(action, *args, **kwargs))


def _raw(message: Any) -> RawMessage:
    return RawMessage(message.topic, message.partition, message.offset, message.key, message.value)
