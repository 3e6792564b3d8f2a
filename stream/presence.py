"""Are the topics there? Faust takes a topic that is missing for one without messages, calls itself ready and waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from aiokafka.client import AIOKafkaClient

from stream.watchdogs import fatal

REQUEST_TIMEOUT_S = 10.0


async def missing(broker: str, topics: Sequence[str]) -> list[str]:
    """Those of `topics` that Kafka does not have. broker: "host:port,host:port". Raises KafkaError, OSError where nobody answers."""
    servers = [place.strip() for place in broker.split(",")]
    client = AIOKafkaClient(bootstrap_servers=servers, client_id="tocsin", request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000))
    try:
        await client.bootstrap()
        known = (await client.fetch_all_metadata()).topics()
    finally:
        await client.close()
    return [topic for topic in topics if topic not in known]


def refuse(broker: str, gone: Sequence[str]) -> None:
    """End the process if any topic is gone, with what a person has to do."""
    if gone:
        fatal(
            f"Kafka at {broker} has no topic {', '.join(gone)}: run `tocsin migrate` to make what is missing, then start the worker again"
        )


async def watch(broker: str, topics: Sequence[str], look_s: float) -> None:
    """Look every `look_s` until cancelled; a topic that is missing twice in a row ends the process. An outage is Faust's to wait out."""
    before: set[str] = set()
    while True:
        await asyncio.sleep(look_s)
        with contextlib.suppress(Exception):
            gone = await missing(broker, topics)
            refuse(broker, [topic for topic in gone if topic in before])
            before = set(gone)
