"""The flow, drawn once:

    articles ─▶ [score] ─▶ scores ─▶ [watch] ─▶ alerts ─▶ [notify] ─▶ webhooks
                   │                    │                    │
                   └── articles, dead ──┴── alerts ──────────┴── deliveries ──▶ the store

One agent a topic, and one way of running each of them, the only one of Faust's that loses nothing (docs/decisions.md):
raw bytes; one batch at a time (`noack_take`); the work, store included, in a thread; publish and await Kafka's confirmation;
then acknowledge every event in order. An agent's body never raises: Faust would commit the batch. What cannot be mended
ends the process before Faust can commit anything (`fatal`), and the batch comes again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from spine import log, metrics
from spine.records import Alert, Score, encode
from spine.topics import TopicNames
from stream.batches import Raw
from stream.pipeline import Pipeline
from stream.progress import Progress

Role = Literal["score", "watch", "notify"]
ROLES: tuple[Role, ...] = ("score", "watch", "notify")
_log = log.get_logger(__name__)


class Outcome(NamedTuple):
    """What a batch came to: (key, value) of the messages to publish, and the figures of its log line."""

    publish: list[tuple[bytes, bytes]]
    figures: dict[str, int]


class Stage(NamedTuple):
    """One agent: where it reads, what it does with a batch, where it publishes ("" when nowhere), how many messages at once."""

    role: Role
    source: str
    work: Callable[[Sequence[Raw], datetime], Outcome]
    sink: str
    batch_max: int


def stages(pipeline: Pipeline, names: TopicNames, batch_max: int) -> list[Stage]:
    """The three agents, in the order of the flow."""

    def score(messages: Sequence[Raw], now: datetime) -> Outcome:
        batch = pipeline.score(messages, now)
        figures = {"scored": batch.scored, "repeated": batch.repeated, "dead": len(batch.dead)}
        return Outcome([(score.id.encode(), encode(score)) for score in batch.scores], figures)

    def watch(messages: Sequence[Raw], now: datetime) -> Outcome:
        alerts = pipeline.watch(pipeline.read(messages, Score, now), now)
        return Outcome([(alert.series.encode(), encode(alert)) for alert in alerts], {"alerts": len(alerts)})

    def notify(messages: Sequence[Raw], now: datetime) -> Outcome:
        made = [delivery for alert in pipeline.read(messages, Alert, now) for delivery in pipeline.notify(alert)]
        delivered = sum(delivery.delivered for delivery in made)
        return Outcome([], {"delivered": delivered, "failed": len(made) - delivered})

    return [
        Stage("score", names.articles, score, names.scores, batch_max),
        Stage("watch", names.scores, watch, names.alerts, batch_max),
        Stage("notify", names.alerts, notify, "", 1),  # one slow endpoint holds up one alert, and a rebalance waits for no more
    ]


def add_agent(app: Any, stage: Stage, progress: Progress, batch_wait_s: float, fatal: Callable[[str, BaseException], None]) -> None:
    """Put a stage on the Faust app. `fatal` ends the process and does not return."""
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=stage.role)

    async def run(stream: Any) -> None:
        loop = asyncio.get_running_loop()
        async for events in stream.noack_take(stage.batch_max, within=batch_wait_s):
            began = time.monotonic()
            try:
                progress.started(stage.role)
                messages = [_raw(event.message) for event in events]
                outcome = await loop.run_in_executor(thread, stage.work, messages, datetime.now(UTC))
                sent = [await app.producer.send(stage.sink, key, value, None, None, None) for key, value in outcome.publish]
                await asyncio.gather(*sent)
                for event in events:
                    await stream.ack(event)
                progress.finished(stage.role, messages)
            except asyncio.CancelledError:
                progress.dropped(stage.role)
                raise  # Faust stops or gives partitions away: nothing was acknowledged, the batch comes again
            except BaseException as error:
                fatal(f"a batch of {stage.source} could not be finished", error)
                raise
            took_s = time.monotonic() - began
            metrics.BATCH_SIZE.observe(len(messages))
            _log.info(stage.role, messages=len(messages), **outcome.figures, published=len(sent), took_ms=round(took_s * 1000))

    topic = app.topic(stage.source, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    app.agent(topic, name=stage.role, concurrency=1)(run)


def _raw(message: Any) -> Raw:
    return Raw(message.topic, message.partition, message.offset, message.key, message.value)
