"""Reading topics in tests."""

from __future__ import annotations

import time

from kafka import KafkaConsumer, TopicPartition

from core.records import Article, decode


def read_articles(bootstrap: str, topic: str, distinct: int, partitions: int = 4) -> list[Article]:
    """All messages once `distinct` ids have arrived. The embedded broker reports an end offset before the end of the last batch."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", group_id=None)
    consumer.assign([TopicPartition(topic, number) for number in range(partitions)])
    found: list[Article] = []
    deadline, more = time.monotonic() + 30, True
    while more or (len({item.id for item in found}) < distinct and time.monotonic() < deadline):
        polled = consumer.poll(timeout_ms=500)
        more = bool(polled)
        found += [decode(row.value, Article) for rows in polled.values() for row in rows]
    consumer.close()
    return found
