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
from ingest.archive.files import Layout, ReadOptions, Rejected, Row, read
from ingest.companies.gazetteer import Gazetteer
from ingest.kafka.outbox import ArchiveState, Outbox

BATCH_ROWS = 500
MAX_PENDING = 20_000
"""Pending rows in the outbox at which reading pauses: about a minute of work for a fast worker, 20 MB."""
MAX_REJECTED_KEPT = 1_000
MAX_SEEN_IDS = 1_000_000
"""Ids of a file that are remembered to count repetitions: 60 MB."""


class FileRejected(msgspec.Struct, frozen=True):
    """A rejected or doubtful row of a file."""

    path: str
    line: int
    reason: str


class BackfillReport(msgspec.Struct):
    """Result of a backfill.

    Attributes:
        rejected: the first MAX_REJECTED_KEPT of rejected_count.
        undated: the first MAX_REJECTED_KEPT of undated_count rows without a trustworthy time: stored, but not counted.
        zone_guessed: rows with an unknown time zone, read in the zone of the archive.
        mended: rows from which damaged characters were removed.
        same_id: rows with the identity of an earlier row of the file, which they replace.
        notes: decisions about the columns of each file.
        resumed: rows done by earlier runs.
    """

    read: int = 0
    published: int = 0
    rejected_count: int = 0
    rejected: list[FileRejected] = msgspec.field(default_factory=list)
    undated_count: int = 0
    undated: list[FileRejected] = msgspec.field(default_factory=list)
    zone_guessed: int = 0
    mended: int = 0
    same_id: int = 0
    notes: list[str] = msgspec.field(default_factory=list)
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

    layout, ids = Layout(), _SeenIds()
    for row in read(path, reading, gazetteer=gazetteer, now=now, after=state.line, layout=layout):
        if stop.is_set():
            break
        report.read, line, rows = report.read + 1, row.line, rows + 1
        if isinstance(row, Rejected):
            report.rejected_count += 1
            if len(report.rejected) < MAX_REJECTED_KEPT:
                report.rejected.append(FileRejected(path, row.line, row.reason))
        else:
            report.published += 1
            _count_doubts(report, path, row)
            report.same_id += ids.add(row.article.id)
            articles[row.article.id] = row.article
        if len(articles) >= BATCH_ROWS:
            flush(complete=False)
    flush(complete=not stop.is_set())
    report.notes += [f"{path}: {note}" for note in layout.notes]
    if layout.format.repeated_headers:
        report.notes.append(f"{path}: {layout.format.repeated_headers} lines repeat the header and were skipped")


def _count_doubts(report: BackfillReport, path: str, row: Row) -> None:
    report.zone_guessed += "zone" in row.article.flags
    report.mended += "bytes" in row.article.flags
    if not row.article.counts:
        report.undated_count += 1
        if len(report.undated) < MAX_REJECTED_KEPT:
            report.undated.append(FileRejected(path, row.line, row.doubt))


class _SeenIds:
    """The first MAX_SEEN_IDS ids of a file, as numbers."""

    def __init__(self) -> None:
        self._ids: set[int] = set()

    def add(self, article_id: str) -> bool:
        """Remember an id; whether it was there already."""
        number = hash(article_id)
        if number in self._ids:
            return True
        if len(self._ids) < MAX_SEEN_IDS:
            self._ids.add(number)
        return False


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
