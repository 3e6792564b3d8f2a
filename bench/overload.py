"""More is offered than the worker can take, for minutes: lag must grow, memory must not, and the backlog must drain at full speed."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import msgspec
from tqdm import tqdm  # type: ignore[import-untyped]

from bench.installation import Installation
from bench.pipeline import articles
from bench.texts import headlines
from core.settings import Settings
from tocsin.runtime import wiring

TIMES = 3.0
SATURATE_S = 30.0
BACKLOG = 4_000


class Overload(msgspec.Struct, frozen=True, kw_only=True):
    """sustained_per_s: stored while the topic was never empty; offered_per_s: published over `seconds`, `times` as much

    meanwhile_per_s, drained_per_s: stored while it was offered, and afterwards until nothing was left; drain_ratio: to sustained
    peak_lag: articles published and not stored, at most; lost, doubled: in the store at the end
    rss_*: of the worker: before, at most while the backlog was there, and at the end
    """

    times: float
    sustained_per_s: float
    offered_per_s: float
    seconds: float
    meanwhile_per_s: float
    peak_lag: int
    drained_per_s: float
    drain_ratio: float
    published: int
    lost: int
    doubled: int
    rss_before_mb: float
    rss_peak_mb: float
    rss_end_mb: float
    broker: str
    store: str
    texts: str


def measure(settings: Settings, *, data: Path | None = None, seconds: float = 300.0, times: float = TIMES) -> Overload:
    """Offer `times` the sustained rate for `seconds`. Raises TocsinError."""
    where, every = headlines(40_000, data)
    with Installation(settings, shared=True) as place, tqdm(desc="overload", unit="article") as bar:
        source = articles(every)
        sustained = place.saturate(source, BACKLOG, SATURATE_S)
        before, rss_before = place.sent, place.rss_mb()
        rss, peak = [rss_before], 0
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            due = round(times * sustained * passed) - (place.sent - before)
            place.publish(list(itertools.islice(source, max(0, due))))
            stored = place.scored()
            peak = max(peak, place.sent - stored)
            rss.append(place.rss_mb())
            bar.update(stored - bar.n)
            place.check()
            time.sleep(0.1)
        place.flush()
        offered_s, offered = time.monotonic() - began, place.sent - before
        left = place.sent - place.scored()
        drained = time.monotonic()
        while (stored := place.scored()) < place.sent:
            rss.append(place.rss_mb())
            bar.update(stored - bar.n)
            place.check()
            time.sleep(0.5)
        drain_s = time.monotonic() - drained
        store = wiring.make_store(place.settings, migrate=False)
        try:
            kept, doubled = store.articles.totals().articles, store.articles.doubled()
        finally:
            store.close()
        return Overload(
            times=times,
            sustained_per_s=round(sustained, 1),
            offered_per_s=round(offered / offered_s, 1),
            seconds=round(offered_s, 1),
            meanwhile_per_s=round((offered - left) / offered_s, 1),
            peak_lag=max(peak, left),
            drained_per_s=round(left / drain_s, 1),
            drain_ratio=round(left / drain_s / sustained, 3),
            published=place.sent,
            lost=place.sent - kept,
            doubled=doubled,
            rss_before_mb=round(rss_before, 1),
            rss_peak_mb=round(max(rss), 1),
            rss_end_mb=round(rss[-1], 1),
            broker=place.broker_name,
            store=place.store_name,
            texts=where,
        )
