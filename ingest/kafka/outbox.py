"""The durable outbox: articles not yet safe in Kafka, and the crawl state of each source, in one SQLite file.

    put ─▶ pending ─▶ (Publisher) ─▶ sent ─▶ prune: deleted once the workers have committed its offset
                ◀── rewind: the in-memory broker was restarted and lost its messages

An article and its source's new state are written in one transaction: a crash leaves both or neither, so nothing is lost and
nothing is crawled twice.
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

MAX_ENTRIES = 200_000
"""Seen entries of one source that are kept, about 50 MB; a source of 2,000 articles a day has 60,000 in 30 days."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, body BLOB NOT NULL, size INTEGER NOT NULL, part INTEGER, place INTEGER);
CREATE INDEX IF NOT EXISTS outbox_pending ON outbox (n) WHERE part IS NULL;
CREATE INDEX IF NOT EXISTS outbox_id ON outbox (id) WHERE part IS NULL;
CREATE INDEX IF NOT EXISTS outbox_sent ON outbox (part, place) WHERE part IS NOT NULL;
CREATE TABLE IF NOT EXISTS sources (
    name TEXT PRIMARY KEY, etag TEXT NOT NULL, last_modified TEXT NOT NULL, next_due REAL NOT NULL, failures INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS entries (
    source TEXT NOT NULL, id TEXT NOT NULL, owner TEXT NOT NULL, guid INTEGER NOT NULL, guid_base INTEGER NOT NULL, link INTEGER NOT NULL,
    page INTEGER NOT NULL, title INTEGER NOT NULL, time INTEGER NOT NULL, raw INTEGER NOT NULL, fingerprint INTEGER NOT NULL,
    skipped TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (source, id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_guid ON entries (source, guid);
CREATE INDEX IF NOT EXISTS entries_page ON entries (source, page);
CREATE INDEX IF NOT EXISTS entries_title ON entries (source, title);
CREATE INDEX IF NOT EXISTS entries_at ON entries (at);
CREATE TABLE IF NOT EXISTS archives (key TEXT PRIMARY KEY, line INTEGER NOT NULL, rows INTEGER NOT NULL, complete INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS totals (
    one INTEGER PRIMARY KEY CHECK (one = 1), pending INTEGER NOT NULL, sent INTEGER NOT NULL, size INTEGER NOT NULL);
"""
_COUNTED = "SELECT 1, count(*) - count(part), count(part), coalesce(sum(size), 0) FROM outbox"
"""Counts of the table outbox; `totals` always holds the same numbers, updated in the same transaction."""


class PendingArticle(NamedTuple):
    """One article to send. number: ascending in insertion order."""

    number: int
    key: bytes
    body: bytes


class SourceState(NamedTuple):
    """Crawl state of a source. next_due: Unix time in seconds; 0: due now."""

    etag: str = ""
    last_modified: str = ""
    next_due: float = 0.0
    failures: int = 0


class EntryKeys(NamedTuple):
    """What identifies a feed entry, as 63-bit hashes; 0 for what it lacks.

    Attributes:
        guid: of its guid as written; guid_base: of its guid without a number of its version
        link: of its link; page: of its link without the fragment
        title: of its title; time: of its time of publication as written
        raw: of its title and text as written
    """

    guid: int = 0
    guid_base: int = 0
    link: int = 0
    page: int = 0
    title: int = 0
    time: int = 0
    raw: int = 0


class SeenEntry(NamedTuple):
    """A feed entry that was seen on a visit.

    Attributes:
        id: of its article; of a skipped entry a hash of its keys
        owner: of its article
        keys: as on the last visit
        fingerprint: 63-bit hash of its visible text
        skipped: why there is no article of it; "" for one that has an article
    """

    id: str
    owner: str
    keys: EntryKeys
    fingerprint: int = 0
    skipped: str = ""


class ArchiveState(NamedTuple):
    """Progress of an archive. line: last line read; rows: rows read."""

    line: int = 0
    rows: int = 0
    complete: bool = False


class Counts(NamedTuple):
    """Pending rows, sent rows still kept, and the bytes of both."""

    pending: int
    sent: int
    size: int

    @property
    def unsettled(self) -> int:
        """Rows not known to be stored yet."""
        return self.pending + self.sent


class Outbox:
    """The outbox file. Thread safe. `wake` is set when there is something to send.

    Args:
        path: the SQLite file.
        durable_broker: True for Kafka: sent rows are deleted at once. False for the in-memory broker: they are kept until the
            workers have committed their offsets.
        max_bytes: at this size `full` is true and the crawler pauses; nothing is dropped.
        append_only: another process owns and publishes the outbox; this one only adds articles, which survive a power failure, as
            no crawler could fetch them again.
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
            # NORMAL: a killed process loses nothing. A power failure may lose the last transactions, but articles together with
            # the record that they were seen, so the next visit finds them again.
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
    def _read_access(self) -> Iterator[sqlite3.Connection]:
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
        seen: Sequence[SeenEntry] = (),
        now: datetime | None = None,
        archive: str = "",
        archive_state: ArchiveState | None = None,
    ) -> None:
        """Store articles, the new state of their source or archive, and the entries that were seen, in one transaction.

        An older pending version of an article is replaced, so that versions never arrive in the wrong order.
        Raises LocalStoreError (such as a full disk); then nothing was stored.
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
                    "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [(source, entry.id, entry.owner, *entry.keys, entry.fingerprint, entry.skipped, moment) for entry in seen],
                )
            _change(db, pending=len(rows) - dropped, size=sum(row[2] for row in rows) - dropped_size)
        self.counts()
        if rows:
            self.wake.set()

    def pending(self, limit: int, after: int = 0) -> list[PendingArticle]:
        """The oldest pending articles with a number greater than `after`, in order. Raises LocalStoreError."""
        with self._read_access() as db:
            rows = db.execute("SELECT n, id, body FROM outbox WHERE part IS NULL AND n > ? ORDER BY n LIMIT ?", (after, limit))
            return [PendingArticle(number, key.encode(), body) for number, key, body in rows]

    def sent(self, done: Sequence[tuple[int, int, int]]) -> None:
        """Mark articles as acknowledged: (number, partition, offset) each. Unknown numbers are ignored."""
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
        """Delete an article that the broker will never accept."""
        with self._transaction() as db:
            sizes = db.execute("DELETE FROM outbox WHERE n = ? AND part IS NULL RETURNING size", (number,)).fetchall()
            _change(db, pending=-len(sizes), size=-sum(size for (size,) in sizes))
        self.counts()

    def prune(self, committed: Mapping[int, int]) -> int:
        """Delete sent articles below the committed offsets, {partition: next offset to read}. Returns how many."""
        gone = freed = 0
        with self._transaction() as db:
            for partition, offset in committed.items():
                sizes = db.execute("DELETE FROM outbox WHERE part = ? AND place < ? RETURNING size", (partition, offset)).fetchall()
                gone, freed = gone + len(sizes), freed + sum(size for (size,) in sizes)
            _change(db, sent=-gone, size=-freed)
        self.counts()
        return gone

    def rewind(self) -> int:
        """Make all kept articles pending again, as the broker lost its messages. Returns how many had been sent.

        Of several versions of an article only the newest is kept.
        """
        with self._transaction() as db:
            again = db.execute("UPDATE outbox SET part = NULL, place = NULL WHERE part IS NOT NULL").rowcount
            db.execute("DELETE FROM outbox WHERE n NOT IN (SELECT max(n) FROM outbox GROUP BY id)")
            db.execute(f"INSERT OR REPLACE INTO totals {_COUNTED}")
        self.counts()
        self.wake.set()
        return again

    def state(self, source: str) -> SourceState:
        """Crawl state of a source; defaults for a new one. Raises LocalStoreError."""
        with self._read_access() as db:
            row = db.execute("SELECT etag, last_modified, next_due, failures FROM sources WHERE name = ?", (source,)).fetchone()
        return SourceState(*row) if row else SourceState()

    def archive(self, key: str) -> ArchiveState:
        """Progress of the archive with this identity; zero for a new one. Raises LocalStoreError."""
        with self._read_access() as db:
            row = db.execute("SELECT line, rows, complete FROM archives WHERE key = ?", (key,)).fetchone()
        return ArchiveState(row[0], row[1], bool(row[2])) if row else ArchiveState()

    def seen(self, source: str, keys: Sequence[EntryKeys]) -> list[SeenEntry]:
        """The entries of the source seen before that share a guid, a page or a title with any of these, by id. Raises LocalStoreError."""
        found: dict[str, SeenEntry] = {}
        with self._read_access() as db:
            for column in ("guid", "page", "title"):
                values = sorted({getattr(each, column) for each in keys} - {0})
                for start in range(0, len(values), 500):
                    part = values[start : start + 500]
                    marks = ",".join("?" * len(part))
                    query = (
                        "SELECT id, owner, guid, guid_base, link, page, title, time, raw, fingerprint, skipped FROM entries "  # noqa: S608
                        f"WHERE source = ? AND {column} IN ({marks})"  # the names of columns above and question marks only
                    )
                    for row in db.execute(query, (source, *part)):
                        found[row[0]] = SeenEntry(row[0], row[1], EntryKeys(*row[2:9]), row[9], row[10])
        return [found[key] for key in sorted(found)]

    def forget_seen(self, now: datetime, keep: timedelta = timedelta(days=30), most: int = MAX_ENTRIES) -> int:
        """Delete entries not seen for `keep`, and of each source those beyond `most`, skipped and old ones first. Returns how many."""
        with self._transaction() as db:
            deleted = db.execute("DELETE FROM entries WHERE at < ?", ((now - keep).timestamp(),)).rowcount
            for (source,) in db.execute("SELECT source FROM entries GROUP BY source HAVING count(*) > ?", (most,)).fetchall():
                deleted += db.execute(
                    "DELETE FROM entries WHERE source = ? AND id IN "
                    "(SELECT id FROM entries WHERE source = ? ORDER BY skipped = '' DESC, at DESC, id LIMIT -1 OFFSET ?)",
                    (source, source, most),
                ).rowcount
            return deleted

    @property
    def full(self) -> bool:
        """Whether the outbox has reached `max_bytes`, so that crawling should pause."""
        return self.counts().size >= self.max_bytes

    def counts(self) -> Counts:
        """Current counts, including other processes' articles; the last known ones if the file cannot be read."""
        with suppress(LocalStoreError), self._read_access() as db:
            self._counts = Counts(*db.execute("SELECT pending, sent, size FROM totals").fetchone())
            OUTBOX.set(self._counts.pending)
        return self._counts

    def close(self) -> None:
        """Close the file. May be called twice."""
        with self._lock:
            self._db.close()


def _change(db: sqlite3.Connection, pending: int = 0, sent: int = 0, size: int = 0) -> None:
    if pending or sent or size:
        db.execute("UPDATE totals SET pending = pending + ?, sent = sent + ?, size = size + ?", (pending, sent, size))
