"""The durable outbox: what was crawled and is not yet safe in Kafka, with what each source was last seen to hold.

    put ─▶ pending ─▶ (Publisher) ─▶ sent ─▶ prune: forgotten once the workers have committed past it
                ◀── rewind: the in-memory broker was restarted and has lost what it held

One SQLite file. An article and its source's new state are written in one transaction: a crash leaves both or neither,
so nothing is lost and nothing is crawled twice.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from core.errors import LocalStoreError, SettingsError
from core.metrics import OUTBOX
from core.records import Article, encode

_SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, body BLOB NOT NULL, size INTEGER NOT NULL, part INTEGER, place INTEGER);
CREATE INDEX IF NOT EXISTS outbox_pending ON outbox (n) WHERE part IS NULL;
CREATE INDEX IF NOT EXISTS outbox_id ON outbox (id) WHERE part IS NULL;
CREATE INDEX IF NOT EXISTS outbox_sent ON outbox (part, place) WHERE part IS NOT NULL;
CREATE TABLE IF NOT EXISTS sources (
    name TEXT PRIMARY KEY, etag TEXT NOT NULL, last_modified TEXT NOT NULL, next_due REAL NOT NULL, failures INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS seen (
    source TEXT NOT NULL, entry TEXT NOT NULL, fingerprint INTEGER NOT NULL, at REAL NOT NULL, PRIMARY KEY (source, entry)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS seen_at ON seen (at);
CREATE TABLE IF NOT EXISTS archives (key TEXT PRIMARY KEY, line INTEGER NOT NULL, rows INTEGER NOT NULL, complete INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS totals (
    one INTEGER PRIMARY KEY CHECK (one = 1), pending INTEGER NOT NULL, sent INTEGER NOT NULL, size INTEGER NOT NULL);
"""
_COUNTED = "SELECT 1, count(*) - count(part), count(part), coalesce(sum(size), 0) FROM outbox"
"""How much is in the box, counted; the table totals has the same at any time, changed in the transaction that changes the box."""


class Waiting(NamedTuple):
    """One article to send. `number` grows in the order of putting."""

    number: int
    key: bytes
    body: bytes


class SourceState(NamedTuple):
    """What is remembered of a source. next_due: epoch seconds; 0: at once."""

    etag: str = ""
    last_modified: str = ""
    next_due: float = 0.0
    failures: int = 0


class ArchiveState(NamedTuple):
    """How far an archive is done. line: the last line read; rows: how many rows that were."""

    line: int = 0
    rows: int = 0
    complete: bool = False


class Counts(NamedTuple):
    """Rows that wait, rows sent and kept, and the bytes of both."""

    pending: int
    sent: int
    size: int

    @property
    def unsettled(self) -> int:
        """Rows that are not stored yet, as far as is known."""
        return self.pending + self.sent


class Outbox:
    """One file, one process, any number of threads. `wake` is set whenever something is to be sent.

    durable_broker: the broker keeps what it acknowledged (Kafka), so sent rows are forgotten at once;
        False for the in-memory broker: they are kept until the workers' committed offsets have passed them
    max_bytes: when this much waits, `full` is true and the crawler pauses: nothing is dropped, the sources keep their news
    guest: another process owns the box and publishes; this one only puts, and what it puts survives a power cut too: nobody would
        find it again at its source
    """

    def __init__(self, path: Path, *, durable_broker: bool, max_bytes: int = 1 << 30, append_only: bool = False) -> None:
        self.path = path
        self.durable_broker = durable_broker
        self.max_bytes = max_bytes
        self.wake = threading.Event()
        self._lock = threading.RLock()
        self._counts = Counts(0, 0, 0)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10.0)
            self._db.execute("PRAGMA journal_mode = WAL")
            # NORMAL: a killed process loses nothing. A power cut may take back the last moments, but the articles together
            # with the state that says they were seen, so that the next visit finds them again.
            self._db.execute(f"PRAGMA synchronous = {'FULL' if append_only else 'NORMAL'}")
            self._db.executescript(_SCHEMA)
            self._db.execute(f"INSERT OR {'IGNORE' if append_only else 'REPLACE'} INTO totals {_COUNTED}")
        except (OSError, sqlite3.Error) as error:
            raise SettingsError(f"the outbox {path} cannot be opened ({error}): check data_dir") from error
        self.counts()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                raise LocalStoreError(f"the outbox {self.path}: {error}") from error

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as error:
                raise LocalStoreError(f"the outbox {self.path}: {error}") from error

    def put(
        self,
        articles: Iterable[Article],
        *,
        source: str = "",
        state: SourceState | None = None,
        seen: Mapping[str, int] | None = None,
        now: datetime | None = None,
        archive: str = "",
        archive_state: ArchiveState | None = None,
    ) -> None:
        """Keep articles, the new state of their source or archive and the fingerprints of the entries just seen: all or nothing.

        An older version of an article that still waits is replaced, so that versions never arrive in the wrong order.
        Raises LocalStoreError (the disk is full, say); then nothing was kept.
        """
        rows = [(article.id, body, len(body)) for article in articles for body in (encode(article),)]
        with self._transaction() as db:
            dropped = dropped_size = 0
            for key, _, _ in rows:
                for (size,) in db.execute("DELETE FROM outbox WHERE id = ? AND part IS NULL RETURNING size", (key,)).fetchall():
                    dropped, dropped_size = dropped + 1, dropped_size + size
            db.executemany("INSERT INTO outbox (id, body, size) VALUES (?, ?, ?)", rows)
            if state is not None:
                db.execute("INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?, ?)", (source, *state))
            if archive_state is not None:
                db.execute("INSERT OR REPLACE INTO archives VALUES (?, ?, ?, ?)", (archive, *archive_state))
            if seen and now is not None:
                moment = now.timestamp()
                db.executemany(
                    "INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?)", [(source, entry, mark, moment) for entry, mark in seen.items()]
                )
            _change(db, pending=len(rows) - dropped, size=sum(row[2] for row in rows) - dropped_size)
        self.counts()
        if rows:
            self.wake.set()

    def pending(self, limit: int, after: int = 0) -> list[Waiting]:
        """The oldest articles to send whose number is greater than `after`, in order. Raises LocalStoreError."""
        with self._reading() as db:
            rows = db.execute("SELECT n, id, body FROM outbox WHERE part IS NULL AND n > ? ORDER BY n LIMIT ?", (after, limit))
            return [Waiting(number, key.encode(), body) for number, key, body in rows]

    def sent(self, done: Sequence[tuple[int, int, int]]) -> None:
        """Note (number, partition, offset) of articles that the broker acknowledged. Unknown numbers are fine."""
        if not done:
            return
        gone = freed = 0
        with self._transaction() as db:
            for number, partition, offset in done:
                if self.durable_broker:
                    sizes = db.execute("DELETE FROM outbox WHERE n = ? RETURNING size", (number,)).fetchall()
                    gone, freed = gone + len(sizes), freed + sum(size for (size,) in sizes)
                else:
                    changed = db.execute("UPDATE outbox SET part = ?, place = ? WHERE n = ? AND part IS NULL", (partition, offset, number))
                    gone += changed.rowcount
            _change(db, pending=-gone, sent=0 if self.durable_broker else gone, size=-freed)
        self.counts()

    def discard(self, number: int) -> None:
        """Forget an article that the broker will never take."""
        with self._transaction() as db:
            sizes = db.execute("DELETE FROM outbox WHERE n = ? AND part IS NULL RETURNING size", (number,)).fetchall()
            _change(db, pending=-len(sizes), size=-sum(size for (size,) in sizes))
        self.counts()

    def prune(self, committed: Mapping[int, int]) -> int:
        """Forget sent articles below the committed offset of their partition: {partition: next offset to read}. Returns how many."""
        gone = freed = 0
        with self._transaction() as db:
            for partition, offset in committed.items():
                sizes = db.execute("DELETE FROM outbox WHERE part = ? AND place < ? RETURNING size", (partition, offset)).fetchall()
                gone, freed = gone + len(sizes), freed + sum(size for (size,) in sizes)
            _change(db, sent=-gone, size=-freed)
        self.counts()
        return gone

    def rewind(self) -> int:
        """Everything that is kept waits again: the broker lost what it held. Returns how many were sent before.

        Of several versions of an article only the newest is sent again.
        """
        with self._transaction() as db:
            again = db.execute("UPDATE outbox SET part = NULL, place = NULL WHERE part IS NOT NULL").rowcount
            db.execute("DELETE FROM outbox WHERE n NOT IN (SELECT max(n) FROM outbox GROUP BY id)")
            db.execute(f"INSERT OR REPLACE INTO totals {_COUNTED}")
        self.counts()
        self.wake.set()
        return again

    def state(self, source: str) -> SourceState:
        """What is remembered of a source; the defaults for a new one. Raises LocalStoreError."""
        with self._reading() as db:
            row = db.execute("SELECT etag, last_modified, next_due, failures FROM sources WHERE name = ?", (source,)).fetchone()
        return SourceState(*row) if row else SourceState()

    def archive(self, key: str) -> ArchiveState:
        """How far the archive with this identity is done; the beginning for a new one. Raises LocalStoreError."""
        with self._reading() as db:
            row = db.execute("SELECT line, rows, complete FROM archives WHERE key = ?", (key,)).fetchone()
        return ArchiveState(row[0], row[1], bool(row[2])) if row else ArchiveState()

    def seen(self, source: str, entries: Sequence[str]) -> dict[str, int]:
        """The fingerprints of those of the source's entries that were seen before. Raises LocalStoreError."""
        found: dict[str, int] = {}
        with self._reading() as db:
            for start in range(0, len(entries), 500):
                part = entries[start : start + 500]
                marks = ",".join("?" * len(part))
                query = f"SELECT entry, fingerprint FROM seen WHERE source = ? AND entry IN ({marks})"  # noqa: S608 -- question marks only
                found.update(db.execute(query, (source, *part)))
        return found

    def forget_seen(self, now: datetime, keep: timedelta = timedelta(days=30)) -> int:
        """Forget entries that no visit has found for `keep`. Returns how many."""
        with self._transaction() as db:
            return db.execute("DELETE FROM seen WHERE at < ?", ((now - keep).timestamp(),)).rowcount

    @property
    def full(self) -> bool:
        """Whether so much waits that nothing more should be fetched for now."""
        return self.counts().size >= self.max_bytes

    def counts(self) -> Counts:
        """How much is in the box, whoever put it there; what was known last where the file does not answer."""
        with suppress(LocalStoreError), self._reading() as db:
            self._counts = Counts(*db.execute("SELECT pending, sent, size FROM totals").fetchone())
            OUTBOX.set(self._counts.pending)
        return self._counts

    def close(self) -> None:
        """Close the file; calling it twice is fine."""
        with self._lock:
            self._db.close()


def _change(db: sqlite3.Connection, pending: int = 0, sent: int = 0, size: int = 0) -> None:
    if pending or sent or size:
        db.execute("UPDATE totals SET pending = pending + ?, sent = sent + ?, size = size + ?", (pending, sent, size))
