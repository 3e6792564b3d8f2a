"""What the crawler and the rest of Tocsin tell each other, in one SQLite file: feeds to take up, and how each visit went.

    store ─▶ (tocsin/runtime/crawler_bridge.py) ─▶ feeds ─▶ Crawler ─▶ visits, its own state ─▶ (tocsin/runtime/crawler_bridge.py) ─▶ store

The crawler needs no store for its work: it goes on with what it knows while there is none, and over its own restarts.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from core.errors import SettingsError, StoreError

Kind = Literal["feed", "visit", "crawler"]

_SCHEMA = "CREATE TABLE IF NOT EXISTS notes (kind TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (kind, name))"


class Board:
    """Notes by kind and name, each a JSON text. Several processes, any number of threads. Every method raises StoreError."""

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
                raise StoreError(f"{self.path}: {error}") from error

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
                raise StoreError(f"{self.path}: {error}") from error

    def close(self) -> None:
        """Close the file; calling it twice is fine."""
        with self._lock:
            self._db.close()
