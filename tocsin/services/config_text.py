"""Versioned configuration texts, rules and watchlists, saved on the dashboard in place of a file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from actions.account_service import AccountService
from core.errors import Conflict, InvalidInput, SettingsError
from core.toml_files import toml_text
from dashboard.services import ActiveText
from storage.store import ConfigRevisionTable, Store


class ConfigText:
    """One kind of configuration text. The newest version is active. Thread safe.

    Args:
        what: its name in messages and in the audit log.
        texts: table of the versions.
        file: active until a version is saved; "" for none.
        store: for the audit log.
        now: the current time.
        most_chars: longest text accepted.
    """

    def __init__(
        self, what: str, texts: ConfigRevisionTable, file: str, store: Store, now: Callable[[], datetime], *, most_chars: int
    ) -> None:
        self._what, self._texts, self._file, self._store, self._now, self._most = what, texts, file, store, now, most_chars
        self._preview_lock = threading.Lock()

    def active(self) -> ActiveText:
        """The newest text of the store, else that of the file. Raises StoreError."""
        found = self._texts.newest()
        if found is not None:
            return ActiveText(found.id, found.text, found.actor, found.at)
        try:
            return ActiveText("", toml_text(Path(self._file).expanduser().read_bytes(), self._file) if self._file else "")
        except (OSError, SettingsError):  # the worker reports it
            return ActiveText("", "")

    def put(self, text: str, base: str, actor: str) -> ActiveText:
        """Save a new version that replaces version `base`, with an audit entry.

        Raises UserError where another is in force by now, StoreError.
        """
        before = self.active()
        if before.id != base:
            raise Conflict(f"{before.actor} has changed the {self._what} in the meantime; reload the page to see the current version")
        made = self._texts.add(text, actor, self._now())
        AccountService(self._store, self._now).audit(
            actor, f"{self._what} changed", made.id, before=before.text, after=text, address="dashboard"
        )
        return ActiveText(made.id, made.text, made.actor, made.at)

    def check_length(self, text: str) -> None:
        """Raises UserError for a text that is too long."""
        if len(text) > self._most:
            raise InvalidInput(f"the {self._what} have {len(text):,} characters; the limit is {self._most:,}")

    @contextmanager
    def exclusive_preview(self) -> Iterator[None]:
        """Allow one preview at a time, as it reads much data. Raises UserError if one is running."""
        if not self._preview_lock.acquire(blocking=False):
            raise Conflict(f"a preview of other {self._what} is running; try again in a few seconds")
        try:
            yield
        finally:
            self._preview_lock.release()
