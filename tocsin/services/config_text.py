"""What people write on the dashboard in place of a file, rules and watchlists: the newest text counts, the audit log says whose it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from actions.account_service import People
from core.errors import Conflict, InvalidInput
from dashboard.services import ActiveText
from storage.store import RuleTexts, Store


class ConfigText:
    """One such text. Thread safe.

    what: as messages and the audit log call it; texts: where it is kept; file: what counts until somebody wrote one, "" for none
    """

    def __init__(self, what: str, texts: RuleTexts, file: str, store: Store, now: Callable[[], datetime], *, most_chars: int) -> None:
        self._what, self._texts, self._file, self._store, self._now, self._most = what, texts, file, store, now, most_chars
        self._turn = threading.Lock()

    def active(self) -> ActiveText:
        """The newest text of the store, else that of the file. Raises StoreError."""
        found = self._texts.newest()
        if found is not None:
            return ActiveText(found.id, found.text, found.who, found.at)
        try:
            return ActiveText("", Path(self._file).expanduser().read_text("utf-8") if self._file else "")
        except (OSError, UnicodeDecodeError):  # the worker complains of it
            return ActiveText("", "")

    def put(self, text: str, base: str, who: str) -> ActiveText:
        """Put a text in force in the place of the one of id `base`, with a line in the audit log.

        Raises UserError where another is in force by now, StoreError.
        """
        before = self.active()
        if before.id != base:
            raise Conflict(f"{before.who} has changed the {self._what} meanwhile: load the page again, and look at what they are now")
        made = self._texts.add(text, who, self._now())
        People(self._store, self._now).note(who, f"{self._what} changed", made.id, before=before.text, after=text, address="dashboard")
        return ActiveText(made.id, made.text, made.who, made.at)

    def check_length(self, text: str) -> None:
        """Raises UserError for a text that nobody wrote by hand."""
        if len(text) > self._most:
            raise InvalidInput(f"{len(text):,} characters of {self._what} are too many: at most {self._most:,}")

    @contextmanager
    def exclusive_preview(self) -> Iterator[None]:
        """While inside, nobody else tries a text: a trial reads much. Raises UserError where somebody does already."""
        if not self._turn.acquire(blocking=False):
            raise Conflict(f"other {self._what} are being tried; ask again in some seconds")
        try:
            yield
        finally:
            self._turn.release()
