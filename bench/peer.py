"""Benchmark: the worker compared with simple programs for the same job, on the same servers, messages and weights.

bench/transformers_baseline.py   a plain consumer, transformers' pipeline, one INSERT per row
bench/bytewax_baseline.py        the same on bytewax, with one INSERT per batch
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import msgspec

from bench.installation import BenchInstallation
from bench.pipeline import articles
from bench.texts import headlines
from core.errors import TocsinError
from core.settings import Settings
from tocsin import wiring

TIMEOUT_S = 600.0


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """Articles per second from the topic to the store. The programs run one after the other, on articles already in the topic.

    bytewax_docs_per_s: 0 if it is not installed (it has no release for Python 3.13)
    """

    docs_per_s: float
    naive_docs_per_s: float
    ratio: float
    bytewax_docs_per_s: float
    bytewax_ratio: float
    docs: int
    naive_docs: int
    broker: str
    store: str
    texts: str


def measure(settings: Settings, *, data: Path | None = None, docs: int = 8_000, naive_docs: int = 1_000) -> Peer:
    """Process `docs` articles with a worker, and `naive_docs` with each other program.

    Raises:
        TocsinError: a program fails.
        Unavailable: there is no ClickHouse server.
    """
    where, every = headlines(docs, data)
    with BenchInstallation(settings, workers=0, shared=True) as installation:
        installation.publish(list(itertools.islice(articles(every), naive_docs)))
        installation.flush()
        naive = _baseline_rate(installation, naive_docs, "transformers_baseline", "SELECT count() FROM naive")
        streamed = (
            _baseline_rate(installation, naive_docs, "bytewax_baseline", "SELECT count() FROM streamed") if find_spec("bytewax") else 0.0
        )
        broker, store = installation.broker_name, installation.store_name
    with BenchInstallation(settings, shared=True) as installation:
        installation.publish(list(itertools.islice(articles(every), docs)))
        installation.flush()
        first, began = installation.scored(), time.monotonic()
        installation.drain()
        ours = (docs - first) / (time.monotonic() - began)
    return Peer(
        docs_per_s=round(ours, 1),
        naive_docs_per_s=round(naive, 1),
        ratio=round(ours / naive, 2),
        bytewax_docs_per_s=round(streamed, 1),
        bytewax_ratio=round(ours / streamed, 2) if streamed else 0.0,
        docs=docs,
        naive_docs=naive_docs,
        broker=broker,
        store=store,
        texts=where,
    )


def _baseline_rate(installation: BenchInstallation, docs: int, program: str, count: str) -> float:
    """Rows per second of another program, from its first row to its last. program: module of bench/; count: query of its row count."""
    settings = installation.settings
    store = wiring.make_store(settings, migrate=False)
    command = [sys.executable, "-m", f"bench.{program}", settings.broker, wiring.names(settings).articles, settings.store]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        if process.stdout is None or process.stdout.readline() != b"ready\n":
            raise TocsinError(f"bench.{program} did not start")

        def rows() -> int:
            return int(store.client.query(count)[0][0])

        deadline = time.monotonic() + TIMEOUT_S
        while not (first := rows()):
            time.sleep(0.05)
        began = time.monotonic()
        while (stored := rows()) < docs:
            if process.poll() is not None or time.monotonic() > deadline:
                raise TocsinError(f"bench.{program} stored {stored} of {docs} articles, then exited or timed out")
            time.sleep(0.05)
        return (docs - first) / (time.monotonic() - began)
    finally:
        process.terminate()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()
        store.close()
