"""Benchmark: backfill of whole archives on the embedded default, with a count of lost and duplicate articles."""

from __future__ import annotations

import gzip
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from core.errors import SettingsError
from core.settings import Settings
from ingest.archive.files import ReadOptions
from tocsin import wiring
from tocsin.runtime.backfill import Backfill


class Archives(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a backfill.

    rows, distinct: rows of the files, and distinct (source, id) among them
    stored: distinct articles in the store; doubled: articles stored more than once; rejected: invalid rows
    """

    files: list[str]
    rows: int
    distinct: int
    stored: int
    doubled: int
    rejected: int
    seconds: float
    articles_per_s: float
    model: str


def measure(paths: Sequence[str], settings: Settings) -> Archives:
    """Backfill JSONL archives, plain or gzip, into a new data folder. Raises SettingsError if a row has no source or id."""
    rows, distinct = own_ids(paths)
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        settings = msgspec.structs.replace(settings, data_dir=folder, broker="embedded", store="embedded")
        began = time.monotonic()
        reading = ReadOptions(fields={}, source="", zone=ZoneInfo("UTC"))
        report = Backfill(settings, notify=lambda _: None, show=lambda *_: None).run(paths, reading, threading.Event(), wait=True)
        seconds = time.monotonic() - began
        store = wiring.make_store(settings)
        try:
            stored, doubled = store.articles.totals().articles, store.articles.duplicates()
            newest = store.articles.latest(1)
        finally:
            store.close()
    return Archives(
        files=[Path(path).name for path in paths],
        rows=rows,
        distinct=distinct,
        stored=stored,
        doubled=doubled,
        rejected=report.rejected_count,
        seconds=round(seconds, 1),
        articles_per_s=round(stored / seconds, 1),
        model=newest[0].model if newest else "",
    )


def own_ids(paths: Sequence[str]) -> tuple[int, int]:
    """Number of rows and of distinct (source, id), read independently of the code under test."""
    seen: set[tuple[str, str]] = set()
    rows = 0
    for path in paths:
        try:
            with gzip.open(path) if path.endswith(".gz") else Path(path).open("rb") as lines:
                for line in lines:
                    row = msgspec.json.decode(line)
                    seen.add((str(row["source"]), str(row["id"])))
                    rows += 1
        except OSError as error:
            raise SettingsError(f"{path}: cannot be read ({error.strerror or error})") from error
        except (KeyError, msgspec.DecodeError) as error:
            raise SettingsError(f"{path}: this benchmark needs JSONL rows with source and id ({error})") from error
    return rows, len(seen)
