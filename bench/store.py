"""How fast are the store's inserts and every read of the dashboard with millions of articles, and what does one cost on disk?

The first articles go in as the worker's do, batch by batch, and are timed. The rest are copies of them over the year before, with
identities and stories of their own, made by the store itself. At each size the server is started anew; the first time that each read
runs is its cold one, then it runs again and again, each time as at another moment of the last days.
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
from dashboard.reads.operations import Upkeep
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
"""What the copy of that number differs in from the row, for each table."""
AT_ONCE = 50_000
"""Articles that are copied in one statement: more need more memory than the server of the tests has, and more time on a busy machine."""


MARK_DIRTY_HOURS = "INSERT INTO dirty_hours SELECT toStartOfHour(published_at) AS hour, toUInt64(1) AS n FROM mentions GROUP BY hour"


class ReadTiming(msgspec.Struct, frozen=True, kw_only=True):
    """One read of the dashboard, milliseconds; cold: the first after a restart of the server."""

    name: str
    cold_ms: float
    p50_ms: float
    p95_ms: float


class StoreSize(msgspec.Struct, frozen=True, kw_only=True):
    """With so many articles. bytes_per_article: on disk, of all tables together."""

    articles: int
    mentions: int
    bytes_per_article: float
    reads: list[ReadTiming]


class PageReads(NamedTuple):
    """Somebody who opens one page after the other at one moment."""

    reads: Reads
    upkeep: Upkeep
    models: ModelReads


class StoreFigures(msgspec.Struct, frozen=True, kw_only=True):
    """insert_per_s: articles a second through the worker's own inserts, in batches of `batch`."""

    insert_per_s: float
    batch: int
    sizes: list[StoreSize]
    store: str


def measure(*, seed: int = SEED_ARTICLES, sizes: Sequence[int] = SIZES, repeats: int = REPEATS, data: Path | None = None) -> StoreFigures:
    """A ClickHouse server of its own, filled to each of `sizes`, multiples of `seed`. Raises TocsinError; Unavailable without one."""
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
    """`size` articles over the `span` before `until`, `seed` of them different, the others copies; for tests. Raises TocsinError."""
    _, every = headlines(seed)
    stretch = span * seed / size
    _insert(store, every, seed, until, stretch)
    _multiply(store, range(1, size // seed), seed, stretch, until)


def _multiply(store: Store, numbers: range, seed: int, stretch: timedelta, until: datetime) -> None:
    """Copies of these numbers, all sums, and nothing left to merge."""
    step = max(1, AT_ONCE // seed)
    for at in tqdm(range(numbers.start, numbers.stop, step), desc="store: copies", unit="step"):
        _copy(store, range(at, min(at + step, numbers.stop)), stretch, until)
    store.client.command(MARK_DIRTY_HOURS)
    store.rollups.refresh(datetime.now(UTC), 100_000)
    _wait_for_merges(store)


def _insert(store: Store, every: Sequence[Document], count: int, until: datetime, stretch: timedelta) -> float:
    """`count` articles over the `stretch` before `until`, as the worker stores them; articles a second. A last few alerts beside them."""
    rng = random.Random(11)
    moments = sorted((until - stretch * rng.random()).replace(microsecond=0) for _ in range(count))
    took = 0.0
    for start in tqdm(range(0, count, BATCH), desc="store: inserts", unit="batch"):
        scored = [_scored(every[n % len(every)], n, moments[n], rng) for n in range(start, min(count, start + BATCH))]
        began = time.perf_counter()
        store.articles.insert(scored)
        store.mentions.insert([item.score for item in scored])
        store.articles.remember(scored)
        took += time.perf_counter() - began
    store.alerts.insert([_alert(number, until - stretch * rng.random()) for number in range(200)])
    return count / took


def _scored(document: Document, number: int, moment: datetime, rng: random.Random) -> Scored:
    """One article of 70 % one and 30 % two topics, and of none, one or two companies; every tenth tells the story of the one before."""
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
    """The first articles once more for each of `numbers`, with other identities, so many stretches earlier."""
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
    """Wait until the server has merged what it wants to."""
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
    upkeep = Upkeep(store, lambda: moment, cache, reads, None)
    return PageReads(reads, upkeep, ModelReads(store, lambda: moment, cache, None))


def _reads(alerts: Sequence[str], rng: random.Random) -> Iterator[tuple[str, Callable[[PageReads], Any]]]:
    """Every read of the dashboard by name, in the order of the pages: what one has read, the next need not."""

    def of(read: Callable[..., Any], **asked: Any) -> Callable[[PageReads], Any]:
        return lambda viewer: read(viewer.reads, **asked)

    for key in RANGES:
        yield f"overview {key}", of(Reads.overview, range_key=key)
        yield f"busiest series {key}", of(Reads.busiest, range_key=key)
        yield f"biggest movers {key}", of(Reads.movers, range_key=key)
        yield f"names of companies {key}", of(Reads.company_names, range_key=key)
        yield f"articles {key}", of(Reads.articles, range_key=key)
        yield f"alerts of {key}", of(Reads.rang, range_key=key)
        yield f"search found {key}", of(Reads.find, range_key=key, criteria=Criteria(words="stock 股"), before=None)
        yield f"search in vain {key}", of(Reads.find, range_key=key, criteria=Criteria(words="nowhere 无处"), before=None)
        yield f"series of a topic {key}", of(Reads.series, series=topic_series(rng.choice(TOPIC_KEYS)), range_key=key)
        yield f"series of a company {key}", of(Reads.series, series=company_series(f"C{rng.randrange(COMPANIES):04}"), range_key=key)
    yield "open alerts", of(Reads.alerts)
    yield "newest article", of(Reads.newest)
    yield "articles stored", of(Reads.stored)
    yield "one alert", of(Reads.alert, alert_id=rng.choice(alerts))
    yield "sources", lambda viewer: viewer.upkeep.sources()
    yield "system", lambda viewer: viewer.upkeep.system()
    yield "drift of the model", lambda viewer: viewer.models.drift()
    yield "models in use", lambda viewer: viewer.models.uses()


def _ms(read: Callable[[PageReads], Any], viewer: PageReads) -> float:
    began = time.perf_counter()
    read(viewer)
    return 1e3 * (time.perf_counter() - began)
