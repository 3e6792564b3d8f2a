"""The same job as one would write it in an afternoon: kafka-python, transformers' pipeline, and an insert for each row.

`python -m bench.naive BROKER TOPIC STORE`: reads the topic from its beginning until it is ended, and writes the table `naive`.
It commits by itself every few seconds, as the client's default is: an article may be lost or doubled when it dies.
"""

from __future__ import annotations

import json
import sys
from typing import Any
from urllib.parse import urlsplit

import torch
from clickhouse_driver import Client
from kafka import KafkaConsumer

from bench.hf import make_pipeline
from models.inference.transformer import TransformerClassifier
from models.registry.files import shipped

AT_ONCE = 512


def opened(store: str, table: str) -> tuple[Any, Client]:
    """transformers' pipeline with the shipped weights, and a connection to a store in which `table` is."""
    exact = TransformerClassifier.load(shipped(), dtype=torch.float32)
    place = urlsplit(store)
    client = Client(place.hostname or "", port=place.port or 9000, user=place.username or "default", database=place.path.strip("/"))
    columns = "id String, title String, label String, score Float32"
    client.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns}) ENGINE = MergeTree ORDER BY id")
    return make_pipeline(exact, exact.network), client


def main(broker: str, topic: str, store: str) -> None:
    """Until SIGTERM."""
    pipeline, client = opened(store, "naive")
    consumer = KafkaConsumer(topic, bootstrap_servers=broker, group_id="naive", auto_offset_reset="earliest")
    print("ready", flush=True)
    while True:
        polled = consumer.poll(timeout_ms=500, max_records=AT_ONCE)
        articles = [json.loads(message.value) for messages in polled.values() for message in messages]
        for article, label in zip(articles, pipeline([article["title"] for article in articles]) if articles else [], strict=True):
            client.execute(
                "INSERT INTO naive (id, title, label, score) VALUES", [(article["id"], article["title"], label["label"], label["score"])]
            )


if __name__ == "__main__":
    main(*sys.argv[1:4])
