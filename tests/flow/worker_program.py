"""A worker as its own process, for tests that kill it: `python -m tests.flow.worker_program PLAN_AS_JSON`.

It prints "ready" when it has its partitions, and one JSON line of what is in the store when it has stopped. Faults are put in
here, never in the product: `hang_after` stops the process for ever at a point that a test names, so that it can be killed there.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import RebalanceInProgressError

from models.classifier import Document, Prediction
from models.keyword import KeywordClassifier
from spine import log
from spine.errors import StoreBusy, StoreError
from spine.records import Scored
from spine.settings import Webhook
from spine.store import Store, open_store
from spine.topics import topic_names
from stream.alerts import Rule
from stream.app import run_worker
from stream.flood import MEMORY, Flood
from stream.pipeline import Pipeline
from stream.resilience import Patience
from stream.webhooks import Webhooks


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    broker: str
    prefix: str
    group: str
    data_dir: str
    store: str = "embedded"
    roles: tuple[str, ...] = ("score", "watch", "notify")
    webhooks: tuple[Webhook, ...] = ()
    warmup_s: float = 0.0
    batch_max: int = 256
    hang_after: str = ""
    store_down: bool = False
    last_commit: str = ""
    stuck_s: float = 180.0
    stall_s: float = 30.0
    block_loop: bool = False
    dead_share: float = 1.0
    session_timeout_s: float = 6.0


class Poisonable(KeywordClassifier):
    """Fails on any article whose text says poison."""

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        if any("poison" in document.text for document in documents):
            raise ValueError("this document cannot be read")
        return super().classify(documents)


def faulty(store: Store, plan: Plan) -> None:
    """Make the store fail as the plan says."""
    if plan.hang_after == "articles":
        insert = store.mentions.insert

        def hang(scores: Any) -> None:
            if scores:
                print("hanging", flush=True)
                time.sleep(3600)
            insert(scores)

        store.mentions.insert = hang  # type: ignore[method-assign]
    if plan.hang_after == "remember":
        remember = store.articles.remember

        def keep_and_hang(scored: Sequence[Scored]) -> None:
            remember(scored)
            if scored:
                print("hanging", flush=True)
                time.sleep(3600)

        store.articles.remember = keep_and_hang  # type: ignore[method-assign]
    if plan.store_down:

        def refuse(*_args: object) -> None:
            raise StoreBusy("the store is down")

        store.articles.insert = refuse  # type: ignore[method-assign,assignment]
    if plan.hang_after == "refuse all":

        def refuse_all(*_args: object) -> None:
            raise StoreError("there is no table articles")

        store.articles.insert = refuse_all  # type: ignore[method-assign,assignment]


def spoil_commits(how: str, once: asyncio.Event) -> None:
    """From then on every commit fails, as when the group is rebalancing, or never ends, as when Faust's threads wait for each other."""
    commit = AIOKafkaConsumer.commit

    async def spoiled(self: AIOKafkaConsumer, offsets: Any = None) -> None:
        if once.is_set() and how == "refused":
            raise RebalanceInProgressError("the group is rebalancing")
        if once.is_set():
            await asyncio.Event().wait()
        await commit(self, offsets)

    AIOKafkaConsumer.commit = spoiled


def contents(store: Store) -> dict[str, Any]:
    """What a test wants to know of the store."""
    alerts = store.alerts.latest(1000)
    rows = store.client.query("SELECT id, story FROM article_keys FINAL")
    return {
        **store.articles.totals()._asdict(),
        "doubled": store.articles.doubled(),
        "ids": sorted(row[0] for row in rows),
        "alerts": [json.loads(msgspec.json.encode(alert)) for alert in alerts],
        "deliveries": [json.loads(msgspec.json.encode(d)) for d in store.alerts.deliveries([alert.id for alert in alerts])],
        "dead": sorted((letter.stage, letter.reason, letter.value.decode("utf-8", "replace")) for letter in store.dead.latest(1000)),
    }


async def _run(plan: Plan, pipeline: Pipeline) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def ready() -> None:
        print("ready", flush=True)
        if plan.block_loop:
            asyncio.get_running_loop().call_later(1.0, time.sleep, 3600)

    if plan.last_commit:
        spoil_commits(plan.last_commit, stop)
    await run_worker(
        pipeline,
        broker=plan.broker,
        names=topic_names(plan.prefix),
        group=plan.group,
        batch_max=plan.batch_max,
        batch_wait_s=0.05,
        data_dir=Path(plan.data_dir) / "faust",
        stop=stop,
        on_ready=ready,
        roles=plan.roles,  # type: ignore[arg-type]
        stuck_s=plan.stuck_s,
        stall_s=plan.stall_s,
        session_timeout_s=plan.session_timeout_s,
    )


def main() -> None:
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    log.configure("json", "info")
    store = open_store(plan.store, Path(plan.data_dir))
    store.migrate()
    faulty(store, plan)
    rule = Rule(warmup_s=plan.warmup_s, false_per_week=100.0)
    patience = Patience(deadline_s=2.0 if plan.store_down else 30.0)
    flood = Flood(plan.dead_share, store.dead.by_topic(datetime.now(UTC) - MEMORY))
    pipeline = Pipeline(Poisonable(), store, rule, Webhooks(plan.webhooks), patience=patience, flood=flood)
    asyncio.run(_run(plan, pipeline))
    pipeline.close()
    print(json.dumps(contents(store), ensure_ascii=False), flush=True)
    store.close()


if __name__ == "__main__":
    main()
