"""A worker as a separate process, for tests that kill it: `python -m tests.helpers.worker_program PLAN_AS_JSON`.

It prints "ready" when partitions are assigned, and one JSON line with the contents of the store after it has stopped. Faults are injected
here, never in the product: with `hang_after` the process hangs at a point that the test names, so that it can be killed there. It logs
"batch_delayed" when a batch begins to take `slow_s`, and "store_retry" before each retry of the store.
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

from core import log
from core.errors import StoreError, StoreUnavailable
from core.kafka_topics import topic_names
from core.records import Alert, Score, Scored
from core.settings import Webhook
from models.inference.classifier import Document, Prediction
from models.inference.keyword import KeywordClassifier
from storage.clickhouse import Server
from storage.store import Delivery, Store, open_store
from stream.delivery.suppression import SuppressionPolicy
from stream.delivery.webhooks import Webhooks
from stream.detection.spike_rule import SpikeRule
from stream.retry import RetryPolicy
from stream.worker import app, watchdogs
from stream.worker.circuit_breaker import load_circuit_breaker
from stream.worker.pipeline import Pipeline

_log = log.get_logger("tocsin.tests")


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
    dead_letter_max_ratio: float = 1.0
    session_timeout_s: float = 6.0
    leave_s: float = watchdogs.COMMIT_TIMEOUT_S
    rebalance_timeout_s: float = app.REBALANCE_TIMEOUT_S
    stop_s: float = 30.0
    topics_s: float = 15.0
    slow_s: float = 0.0
    slow_batches: int = 1_000
    patience_s: float = 30.0
    store_timeout_s: float = 10.0


class Poisonable(KeywordClassifier):
    """Fails on any article whose text contains "poison"."""

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        if any("poison" in document.text for document in documents):
            raise ValueError("this document cannot be read")
        return super().classify(documents)


def hang() -> None:
    """Prints "hanging" and never returns."""
    print("hanging", flush=True)
    time.sleep(3600)


def faulty(store: Store, plan: Plan) -> None:
    """Makes the store fail as planned."""
    articles, mentions, alerts = store.articles, store.mentions, store.alerts
    add_articles, add_mentions, remember, add_alerts = articles.insert, mentions.insert, articles.insert_keys, alerts.insert

    def hang_before_mentions(scores: Sequence[Score]) -> None:
        if scores:
            hang()
        add_mentions(scores)

    def hang_after_remember(scored: Sequence[Scored]) -> None:
        remember(scored)
        if scored:
            hang()

    def hang_after_alerts(alerts: Sequence[Alert]) -> None:
        add_alerts(alerts)
        if alerts:
            hang()

    def hang_before_log(deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            hang()

    def refuse(scored: Sequence[Scored]) -> None:
        raise StoreUnavailable("the store is down")

    def refuse_all(scored: Sequence[Scored]) -> None:
        raise StoreError("there is no table articles")

    left = plan.slow_batches

    def slow(scored: Sequence[Scored]) -> None:
        nonlocal left
        if scored and left:
            left -= 1
            _log.info("batch_delayed")
            time.sleep(plan.slow_s)
        add_articles(scored)

    if plan.store_down:
        articles.insert = refuse  # type: ignore[method-assign]
    elif plan.slow_s:
        articles.insert = slow  # type: ignore[method-assign]
    if plan.hang_after == "articles":
        mentions.insert = hang_before_mentions  # type: ignore[method-assign]
    elif plan.hang_after == "remember":
        articles.insert_keys = hang_after_remember  # type: ignore[method-assign]
    elif plan.hang_after == "alerts":
        alerts.insert = hang_after_alerts  # type: ignore[method-assign]
    elif plan.hang_after == "webhook":
        alerts.log_deliveries = hang_before_log  # type: ignore[method-assign]
    elif plan.hang_after == "refuse all":
        articles.insert = refuse_all  # type: ignore[method-assign]


def spoil_commits(how: str, once: asyncio.Event) -> None:
    """From `once` on, commits fail, as during a rebalance, or never return, as when Faust's threads deadlock."""
    commit = AIOKafkaConsumer.commit

    async def spoiled(self: AIOKafkaConsumer, offsets: Any = None) -> None:
        if once.is_set() and how == "refused":
            raise RebalanceInProgressError("the group is rebalancing")
        if once.is_set():
            await asyncio.Event().wait()
        await commit(self, offsets)

    AIOKafkaConsumer.commit = spoiled


def logged_sleep(seconds: float) -> None:
    _log.info("store_retry")
    time.sleep(seconds)


def contents(store: Store) -> dict[str, Any]:
    """The contents of the store that tests compare."""
    alerts = store.alerts.latest(1000)
    rows = store.client.query("SELECT id, story FROM article_keys FINAL")
    mentions_doubled = store.client.query("SELECT count() - uniqExact((series, id)) FROM mentions FINAL")[0][0]
    return {
        **store.articles.totals()._asdict(),
        "doubled": store.articles.duplicates() + mentions_doubled,
        "ids": sorted(row[0] for row in rows),
        "alerts": [json.loads(msgspec.json.encode(alert)) for alert in alerts],
        "deliveries": [json.loads(msgspec.json.encode(d)) for d in store.alerts.deliveries([alert.id for alert in alerts])],
        "dead": sorted(
            (letter.stage, letter.reason, letter.value.decode("utf-8", "replace")) for letter in store.dead_letters.latest(1000)
        ),
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
    await app.run_worker(
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
        stop_s=plan.stop_s,
        topics_s=plan.topics_s,
        session_timeout_s=plan.session_timeout_s,
    )


def main() -> None:
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    log.configure("json", "info")
    app.REBALANCE_TIMEOUT_S = plan.rebalance_timeout_s
    watchdogs.COMMIT_TIMEOUT_S = plan.leave_s
    folder = Path(plan.data_dir)
    if plan.store == "embedded":
        store = open_store("embedded", folder)
    else:
        store = Store(Server(plan.store, connect_timeout_s=min(5.0, plan.store_timeout_s), timeout_s=plan.store_timeout_s))
    store.migrate()
    faulty(store, plan)
    rule = SpikeRule(warmup_s=plan.warmup_s, false_per_week=100.0)
    retry = RetryPolicy(deadline_s=plan.patience_s, sleep=logged_sleep)
    circuit_breaker = load_circuit_breaker(plan.dead_letter_max_ratio, store, datetime.now(UTC))
    no_inhibition = SuppressionPolicy(inhibition_rules=())  # so that every alert is delivered
    pipeline = Pipeline(
        Poisonable(), store, rule, Webhooks(plan.webhooks), retry=retry, circuit_breaker=circuit_breaker, suppression=no_inhibition
    )
    asyncio.run(_run(plan, pipeline))
    pipeline.close()
    print(json.dumps(contents(store), ensure_ascii=False), flush=True)
    store.close()


if __name__ == "__main__":
    main()
