"""What the crawler and the rest of Tocsin tell each other, in one SQLite file: feeds to take up, and how each visit went.

    store ─▶ (tocsin/runtime/crawler_bridge.py) ─▶ feeds ─▶ Crawler ─▶ visits, its own state ─▶ (tocsin/runtime/crawler_bridge.py) ─▶ store

The crawler needs no store for its work: it goes on with what it knows while there is none, and over its own restarts.
"""

from __future__ import annotations

import os
import secrets
import socket
import sqlite3
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec

from core.errors import LocalStoreError, SettingsError
from core.log import get_logger
from ingest.kafka.outbox import Outbox
from storage.tables.heartbeats import EVERY_S, State

Kind = Literal["feed", "visit", "crawler"]

_SCHEMA = "CREATE TABLE IF NOT EXISTS notes (kind TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (kind, name))"


class CrawlerMailbox:
    """Notes by kind and name, each a JSON text. Several processes, any number of threads. Every method raises LocalStoreError."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it. Raises SettingsError."""
        self.path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10.0)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise SettingsError(f"{path} cannot be opened ({error}): check data_dir") from error

    def all(self, kind: Kind) -> dict[str, bytes]:
        """The notes of a kind, by name."""
        with self._lock:
            try:
                return dict(self._db.execute("SELECT name, body FROM notes WHERE kind = ? ORDER BY name", (kind,)))
            except sqlite3.Error as error:
                raise LocalStoreError(f"{self.path}: {error}") from error

    def put(self, kind: Kind, notes: Mapping[str, bytes], *, alone: bool = False) -> None:
        """Write notes, each in place of the one of its name. alone: those of other names go."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    if alone:
                        self._db.execute("DELETE FROM notes WHERE kind = ?", (kind,))
                    self._db.executemany("INSERT OR REPLACE INTO notes VALUES (?, ?, ?)", [(kind, *note) for note in notes.items()])
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                raise LocalStoreError(f"{self.path}: {error}") from error

    def close(self) -> None:
        """Close the file; calling it twice is fine."""
        with self._lock:
            self._db.close()


log = get_logger(__name__)


class CrawlerHeartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """A crawler that is alive. id: of its process; waiting: articles in its outbox that Kafka has not"""

    id: str
    host: str
    pid: int
    started_at: datetime
    at: datetime
    state: State
    waiting: int


class HeartbeatWriter:
    """Tells, at most every EVERY_S, that the crawler is there; on leaving, that it has ended. board: None: nobody is told"""

    def __init__(self, mailbox: CrawlerMailbox | None, outbox: Outbox) -> None:
        self._mailbox, self._outbox = mailbox, outbox
        self._id = secrets.token_hex(8)
        self._started = datetime.now(UTC)
        self._next = self._started

    def __enter__(self) -> Self:
        self._started = self._next = datetime.now(UTC)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._put(datetime.now(UTC), "ended")

    def tell(self, now: datetime) -> None:
        """Say so, where it is time."""
        if now >= self._next:
            self._next = now + timedelta(seconds=EVERY_S)
            self._put(now, "ready")

    def _put(self, now: datetime, state: State) -> None:
        if self._mailbox is None:
            return
        heartbeat = CrawlerHeartbeat(
            id=self._id,
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=self._started,
            at=now,
            state=state,
            waiting=self._outbox.counts().pending,
        )
        try:
            self._mailbox.put("crawler", {"crawler": msgspec.json.encode(heartbeat)}, alone=True)
        except LocalStoreError as failure:
            log.warning("the heartbeat is not told", error=str(failure))


def read_heartbeat(mailbox: CrawlerMailbox) -> CrawlerHeartbeat | None:
    """The crawler's last heartbeat; None: there was none yet. Raises LocalStoreError."""
    body = mailbox.all("crawler").get("crawler")
    try:
        return msgspec.json.decode(body, type=CrawlerHeartbeat) if body else None
    except msgspec.MsgspecError as error:
        raise LocalStoreError(f"{mailbox.path}: {error}") from error
