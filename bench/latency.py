"""Benchmark: latency from publication to the stored row and to the alert, at shares of the sustained rate.

Articles are published evenly. For every PROBE-th article the time is recorded until it is found in the store. A burst is a dozen negative
headlines about one company from several sources, published at once; the latency of its alert counts from the last of them.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
from tqdm import tqdm  # type: ignore[import-untyped]

from bench.installation import BenchInstallation
from bench.pipeline import BACKLOG, article, articles
from bench.texts import headlines
from core.records import Article
from core.series import company_series
from core.settings import Settings
from models.templates import read_templates
from storage.store import Store
from tocsin import wiring

SHARES = (0.1, 0.5, 0.9)
SATURATE_S = 20.0
BURST = 12
BURST_EVERY_S = 2.5
PROBE = 5
POLL_S = 0.02
TIMEOUT_S = 30.0


class LatencyPoint(msgspec.Struct, frozen=True, kw_only=True):
    """Latency at one rate, in milliseconds from publication.

    share: of the sustained rate; rows, alerts: number of measurements; missed: alerts that did not occur within TIMEOUT_S
    """

    share: float
    articles_per_s: float
    rows: int
    row_p50_ms: float
    row_p99_ms: float
    alerts: int
    alert_p50_ms: float
    alert_p99_ms: float
    missed: int


class LatencyResult(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies by rate. sustained_per_s: articles stored per second under saturation."""

    sustained_per_s: float
    points: list[LatencyPoint]
    broker: str
    store: str
    texts: str


def measure(settings: Settings, *, data: Path | None = None, seconds: float = 30.0, shares: Sequence[float] = SHARES) -> LatencyResult:
    """Measure for `seconds` at each share of the sustained rate. Raises TocsinError; Unavailable without a ClickHouse server."""
    where, every = headlines(40_000, data)
    settings = msgspec.structs.replace(settings, alert_warmup_h=1.0)
    with BenchInstallation(settings, shared=True) as installation:
        store = wiring.make_store(installation.settings, migrate=False)
        try:
            source = articles(every)
            _publish_history(installation)
            sustained = installation.saturate(source, BACKLOG, SATURATE_S)
            points = [_point(installation, store, source, share, sustained, seconds) for share in tqdm(shares, desc="latency", unit="rate")]
        finally:
            store.close()
        return LatencyResult(
            sustained_per_s=round(sustained, 1), points=points, broker=installation.broker_name, store=installation.store_name, texts=where
        )


def _publish_history(installation: BenchInstallation) -> None:
    """Publish news of two days ago, because a stream without history raises no alerts."""
    then = datetime.now(UTC) - timedelta(days=2)
    installation.publish([article(f"old {n}", f"Acme opens office number {n}", "en", then, company="Acme") for n in range(50)])
    installation.drain()


def _point(
    installation: BenchInstallation, store: Store, source: Iterator[Article], share: float, sustained: float, seconds: float
) -> LatencyPoint:
    rate = share * sustained
    bursts = _bursts(share)
    pending_rows: dict[str, float] = {}
    pending_alerts: dict[str, float] = {}
    row_ms: list[float] = []
    alert_ms: list[float] = []
    began = last_burst = time.monotonic()
    sent = 0
    while True:
        now = time.monotonic()
        publishing = now - began < seconds
        due = round(rate * (now - began)) - sent if publishing else 0
        batch = list(itertools.islice(source, max(0, due)))
        installation.publish(batch)
        seen_at = time.monotonic()
        pending_rows |= {each.id: seen_at for each in batch[::PROBE]}
        sent += len(batch)
        if publishing and now - last_burst >= BURST_EVERY_S:
            series, burst = next(bursts)
            installation.publish(burst)
            pending_alerts[series], last_burst = time.monotonic(), now
        if pending_rows:
            seen = store.articles.keys(list(itertools.islice(pending_rows, 2_000)))
            seen_at = time.monotonic()
            row_ms += [1e3 * (seen_at - pending_rows.pop(key)) for key in list(seen)]
        if pending_alerts:
            found = {alert.series for alert in store.alerts.latest(200)}
            seen_at = time.monotonic()
            alert_ms += [1e3 * (seen_at - pending_alerts.pop(series)) for series in [name for name in pending_alerts if name in found]]
        if not publishing and ((not pending_rows and not pending_alerts) or now - began > seconds + TIMEOUT_S):
            break
        time.sleep(POLL_S)
    installation.drain()
    return LatencyPoint(
        share=share,
        articles_per_s=round(sent / seconds, 1),
        rows=len(row_ms),
        row_p50_ms=_percentile(row_ms, 50),
        row_p99_ms=_percentile(row_ms, 99),
        alerts=len(alert_ms),
        alert_p50_ms=_percentile(alert_ms, 50),
        alert_p99_ms=_percentile(alert_ms, 99),
        missed=len(pending_alerts),
    )


def _bursts(share: float) -> Iterator[tuple[str, list[Article]]]:
    """Yields the series of a new company and a burst of negative articles about it."""
    bad = [each.text for each in read_templates() if each.language == "en" and each.sentiment == "negative" and "{c}" in each.text]
    rng = random.Random(7)
    for number in itertools.count():
        company = f"Orvex {round(100 * share)} {number}"
        now = datetime.now(UTC)
        texts = [text.format(c=company, d="Velt", n=rng.randint(20, 900), p="31%", q="4.1%") for text in rng.sample(bad, BURST)]
        burst = [article(f"{company} {n}", text, "en", now, source=f"paper-{n % 6}", company=company) for n, text in enumerate(texts)]
        yield company_series(company), burst


def _percentile(values: Sequence[float], share: float) -> float:
    return round(float(np.percentile(values, share)), 1) if values else 0.0
