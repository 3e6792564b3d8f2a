"""Do several workers share one topic, with nothing lost or doubled, and how soon does one that joins get its part?

The same number of articles is waiting in the topic each time. On a machine whose cores one worker fills, more do not score faster.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from tqdm import tqdm  # type: ignore[import-untyped]

from bench.installation import Installation
from bench.pipeline import articles
from bench.texts import headlines
from core.settings import Settings
from tocsin.runtime import wiring

WORKERS = (1, 2, 4)
ARTICLES = 4_000


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """So many workers. ready_s: from their start until all have their partitions; shares: articles that each stored, the most first."""

    workers: int
    ready_s: float
    articles: int
    stored: int
    doubled: int
    articles_per_s: float
    shares: list[int]


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """counts: the same articles by one, two and four workers."""

    counts: list[Count]
    partitions: int
    broker: str
    store: str


def measure(settings: Settings, *, data: Path | None = None, workers: Sequence[int] = WORKERS, count: int = ARTICLES) -> Scale:
    """`count` articles by each number of workers. Raises TocsinError; Unavailable without a ClickHouse server."""
    _, every = headlines(count, data)
    counts, partitions = [], 4
    for number in tqdm(workers, desc="scale", unit="run"):
        with Installation(settings, workers=number, partitions=partitions, shared=True) as place:
            place.publish(list(itertools.islice(articles(every), count)))
            place.flush()
            began = time.monotonic()
            place.drain()
            seconds = time.monotonic() - began
            shares = sorted((round(node.metrics().get("tocsin_scored_total", 0.0)) for node in place.nodes), reverse=True)
            store = wiring.make_store(place.settings, migrate=False)
            try:
                stored, doubled = store.articles.totals().articles, store.articles.doubled()
            finally:
                store.close()
            names = place.broker_name, place.store_name
        counts.append(
            Count(
                workers=number,
                ready_s=round(place.ready_s, 1),
                articles=count,
                stored=stored,
                doubled=doubled,
                articles_per_s=round(count / seconds, 1),
                shares=shares,
            )
        )
    return Scale(counts=counts, partitions=partitions, broker=names[0], store=names[1])
