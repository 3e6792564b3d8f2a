"""Benchmarks of throughput from Kafka to the store: sustained rate, overload, and several workers.

Articles are published with a constant backlog, except for overload. The sustained rate is compared with the model alone, which is
measured in this process before and after, on the same headlines, while no worker runs.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from tqdm import tqdm  # type: ignore[import-untyped]

from bench.installation import BenchInstallation
from bench.texts import headlines
from core.records import Article, Mention, sha
from core.settings import Settings
from models.inference.classifier import Document
from models.inference.loader import load_classifier
from models.registry.manifest import shipped
from tocsin import wiring

BACKLOG = 4_000
WARM_S = 10.0
HEADLINES = 40_000
ALONE = 4_096


class PipelineThroughput(msgspec.Struct, frozen=True, kw_only=True):
    """Sustained throughput.

    docs_per_s: articles stored per second, over `seconds` after a warm-up; alone_docs_per_s: of the model alone; ratio: of the two
    first_quarter_per_s, last_quarter_per_s: the rate in these parts of the time, to detect a growing cost per article
    rss_mb: memory of the worker at the end; rss_growth_mb: since the warm-up; rss_late_growth_mb: since a quarter of the time
    lag: articles published but not stored at the end
    """

    docs_per_s: float
    alone_docs_per_s: float
    ratio: float
    first_quarter_per_s: float
    last_quarter_per_s: float
    seconds: float
    stored: int
    lag: int
    rss_mb: float
    rss_growth_mb: float
    rss_late_growth_mb: float
    broker: str
    store: str
    model: str
    texts: str


def measure(settings: Settings, *, data: Path | None = None, seconds: float = 60.0) -> PipelineThroughput:
    """Run an installation for `seconds` after its warm-up. Raises TocsinError."""
    where, every = headlines(HEADLINES, data)
    before = alone(every[:ALONE])
    with BenchInstallation(settings) as installation:
        source = articles(every)
        began = base = base_rss = late_rss = 0.0
        samples: list[tuple[float, int]] = []
        started = time.monotonic()
        with tqdm(total=round(seconds + WARM_S), desc="pipeline", unit="s") as bar:
            while True:
                stored = installation.feed(source, BACKLOG)
                now = time.monotonic()
                samples.append((now, stored))
                if not began and stored and now - started >= WARM_S:
                    began, base, base_rss = now, stored, installation.rss_mb()
                if began and not late_rss and now - began >= seconds / 4:
                    late_rss = installation.rss_mb()
                bar.update(round(now - started) - bar.n)
                if began and now - began >= seconds:
                    break
                time.sleep(0.2)
        stored, now, rss = installation.scored(), time.monotonic(), installation.rss_mb()
        lag, broker, store = installation.sent - stored, installation.broker_name, installation.store_name
    after = alone(every[:ALONE])
    rate, model = (stored - base) / (now - began), statistics.mean([before, after])
    return PipelineThroughput(
        docs_per_s=round(rate, 1),
        alone_docs_per_s=round(model, 1),
        ratio=round(rate / model, 3),
        first_quarter_per_s=round(_rate(samples, began, began + seconds / 4), 1),
        last_quarter_per_s=round(_rate(samples, began + seconds * 3 / 4, began + seconds), 1),
        seconds=round(now - began, 1),
        stored=stored,
        lag=lag,
        rss_mb=round(rss, 1),
        rss_growth_mb=round(rss - base_rss, 1),
        rss_late_growth_mb=round(rss - (late_rss or base_rss), 1),
        broker=broker,
        store=store,
        model=load_classifier(shipped()).version,
        texts=where,
    )


def _rate(samples: list[tuple[float, int]], since: float, until: float) -> float:
    """Articles stored per second between two times, from samples of (time, stored so far)."""
    inside = [sample for sample in samples if since <= sample[0] <= until]
    return (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0]) if len(inside) > 1 else 0.0


def articles(documents: list[Document]) -> Iterator[Article]:
    """An endless stream of articles: the headlines repeatedly, each time with a number, so that none is a duplicate."""
    for number in itertools.count():
        document = documents[number % len(documents)]
        round_ = number // len(documents)
        now = datetime.now(UTC)
        text = document.text if not round_ else f"{document.text} {round_}"
        yield article(f"bench {number}", text, document.language, now, source=f"s{number % 8}")


def article(name: str, title: str, language: str, now: datetime, *, source: str = "wire", company: str = "") -> Article:
    """An article published at `now`; company: a company named in its title, or ""."""
    return Article(
        id=sha(name)[:32],
        source=source,
        language="zh" if language == "zh" else "en",
        title=title,
        published_at=now,
        fetched_at=now,
        mentions=(Mention(company=company, surface=company),) if company else (),
    )


def alone(documents: list[Document]) -> float:
    """Headlines per second of the model alone in this process: the better of two passes, after a pass that compiles the kernels."""
    classifier = load_classifier(shipped())
    classifier.classify(documents[:512])
    rates = []
    for _ in range(2):
        began = time.perf_counter()
        for start in range(0, len(documents), 512):
            classifier.classify(documents[start : start + 512])
        rates.append(len(documents) / (time.perf_counter() - began))
    return max(rates)


TIMES = 3.0
SATURATE_S = 30.0


class Overload(msgspec.Struct, frozen=True, kw_only=True):
    """Overload: articles are published faster than they can be processed.

    sustained_per_s: rate of storing with a constant backlog; offered_per_s: rate of publishing over `seconds`, `times` as high
    meanwhile_per_s, drained_per_s: rate of storing during that time, and afterwards; drain_ratio: drained / sustained
    peak_lag: maximum number of articles published but not stored; lost, doubled: articles in the store at the end
    rss_*: memory of the worker before, at most, and at the end
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


def measure_overload(settings: Settings, *, data: Path | None = None, seconds: float = 300.0, times: float = TIMES) -> Overload:
    """Publish at `times` the sustained rate for `seconds`, then drain. Raises TocsinError."""
    where, every = headlines(40_000, data)
    with BenchInstallation(settings, shared=True) as installation, tqdm(desc="overload", unit="article") as bar:
        source = articles(every)
        sustained = installation.saturate(source, BACKLOG, SATURATE_S)
        before, rss_before = installation.sent, installation.rss_mb()
        rss, peak = [rss_before], 0
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            due = round(times * sustained * passed) - (installation.sent - before)
            installation.publish(list(itertools.islice(source, max(0, due))))
            stored = installation.scored()
            peak = max(peak, installation.sent - stored)
            rss.append(installation.rss_mb())
            bar.update(stored - bar.n)
            installation.check()
            time.sleep(0.1)
        installation.flush()
        offered_s, offered = time.monotonic() - began, installation.sent - before
        left = installation.sent - installation.scored()
        drained = time.monotonic()
        while (stored := installation.scored()) < installation.sent:
            rss.append(installation.rss_mb())
            bar.update(stored - bar.n)
            installation.check()
            time.sleep(0.5)
        drain_s = time.monotonic() - drained
        store = wiring.make_store(installation.settings, migrate=False)
        try:
            kept, doubled = store.articles.totals().articles, store.articles.duplicates()
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
            published=installation.sent,
            lost=installation.sent - kept,
            doubled=doubled,
            rss_before_mb=round(rss_before, 1),
            rss_peak_mb=round(max(rss), 1),
            rss_end_mb=round(rss[-1], 1),
            broker=installation.broker_name,
            store=installation.store_name,
            texts=where,
        )


WORKERS = (1, 2, 4)
SCALE_ARTICLES = 4_000


class WorkerCount(msgspec.Struct, frozen=True, kw_only=True):
    """Result with a number of workers. ready_s: from their start until all have partitions; shares: articles stored by each, descending."""

    workers: int
    ready_s: float
    articles: int
    stored: int
    doubled: int
    articles_per_s: float
    shares: list[int]


class ScaleResult(msgspec.Struct, frozen=True, kw_only=True):
    """The same articles processed by different numbers of workers."""

    counts: list[WorkerCount]
    partitions: int
    broker: str
    store: str


def measure_scale(
    settings: Settings, *, data: Path | None = None, workers: Sequence[int] = WORKERS, count: int = SCALE_ARTICLES
) -> ScaleResult:
    """Process `count` articles with each number of workers. Raises TocsinError; Unavailable without a ClickHouse server."""
    _, every = headlines(count, data)
    counts, partitions = [], 4
    for number in tqdm(workers, desc="scale", unit="run"):
        with BenchInstallation(settings, workers=number, partitions=partitions, shared=True) as installation:
            installation.publish(list(itertools.islice(articles(every), count)))
            installation.flush()
            began = time.monotonic()
            installation.drain()
            seconds = time.monotonic() - began
            shares = sorted((round(node.metrics().get("tocsin_scored_total", 0.0)) for node in installation.nodes), reverse=True)
            store = wiring.make_store(installation.settings, migrate=False)
            try:
                stored, doubled = store.articles.totals().articles, store.articles.duplicates()
            finally:
                store.close()
            names = installation.broker_name, installation.store_name
        counts.append(
            WorkerCount(
                workers=number,
                ready_s=round(installation.ready_s, 1),
                articles=count,
                stored=stored,
                doubled=doubled,
                articles_per_s=round(count / seconds, 1),
                shares=shares,
            )
        )
    return ScaleResult(counts=counts, partitions=partitions, broker=names[0], store=names[1])
