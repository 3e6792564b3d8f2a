"""The flow, drawn once:

    articles ─▶ [score] ─▶ scores ─▶ [watch] ─▶ alerts ─▶ [notify] ─▶ webhooks
                   │                    │                    │
                   └── articles, dead ──┴── alerts ──────────┴── deliveries ──▶ the store

What no message asks for is done by the clock: `watch` listens for silence, `notify` tries again and resolves what is over.

One agent a topic, and one way of running each of them, the only one of Faust's that loses nothing (docs/decisions.md):
raw bytes; batches in order (`noack_take`); the work, store included, in threads; publish and await Kafka's confirmation;
then acknowledge every event in order. While one batch is stored and published, the next may already be read, which for
`score` means classified; it is stored when the one ahead of it is acknowledged. An agent's body never raises: Faust would
commit the batch. What cannot be mended ends the process before Faust can commit anything (`fatal`), and the batch comes again.
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
from core.records import Alert, Score, encode
from storage.store import Delivery
from stream.worker.batches import Raw
from stream.worker.lost_messages import Gaps, Missed, gone
from stream.worker.pipeline import Drafts, Pipeline
from stream.worker.progress import Progress

Role = Literal["score", "watch", "notify"]
ROLES: tuple[Role, ...] = ("score", "watch", "notify")
TICK_S = 1.0
_log = log.get_logger(__name__)

P = ParamSpec("P")
ResultT = TypeVar("ResultT")


class Outcome(NamedTuple):
    """What a batch came to: (key, value) of the messages to publish, and the figures of its log line."""

    publish: list[tuple[bytes, bytes]]
    figures: dict[str, int]


class Stage(NamedTuple):
    """One agent: where it reads, what it does with a batch, where it publishes ("" when nowhere), how many messages at once.

    read: makes of messages what `work` wants, and stores at most those that hold no record
    missed: told of messages that were gone before they could be read
    ahead: whether a batch may be read, in a thread of its own, while the one before it is worked on
    begin: done each time that partitions of `source` come to this worker, beside the batches
    tick: done each TICK_S while this worker has partitions of `source`, beside the batches: what no message asks for
    """

    role: Role
    source: str
    read: Callable[[Sequence[Raw], datetime], Any]
    work: Callable[[Any, datetime], Outcome]
    missed: Callable[[Sequence[Missed], datetime], None]
    sink: str
    batch_max: int
    ahead: bool = False
    begin: Callable[[datetime], Outcome] | None = None
    tick: Callable[[datetime], Outcome] | None = None


def stages(pipeline: Pipeline, names: TopicNames, batch_max: int) -> list[Stage]:
    """The three agents, in the order of the flow."""

    def score(drafts: Drafts, now: datetime) -> Outcome:
        batch = pipeline.keep(drafts, now)
        figures = {"scored": batch.scored, "repeated": batch.repeated, "dead": len(batch.dead)}
        return Outcome([(score.id.encode(), encode(score)) for score in batch.scores], figures)

    def read_scores(messages: Sequence[Raw], now: datetime) -> list[Score]:
        return pipeline.read(messages, Score, now)

    def to_publish(alerts: Sequence[Alert]) -> Outcome:
        return Outcome([(alert.series.encode(), encode(alert)) for alert in alerts], {"alerts": len(alerts)})

    def watch(scores: Sequence[Score], now: datetime) -> Outcome:
        return to_publish(pipeline.watch(scores, now))

    def catch_up(now: datetime) -> Outcome:
        return to_publish(pipeline.catch_up(now))

    def listen(now: datetime) -> Outcome:
        return to_publish(pipeline.listen(now))

    def read_alerts(messages: Sequence[Raw], now: datetime) -> list[Alert]:
        return pipeline.read(messages, Alert, now)

    def notify(alerts: Sequence[Alert], _now: datetime) -> Outcome:
        return delivered([delivery for alert in alerts for delivery in pipeline.notify(alert)])

    def remind(now: datetime) -> Outcome:
        return delivered(pipeline.remind(now))

    def delivered(made: Sequence[Delivery]) -> Outcome:
        taken = sum(delivery.delivered for delivery in made)
        return Outcome([], {"delivered": taken, "failed": len(made) - taken})

    missed = pipeline.missed
    # notify: one at a time, so that a slow endpoint holds up one alert, and a rebalance for one
    return [
        Stage("score", names.articles, pipeline.draft, score, missed, names.scores, batch_max, ahead=True),
        Stage("watch", names.scores, read_scores, watch, missed, names.alerts, batch_max, begin=catch_up, tick=listen),
        Stage("notify", names.alerts, read_alerts, notify, missed, "", 1, tick=remind),
    ]


def add_agent(app: Any, stage: Stage, progress: Progress, batch_wait_s: float, fatal: Callable[[str, BaseException], None]) -> None:
    """Put a stage on the Faust app. `fatal` ends the process and does not return."""
    agent = _Agent(app, stage, progress, batch_wait_s, fatal)
    app.on_partitions_revoked.connect(agent.revoked)
    app.on_partitions_assigned.connect(agent.assigned)
    topic = app.topic(stage.source, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    async def run(stream: Any) -> None:
        await agent.run(stream)

    app.agent(topic, name=stage.role, concurrency=1)(run)


class _Agent:
    """A stage at work."""

    def __init__(
        self, app: Any, stage: Stage, progress: Progress, batch_wait_s: float, fatal: Callable[[str, BaseException], None]
    ) -> None:
        self._app, self._stage, self._progress = app, stage, progress
        self._batch_wait_s, self._fatal = batch_wait_s, fatal
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix=stage.role)
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"{stage.role} ahead") if stage.ahead else self._worker
        self._gaps = Gaps(lambda place: app.consumer._committed_offset.get(TP(*place)))
        self._begun: set[asyncio.Task[None]] = set()
        self._ticking: asyncio.Task[None] | None = None

    async def run(self, stream: Any) -> None:
        """Work on the batches of `stream` until Faust takes it away."""
        before: asyncio.Task[None] | None = None  # works on the batch before
        numbers: deque[int] = deque(maxlen=2)  # of the batches in hand
        try:
            async for events in stream.noack_take(self._stage.batch_max, within=self._batch_wait_s):
                began, batch = time.monotonic(), self._progress.started(self._stage.role)
                numbers.append(batch)
                messages = [_raw(event.message) for event in events]
                found = await self._read(messages)
                if before is not None:
                    await before
                before = asyncio.create_task(self._work(stream, events, messages, found, batch, began))
                if not self._stage.ahead:
                    await before
        finally:
            if before is not None:
                before.cancel()
            for number in numbers:
                self._progress.dropped(number)

    async def _read(self, messages: Sequence[Raw]) -> Any:
        with self._no_error():
            jumps = self._gaps.jumps(messages)
            if jumps:
                beginnings = await self._app.consumer.earliest_offsets(*{TP(*jump.place) for jump in jumps})
                await _in(self._reader, self._stage.missed, gone(jumps, beginnings), datetime.now(UTC))
            return await _in(self._reader, self._stage.read, messages, datetime.now(UTC))

    async def _work(self, stream: Any, events: Sequence[Any], messages: Sequence[Raw], found: Any, batch: int, began: float) -> None:
        with self._no_error():
            outcome = await _in(self._worker, self._stage.work, found, datetime.now(UTC))
            await self._publish(outcome)
            for event in events:
                await stream.ack(event)
            self._progress.finished(batch, messages)
        took_ms = round((time.monotonic() - began) * 1000)
        metrics.BATCH_SIZE.observe(len(messages))
        _log.info(self._stage.role, messages=len(messages), **outcome.figures, published=len(outcome.publish), took_ms=took_ms)

    async def _publish(self, outcome: Outcome) -> None:
        """Hand to Kafka, and wait until it has all."""
        sent = [await self._app.producer.send(self._stage.sink, key, value, None, None, None) for key, value in outcome.publish]
        await asyncio.gather(*sent)

    async def assigned(self, _app: Any, places: Collection[Any], **_unused: Any) -> None:
        """Partitions have come to this worker. What the stage does then runs beside the rebalance."""
        if not any(place.topic == self._stage.source for place in places):
            return
        if self._stage.tick is not None and self._ticking is None:
            self._ticking = asyncio.create_task(self._tick(self._stage.tick))
        if self._stage.begin is not None:
            task = asyncio.create_task(self._begin(self._stage.begin))
            self._begun.add(task)
            task.add_done_callback(self._begun.discard)

    async def _begin(self, first: Callable[[datetime], Outcome]) -> None:
        with self._no_error():
            try:
                outcome = await _in(self._worker, first, datetime.now(UTC))
                await self._publish(outcome)
            except Exception:
                if self._app.ending:
                    return  # who watches next begins anew
                raise
        _log.info(f"{self._stage.role} begins", **outcome.figures)

    async def _tick(self, again: Callable[[datetime], Outcome]) -> None:
        """What fails is tried at the next tick: it follows from the store, not from a message. What it found must be published."""
        while not self._app.ending:
            await asyncio.sleep(TICK_S)
            try:
                outcome = await _in(self._worker, again, datetime.now(UTC))
            except Exception as error:
                _log.warning(f"{self._stage.role} will try again", error=f"{type(error).__name__}: {error}")
                continue
            with self._no_error():
                try:
                    await self._publish(outcome)
                except Exception:
                    if self._app.ending:
                        return  # who watches next hands it on again
                    raise

    async def revoked(self, _app: Any, places: Collection[Any], **_unused: Any) -> None:
        """Partitions are read elsewhere from now on."""
        if self._ticking is not None and any(place.topic == self._stage.source for place in places):
            self._ticking.cancel()
            self._ticking = None
        self._gaps.taken_away([(place.topic, place.partition) for place in places])

    @contextlib.contextmanager
    def _no_error(self) -> Iterator[None]:
        """Around what must not raise: an error ends the process. When Faust takes the batch away, nothing was acknowledged."""
        try:
            yield
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._fatal(f"a batch of {self._stage.source} could not be finished", error)
            raise


async def _in(threads: ThreadPoolExecutor, action: Callable[P, ResultT], *args: P.args, **kwargs: P.kwargs) -> ResultT:
    """The result of `action`, run in one of these threads."""
    return await asyncio.get_running_loop().run_in_executor(threads, partial(action, *args, **kwargs))


def _raw(message: Any) -> Raw:
    return Raw(message.topic, message.partition, message.offset, message.key, message.value)
