"""The flow, drawn once:

    articles ─▶ [score] ─▶ scores ─▶ [watch] ─▶ alerts ─▶ [notify] ─▶ webhooks
                   │                    │                    │
                   └── articles, dead ──┴── alerts ──────────┴── deliveries ──▶ the store

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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from spine import log, metrics
from spine.records import Alert, Score, encode
from spine.topics import TopicNames
from stream.batches import Raw
from stream.pipeline import Drafts, Pipeline
from stream.progress import Progress

Role = Literal["score", "watch", "notify"]
ROLES: tuple[Role, ...] = ("score", "watch", "notify")
_log = log.get_logger(__name__)


class Outcome(NamedTuple):
    """What a batch came to: (key, value) of the messages to publish, and the figures of its log line."""

    publish: list[tuple[bytes, bytes]]
    figures: dict[str, int]


class Stage(NamedTuple):
    """One agent: where it reads, what it does with a batch, where it publishes ("" when nowhere), how many messages at once.

    read: makes of messages what `work` wants, and stores at most those that hold no record
    ahead: whether a batch may be read, in a thread of its own, while the one before it is worked on
    """

    role: Role
    source: str
    read: Callable[[Sequence[Raw], datetime], Any]
    work: Callable[[Any, datetime], Outcome]
    sink: str
    batch_max: int
    ahead: bool = False


def stages(pipeline: Pipeline, names: TopicNames, batch_max: int) -> list[Stage]:
    """The three agents, in the order of the flow."""

    def score(drafts: Drafts, now: datetime) -> Outcome:
        batch = pipeline.keep(drafts, now)
        figures = {"scored": batch.scored, "repeated": batch.repeated, "dead": len(batch.dead)}
        return Outcome([(score.id.encode(), encode(score)) for score in batch.scores], figures)

    def read_scores(messages: Sequence[Raw], now: datetime) -> list[Score]:
        return pipeline.read(messages, Score, now)

    def watch(scores: Sequence[Score], now: datetime) -> Outcome:
        alerts = pipeline.watch(scores, now)
        return Outcome([(alert.series.encode(), encode(alert)) for alert in alerts], {"alerts": len(alerts)})

    def read_alerts(messages: Sequence[Raw], now: datetime) -> list[Alert]:
        return pipeline.read(messages, Alert, now)

    def notify(alerts: Sequence[Alert], _now: datetime) -> Outcome:
        made = [delivery for alert in alerts for delivery in pipeline.notify(alert)]
        delivered = sum(delivery.delivered for delivery in made)
        return Outcome([], {"delivered": delivered, "failed": len(made) - delivered})

    return [
        Stage("score", names.articles, pipeline.draft, score, names.scores, batch_max, ahead=True),
        Stage("watch", names.scores, read_scores, watch, names.alerts, batch_max),
        Stage("notify", names.alerts, read_alerts, notify, "", 1),  # one slow endpoint holds up one alert, and a rebalance for one
    ]


def add_agent(app: Any, stage: Stage, progress: Progress, batch_wait_s: float, fatal: Callable[[str, BaseException], None]) -> None:
    """Put a stage on the Faust app. `fatal` ends the process and does not return."""
    worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix=stage.role)
    reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"{stage.role} ahead") if stage.ahead else worker

    async def read(messages: Sequence[Raw]) -> Any:
        with _no_error(stage, fatal):
            return await asyncio.get_running_loop().run_in_executor(reader, stage.read, messages, datetime.now(UTC))

    async def work(stream: Any, events: Sequence[Any], messages: Sequence[Raw], found: Any, batch: int, began: float) -> None:
        with _no_error(stage, fatal):
            outcome = await asyncio.get_running_loop().run_in_executor(worker, stage.work, found, datetime.now(UTC))
            sent = [await app.producer.send(stage.sink, key, value, None, None, None) for key, value in outcome.publish]
            await asyncio.gather(*sent)
            for event in events:
                await stream.ack(event)
            progress.finished(batch, messages)
        took_s = time.monotonic() - began
        metrics.BATCH_SIZE.observe(len(messages))
        _log.info(stage.role, messages=len(messages), **outcome.figures, published=len(sent), took_ms=round(took_s * 1000))

    async def run(stream: Any) -> None:
        before: asyncio.Task[None] | None = None  # works on the batch before
        numbers: deque[int] = deque(maxlen=2)  # of the batches in hand
        try:
            async for events in stream.noack_take(stage.batch_max, within=batch_wait_s):
                began, batch = time.monotonic(), progress.started(stage.role)
                numbers.append(batch)
                messages = [_raw(event.message) for event in events]
                found = await read(messages)
                if before is not None:
                    await before
                before = asyncio.create_task(work(stream, events, messages, found, batch, began))
                if not stage.ahead:
                    await before
        finally:
            if before is not None:
                before.cancel()
            for number in numbers:
                progress.dropped(number)

    topic = app.topic(stage.source, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    app.agent(topic, name=stage.role, concurrency=1)(run)


@contextlib.contextmanager
def _no_error(stage: Stage, fatal: Callable[[str, BaseException], None]) -> Iterator[None]:
    """Around what must not raise: an error ends the process. When Faust takes the batch away, nothing was acknowledged."""
    try:
        yield
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        fatal(f"a batch of {stage.source} could not be finished", error)
        raise


def _raw(message: Any) -> Raw:
    return Raw(message.topic, message.partition, message.offset, message.key, message.value)
