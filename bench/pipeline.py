"""How many articles a second go from Kafka to the store, sustained, and what share of the model alone is that?

Articles are published as fast as the worker takes them, never more than BACKLOG ahead. The model alone is measured in this process
before and after, on the same headlines, while nothing else of ours runs.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from tqdm import tqdm  # type: ignore[import-untyped]

from bench.installation import Installation
from bench.texts import headlines
from core.records import Article, Mention, sha
from core.settings import Settings
from models.inference.classifier import Document
from models.registry.files import shipped
from models.inference.loader import load_classifier

BACKLOG = 4_000
WARM_S = 10.0
HEADLINES = 40_000
ALONE = 4_096


class Pipeline(msgspec.Struct, frozen=True, kw_only=True):
    """docs_per_s: stored, over `seconds` after a warm-up; alone_docs_per_s: by the model alone; ratio: of these.

    first_quarter_per_s, last_quarter_per_s: stored in these parts of the time: what an article costs does not grow
    rss_mb: of the worker, at the end; rss_growth_mb: since the warm-up; rss_late_growth_mb: since a quarter of the time
    lag: articles published and not stored when the clock stopped
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


def measure(settings: Settings, *, data: Path | None = None, seconds: float = 60.0) -> Pipeline:
    """Run an installation for `seconds` after its warm-up. Raises TocsinError."""
    where, every = headlines(HEADLINES, data)
    before = alone(every[:ALONE])
    with Installation(settings) as place:
        source = articles(every)
        began = base = base_rss = late_rss = 0.0
        marks: list[tuple[float, int]] = []
        started = time.monotonic()
        with tqdm(total=round(seconds + WARM_S), desc="pipeline", unit="s") as bar:
            while True:
                stored = place.feed(source, BACKLOG)
                now = time.monotonic()
                marks.append((now, stored))
                if not began and stored and now - started >= WARM_S:
                    began, base, base_rss = now, stored, place.rss_mb()
                if began and not late_rss and now - began >= seconds / 4:
                    late_rss = place.rss_mb()
                bar.update(round(now - started) - bar.n)
                if began and now - began >= seconds:
                    break
                time.sleep(0.2)
        stored, now, rss = place.scored(), time.monotonic(), place.rss_mb()
        lag, broker, store = place.sent - stored, place.broker_name, place.store_name
    after = alone(every[:ALONE])
    rate, model = (stored - base) / (now - began), statistics.mean([before, after])
    return Pipeline(
        docs_per_s=round(rate, 1),
        alone_docs_per_s=round(model, 1),
        ratio=round(rate / model, 3),
        first_quarter_per_s=round(_rate(marks, began, began + seconds / 4), 1),
        last_quarter_per_s=round(_rate(marks, began + seconds * 3 / 4, began + seconds), 1),
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


def _rate(marks: list[tuple[float, int]], since: float, until: float) -> float:
    """Stored a second between two moments, by (moment, stored so far)."""
    inside = [mark for mark in marks if since <= mark[0] <= until]
    return (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0]) if len(inside) > 1 else 0.0


def articles(documents: list[Document]) -> Iterator[Article]:
    """Without end: the headlines again and again, each time with another number, so that none is known already."""
    for number in itertools.count():
        document = documents[number % len(documents)]
        round_ = number // len(documents)
        now = datetime.now(UTC)
        text = document.text if not round_ else f"{document.text} {round_}"
        yield article(f"bench {number}", text, document.language, now, source=f"s{number % 8}")


def article(name: str, title: str, language: str, now: datetime, *, source: str = "wire", company: str = "") -> Article:
    """An article of the moment `now`; company: named in its title."""
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
    """Headlines a second by the model alone, in this process; the better of two passes after one that makes the kernels."""
    classifier = load_classifier(shipped())
    classifier.classify(documents[:512])
    rates = []
    for _ in range(2):
        began = time.perf_counter()
        for start in range(0, len(documents), 512):
            classifier.classify(documents[start : start + 512])
        rates.append(len(documents) / (time.perf_counter() - began))
    return max(rates)
