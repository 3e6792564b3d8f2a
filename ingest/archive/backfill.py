"""Read archives into a sink, keeping the progress of each file.

    files.read ─▶ batches ─▶ sink.put(articles + the line reached)
                               ├─ OutboxSink: both in one transaction ─▶ Publisher ─▶ Kafka `articles`
                               └─ tocsin.runtime.backfill: scored and stored directly, without a broker

An interrupted run continues with the first row that the sink does not have: no row is lost or read twice.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

import msgspec

from core.errors import SettingsError
from core.records import Article
from ingest.archive.files import ReadOptions, Rejected, read
from ingest.companies.gazetteer import Gazetteer
from ingest.kafka.outbox import ArchiveState, Outbox

BATCH_ROWS = 500
MAX_PENDING = 20_000
"""Pending rows in the outbox at which reading pauses: about a minute of work for a fast worker, 20 MB."""
MAX_REJECTED_KEPT = 1_000


class FileRejected(msgspec.Struct, frozen=True):
    """A rejected row of a file."""

    path: str
    line: int
    reason: str


class BackfillReport(msgspec.Struct):
    """Result of a backfill. rejected: the first MAX_REJECTED_KEPT of rejected_count; resumed: rows done by earlier runs."""

    read: int = 0
    published: int = 0
    rejected_count: int = 0
    rejected: list[FileRejected] = msgspec.field(default_factory=list)
    resumed: int = 0
    interrupted: bool = False


class Sink(Protocol):
    """Destination of archived articles."""

    def archive(self, key: str) -> ArchiveState:
        """Progress of an archive."""
        ...

    def put(self, articles: Sequence[Article], path: str, key: str, state: ArchiveState) -> None:
        """Accept articles of `path`. Once they are safe, save `state` under `key`, unless that is ""."""
        ...

    def has_room(self) -> bool:
        """Whether more articles may be put now."""
        ...


class OutboxSink:
    """Writes to the outbox; a Publisher must be running."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def archive(self, key: str) -> ArchiveState:
        """As Sink.archive."""
        return self._outbox.archive(key)

    def put(self, articles: Sequence[Article], path: str, key: str, state: ArchiveState) -> None:
        """As Sink.put, all or nothing. Raises StoreError when the outbox cannot be written."""
        self._outbox.put(articles, archive=key, archive_state=state if key else None)

    def has_room(self) -> bool:
        """As Sink.has_room."""
        return self._outbox.counts().unsettled <= MAX_PENDING and not self._outbox.full


def backfill(
    paths: Sequence[str],
    sink: Sink,
    *,
    reading: ReadOptions,
    gazetteer: Gazetteer,
    now: datetime,
    progress: Callable[[BackfillReport], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> BackfillReport:
    """Read all rows of `paths` into `sink`. Stops early when `stop` is set (`interrupted`).

    Args:
        paths: archive files; "-" is stdin.
        sink: destination.
        reading: how to read the files.
        gazetteer: finds companies.
        now: fetched_at of the articles.
        progress: called after each batch and while waiting for the sink; its exceptions end the backfill.
        stop: set to interrupt.

    Raises:
        SettingsError: a file cannot be read.
    """
    report, stop = BackfillReport(), stop or threading.Event()
    keys = identities(paths)
    for path, key in keys.items():
        _file(path, key, sink, reading, gazetteer, now, report, progress, stop)
        if stop.is_set():
            report.interrupted = True
            break
    return report


def _file(
    path: str,
    key: str,
    sink: Sink,
    reading: ReadOptions,
    gazetteer: Gazetteer,
    now: datetime,
    report: BackfillReport,
    progress: Callable[[BackfillReport], None],
    stop: threading.Event,
) -> None:
    state = sink.archive(key) if key else ArchiveState()
    report.resumed += state.rows
    if state.complete:
        return
    articles: dict[str, Article] = {}
    line, rows = state.line, state.rows

    def flush(*, complete: bool) -> None:
        sink.put(list(articles.values()), path, key, ArchiveState(line, rows, complete))
        articles.clear()
        progress(report)
        while not sink.has_room():
            if stop.wait(0.05):
                return
            progress(report)

    for row in read(path, reading, gazetteer=gazetteer, now=now, after=state.line):
        if stop.is_set():
            break
        report.read, line, rows = report.read + 1, row.line, rows + 1
        if isinstance(row, Rejected):
            report.rejected_count += 1
            if len(report.rejected) < MAX_REJECTED_KEPT:
                report.rejected.append(FileRejected(path, row.line, row.reason))
        else:
            report.published += 1
            articles[row.article.id] = row.article
        if len(articles) >= BATCH_ROWS:
            flush(complete=False)
    flush(complete=not stop.is_set())


def identities(paths: Sequence[str]) -> dict[str, str]:
    """Identity of each path, "" for stdin; fails before any file is read. Raises SettingsError."""
    return {path: "" if path == "-" else identity(path) for path in paths}


def identity(path: str) -> str:
    """Identity of a file: path, size, modification time and a hash of its first 64 KiB. Raises SettingsError if unreadable."""
    try:
        place = Path(path).resolve(strict=True)
        facts = place.stat()
        with place.open("rb") as stream:
            head = hashlib.sha256(stream.read(65_536)).hexdigest()[:16]
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror or error})") from error
    return f"{place}|{facts.st_size}|{facts.st_mtime_ns}|{head}"
