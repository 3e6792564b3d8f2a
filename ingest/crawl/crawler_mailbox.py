"""The SQLite mailbox between the crawler and the store: added feeds one way, visits and heartbeats the other.

    store ─▶ (tocsin/runtime/crawler_bridge.py) ─▶ feeds ─▶ Crawler ─▶ visits, heartbeat ─▶ (tocsin/runtime/crawler_bridge.py) ─▶ store

The crawler needs no store: without one, and across restarts, it continues with the feeds in its mailbox.
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

_SCHEMA = "CREATE TABLE IF NOT EXISTS messages (kind TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (kind, name))"


class CrawlerMailbox:
    """Messages by kind and name, each a JSON text. Safe for several processes and threads. Every method raises LocalStoreError."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises SettingsError."""
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
        """The messages of a kind, by name."""
        with self._lock:
            try:
                return dict(self._db.execute("SELECT name, body FROM messages WHERE kind = ? ORDER BY name", (kind,)))
            except sqlite3.Error as error:
                raise LocalStoreError(f"{self.path}: {error}") from error

    def put(self, kind: Kind, messages: Mapping[str, bytes], *, replace_all: bool = False) -> None:
        """Write messages; each replaces the one of its name.

        Args:
            kind: the kind of all of them.
            messages: name to JSON.
            replace_all: delete messages of this kind with other names.
        """
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    if replace_all:
                        self._db.execute("DELETE FROM messages WHERE kind = ?", (kind,))
                    self._db.executemany(
                        "INSERT OR REPLACE INTO messages VALUES (?, ?, ?)", [(kind, *message) for message in messages.items()]
                    )
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                raise LocalStoreError(f"{self.path}: {error}") from error

    def close(self) -> None:
        """Close the file. May be called twice."""
        with self._lock:
            self._db.close()


log = get_logger(__name__)


class CrawlerHeartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """Heartbeat of a crawler process. id: random, of the process; waiting: articles in its outbox that Kafka does not have yet."""

    id: str
    host: str
    pid: int
    started_at: datetime
    at: datetime
    state: State
    waiting: int


class HeartbeatWriter:
    """Writes the crawler's heartbeat, at most every EVERY_S, and "ended" on exit. mailbox: None writes nothing."""

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

    def write(self, now: datetime) -> None:
        """Write a heartbeat if one is due."""
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
            self._mailbox.put("crawler", {"crawler": msgspec.json.encode(heartbeat)}, replace_all=True)
        except LocalStoreError as failure:
            log.warning("heartbeat_not_written", error=str(failure))


def read_heartbeat(mailbox: CrawlerMailbox) -> CrawlerHeartbeat | None:
    """The crawler's last heartbeat; None if there is none. Raises LocalStoreError."""
    body = mailbox.all("crawler").get("crawler")
    try:
        return msgspec.json.decode(body, type=CrawlerHeartbeat) if body else None
    except msgspec.MsgspecError as error:
        raise LocalStoreError(f"{mailbox.path}: {error}") from error
