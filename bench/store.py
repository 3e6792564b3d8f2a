"""Benchmark of the store: inserts per second, every read of the dashboard with millions of articles, and bytes per article.

The first articles are inserted in batches, as by the worker, and timed. The others are copies over the year before, with their own ids and
stories, made by the server. At each size the server is restarted; the first run of each read is the cold one, then each read is repeated
for different times within the last days.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from tqdm import tqdm  # type: ignore[import-untyped]

from bench.servers import ClickHouseServer
from bench.texts import headlines
from core.cache import Cache
from core.records import Alert, Article, CompanyScore, Mention, Score, Scored, alert_id, sha
from core.series import company_series, topic_series
from core.taxonomy import TOPIC_KEYS
from dashboard.reads.model_reads import ModelReads
from dashboard.reads.operations import OperationsReads
from dashboard.reads.queries import Reads
from dashboard.time_ranges import RANGES
from models.inference.classifier import Document
from storage.store import Criteria, Store, open_store
from storage.timestamps import to_epoch

SIZES = (1_000_000, 10_000_000)
SEED_ARTICLES = 100_000
BATCH = 2_000
SPAN = timedelta(days=365)
COMPANIES, SECTORS, SOURCES = 3_000, 11, 60
REPEATS = 20
WINDOW_S = 900

_SELF = "lower(hex(sipHash128(concat({column}, toString(copy)))))"
_MOMENT = "{column} - copy * {stretch_s}"
COPIES = {
    "articles": {"id": _SELF, "story": _SELF, "published_at": _MOMENT, "fetched_at": _MOMENT},
    "mentions": {"id": _SELF, "story": _SELF, "published_at": _MOMENT},
    "article_keys": {"id": _SELF, "story": _SELF, "published_at": _MOMENT},
    "lsh_bands": {"band": "bitXor(band, copy)", "story": _SELF, "published_at": _MOMENT},
}
"""Table -> column -> expression of the column in copy number `copy` of a row."""
AT_ONCE = 50_000
"""Articles copied by one statement; more would exceed the memory limit of the test server."""


MARK_DIRTY_HOURS = "INSERT INTO dirty_hours SELECT toStartOfHour(published_at) AS hour, toUInt64(1) AS n FROM mentions GROUP BY hour"


class ReadTiming(msgspec.Struct, frozen=True, kw_only=True):
    """One read of the dashboard in milliseconds. cold_ms: the first run after a restart of the server."""

    name: str
    cold_ms: float
    p50_ms: float
    p95_ms: float


class StoreSize(msgspec.Struct, frozen=True, kw_only=True):
    """Results at one number of articles. bytes_per_article: on disk, over all tables."""

    articles: int
    mentions: int
    bytes_per_article: float
    reads: list[ReadTiming]


class PageReads(NamedTuple):
    """The reads of all pages at one time, with an empty cache."""

    reads: Reads
    operations: OperationsReads
    models: ModelReads


class StoreFigures(msgspec.Struct, frozen=True, kw_only=True):
    """insert_per_s: articles per second by the worker's inserts, in batches of `batch`."""

    insert_per_s: float
    batch: int
    sizes: list[StoreSize]
    store: str


def measure(*, seed: int = SEED_ARTICLES, sizes: Sequence[int] = SIZES, repeats: int = REPEATS, data: Path | None = None) -> StoreFigures:
    """Fill a new ClickHouse server to each of the sizes and measure.

    Args:
        seed: articles that are inserted as by the worker; the others are copies.
        sizes: numbers of articles, multiples of `seed`.
        repeats: runs of each read.
        data: folder with stream/*.jsonl.gz; None for the built-in headlines.

    Raises:
        TocsinError: the server fails.
        Unavailable: there is no ClickHouse server.
    """
    _, every = headlines(seed, data)
    until = datetime.now(UTC).replace(microsecond=0)
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder, ClickHouseServer(Path(folder)) as server:
        address = f"{server.address}/bench"
        store = open_store(address, Path(folder))
        store.migrate()
        stretch = SPAN * seed / max(sizes)
        rate = _insert(store, every, seed, until, stretch)
        copies, found = 1, []
        for size in sizes:
            _multiply(store, range(copies, size // seed), seed, stretch, until)
            copies = max(copies, size // seed)
            store.close()
            server.stop()
            server.start()
            store = open_store(address, Path(folder))
            found.append(_figures(store, size, until, stretch, repeats))
        store.close()
    return StoreFigures(insert_per_s=round(rate, 1), batch=BATCH, sizes=found, store="ClickHouse server")


def fill(store: Store, size: int, span: timedelta, until: datetime, *, seed: int) -> None:
    """Fill a store for tests: `size` articles over the `span` before `until`, `seed` different ones and copies. Raises TocsinError."""
    _, every = headlines(seed)
    stretch = span * seed / size
    _insert(store, every, seed, until, stretch)
    _multiply(store, range(1, size // seed), seed, stretch, until)


def _multiply(store: Store, numbers: range, seed: int, stretch: timedelta, until: datetime) -> None:
    """Make the copies with these numbers, refresh all roll-ups, and wait for merges."""
    step = max(1, AT_ONCE // seed)
    for at in tqdm(range(numbers.start, numbers.stop, step), desc="store: copies", unit="step"):
        _copy(store, range(at, min(at + step, numbers.stop)), stretch, until)
    store.client.command(MARK_DIRTY_HOURS)
    store.rollups.refresh(datetime.now(UTC), 100_000)
    _wait_for_merges(store)


def _insert(store: Store, every: Sequence[Document], count: int, until: datetime, stretch: timedelta) -> float:
    """Insert `count` articles over the `stretch` before `until` as the worker does, and 200 alerts. Returns articles per second."""
    rng = random.Random(11)
    moments = sorted((until - stretch * rng.random()).replace(microsecond=0) for _ in range(count))
    took = 0.0
    for start in tqdm(range(0, count, BATCH), desc="store: inserts", unit="batch"):
        scored = [_scored(every[n % len(every)], n, moments[n], rng) for n in range(start, min(count, start + BATCH))]
        began = time.perf_counter()
        store.articles.insert(scored)
        store.mentions.insert([item.score for item in scored])
        store.articles.insert_keys(scored)
        took += time.perf_counter() - began
    store.alerts.insert([_alert(number, until - stretch * rng.random()) for number in range(200)])
    return count / took


def _scored(document: Document, number: int, moment: datetime, rng: random.Random) -> Scored:
    """An article with one topic (70 %) or two, and with 0 to 2 companies; every tenth repeats the story of the one before."""
    name = sha(f"bench {number}")
    companies = rng.sample(range(COMPANIES), rng.choice((0, 1, 1, 2)))
    mentions = tuple(Mention(company=f"C{each:04}", surface=f"Company {each}", sector=f"sector {each % SECTORS}") for each in companies)
    p = rng.random()
    article = Article(
        id=name,
        url=f"https://news.example/{name}",
        source=f"source {rng.randrange(SOURCES)}",
        language="zh" if document.language == "zh" else "en",
        title=f"{document.text} ({number})",
        text=f"{document.text} " * 3,
        published_at=moment,
        fetched_at=moment,
        mentions=mentions,
        lsh_bands=tuple(rng.getrandbits(62) for _ in range(4)),
    )
    score = Score(
        id=name,
        source=article.source,
        language=article.language,
        published_at=moment,
        story=sha(f"bench {number - (number % 10 == 9)}"),
        p_negative=p,
        p_neutral=(1 - p) / 2,
        p_positive=(1 - p) / 2,
        topics={topic: rng.random() for topic in rng.sample(TOPIC_KEYS, rng.choice((1, 1, 1, 1, 1, 1, 1, 2, 2, 2)))},
        companies=tuple(
            CompanyScore(company=each.company, sector=each.sector, p_negative=p, p_neutral=(1 - p) / 2, p_positive=(1 - p) / 2)
            for each in mentions
        ),
        model="bench",
        scored_at=moment,
    )
    return Scored(article=article, score=score)


def _alert(number: int, moment: datetime) -> Alert:
    series = topic_series(TOPIC_KEYS[number % len(TOPIC_KEYS)]) if number % 2 else company_series(f"C{number:04}")
    start = moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0)
    return Alert(
        id=alert_id("bench", series, start),
        rule="bench",
        series=series,
        window_start=start,
        window_s=WINDOW_S,
        detected_at=moment.replace(microsecond=0),
        severity="info",
        observed=9,
        expected=1.0,
        surprise=7.0,
        total=12,
        sources=4,
    )


def _copy(store: Store, numbers: range, stretch: timedelta, until: datetime) -> None:
    """Copy the first articles once for each of `numbers`, with new ids, and earlier by that number of stretches."""
    copies = ", ".join(map(str, numbers))
    for table, changed in COPIES.items():
        columns = [str(row[0]) for row in store.client.query(f"DESCRIBE TABLE {table}")]
        values = [changed.get(column, column).format(column=column, stretch_s=round(stretch.total_seconds())) for column in columns]
        since = to_epoch(until - stretch) - 1
        store.client.command(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM {table}"  # noqa: S608
            f" ARRAY JOIN [{copies}] AS copy WHERE published_at >= toDateTime({since})"
        )


def _wait_for_merges(store: Store, timeout_s: float = 300.0) -> None:
    """Wait until the server has no merges running."""
    deadline = time.monotonic() + timeout_s
    while store.client.query("SELECT count() FROM system.merges")[0][0] and time.monotonic() < deadline:
        time.sleep(0.5)


def _figures(store: Store, size: int, until: datetime, stretch: timedelta, repeats: int) -> StoreSize:
    rng = random.Random(5)
    alerts = [alert.id for alert in store.alerts.latest(200)]
    viewer = _viewer(store, until)
    cold = {name: _ms(read, viewer) for name, read in _reads(alerts, rng)}
    warm: dict[str, list[float]] = {}
    for _ in tqdm(range(repeats), desc=f"store: reads of {size:,}", unit="round"):
        moment = until - min(stretch, timedelta(days=3)) * rng.random()
        viewer = _viewer(store, moment)
        for name, read in _reads(alerts, rng):
            warm.setdefault(name, []).append(_ms(read, viewer))
    mentions = int(store.client.query("SELECT count() FROM mentions")[0][0])
    articles = int(store.client.query("SELECT count() FROM articles")[0][0])
    size_bytes = int(store.client.query("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase()")[0][0])
    reads = [
        ReadTiming(
            name=name,
            cold_ms=round(cold[name], 1),
            p50_ms=round(float(np.percentile(times, 50)), 1),
            p95_ms=round(float(np.percentile(times, 95)), 1),
        )
        for name, times in warm.items()
    ]
    return StoreSize(articles=articles, mentions=mentions, bytes_per_article=round(size_bytes / articles, 1), reads=reads)


def _viewer(store: Store, moment: datetime) -> PageReads:
    cache = Cache()
    reads = Reads(store, lambda: moment, cache)
    operations = OperationsReads(store, lambda: moment, cache, reads, None)
    return PageReads(reads, operations, ModelReads(store, lambda: moment, cache, None))


def _reads(alerts: Sequence[str], rng: random.Random) -> Iterator[tuple[str, Callable[[PageReads], Any]]]:
    """Every read of the dashboard by name, in the order of the pages; later reads use the cache of earlier ones."""

    def of(read: Callable[..., Any], **asked: Any) -> Callable[[PageReads], Any]:
        return lambda viewer: read(viewer.reads, **asked)

    for key in RANGES:
        yield f"overview {key}", of(Reads.overview, range_key=key)
        yield f"busiest series {key}", of(Reads.busiest, range_key=key)
        yield f"biggest movers {key}", of(Reads.movers, range_key=key)
        yield f"company names {key}", of(Reads.company_names, range_key=key)
        yield f"articles {key}", of(Reads.articles, range_key=key)
        yield f"alerts {key}", of(Reads.detected, range_key=key)
        yield f"search with results {key}", of(Reads.find, range_key=key, criteria=Criteria(words="stock 股"), before=None)
        yield f"search without results {key}", of(Reads.find, range_key=key, criteria=Criteria(words="nowhere 无处"), before=None)
        yield f"topic series {key}", of(Reads.series, series=topic_series(rng.choice(TOPIC_KEYS)), range_key=key)
        yield f"company series {key}", of(Reads.series, series=company_series(f"C{rng.randrange(COMPANIES):04}"), range_key=key)
    yield "open alerts", of(Reads.alerts)
    yield "newest article", of(Reads.newest)
    yield "articles stored", of(Reads.stored)
    yield "one alert", of(Reads.alert, alert_id=rng.choice(alerts))
    yield "sources", lambda viewer: viewer.operations.sources()
    yield "system", lambda viewer: viewer.operations.system()
    yield "model drift", lambda viewer: viewer.models.drift()
    yield "models in use", lambda viewer: viewer.models.uses()


def _ms(read: Callable[[PageReads], Any], viewer: PageReads) -> float:
    began = time.perf_counter()
    read(viewer)
    return 1e3 * (time.perf_counter() - began)
