"""The same job on a stream framework: a bytewax dataflow from kafka-python through transformers' pipeline to one INSERT per batch.

`python -m bench.bytewax_baseline BROKER TOPIC STORE` reads a topic from its beginning until it is stopped, and writes the table `streamed`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main
from clickhouse_driver import Client
from kafka import KafkaConsumer

from bench.transformers_baseline import MAX_RECORDS, open_baseline


class _Topic(StatelessSourcePartition[dict[str, Any]]):
    def __init__(self, broker: str, topic: str) -> None:
        self._consumer = KafkaConsumer(topic, bootstrap_servers=broker, group_id="streamed", auto_offset_reset="earliest")

    def next_batch(self) -> list[dict[str, Any]]:
        polled = self._consumer.poll(timeout_ms=500, max_records=MAX_RECORDS)
        return [json.loads(message.value) for messages in polled.values() for message in messages]


class _Source(DynamicSource[dict[str, Any]]):
    def __init__(self, broker: str, topic: str) -> None:
        self._address = (broker, topic)

    def build(self, _step_id: str, _worker_index: int, _worker_count: int) -> _Topic:
        return _Topic(*self._address)


class _Rows(StatelessSinkPartition[tuple[str, str, str, float]]):
    def __init__(self, client: Client) -> None:
        self._client = client

    def write_batch(self, items: list[tuple[str, str, str, float]]) -> None:
        self._client.execute("INSERT INTO streamed (id, title, label, score) VALUES", items)


class _Sink(DynamicSink[tuple[str, str, str, float]]):
    def __init__(self, client: Client) -> None:
        self._client = client

    def build(self, _step_id: str, _worker_index: int, _worker_count: int) -> _Rows:
        return _Rows(self._client)


def main(broker: str, topic: str, store: str) -> None:
    """Run the dataflow until SIGTERM."""
    pipeline, client = open_baseline(store, "streamed")

    def classify(articles: list[dict[str, Any]]) -> Iterable[tuple[str, str, str, float]]:
        labels = pipeline([article["title"] for article in articles])
        return [(article["id"], article["title"], label["label"], label["score"]) for article, label in zip(articles, labels, strict=True)]

    flow = Dataflow("streamed")
    articles = op.input("articles", flow, _Source(broker, topic))
    op.output("rows", op.flat_map_batch("classify", articles, classify), _Sink(client))
    print("ready", flush=True)
    run_main(flow)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main(*sys.argv[1:4])
