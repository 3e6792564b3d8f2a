"""Classifier that follows the champion: a newly promoted version replaces the old one between two batches, without a restart.

    champion file ──(polled every few seconds)──▶ a thread loads and tests the new version ──▶ current() ──▶ the next batch

Loading takes seconds and does not block scoring. If a version does not load or fails its test, the old one stays in use and the
reason is logged.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from core import log
from core.errors import ModelError
from models.inference.classifier import Classifier, Document, Prediction, run_smoke_test
from models.registry.versions import Versions

POLL_S = 3.0
RETRY_S = 60.0
"""Delay before a version that did not load is tried again: the cause may be temporary, such as lack of memory."""

_log = log.get_logger(__name__)
Stamp = tuple[int, int, int] | None


def load_champion(versions: Versions, load: Callable[[Path], Classifier]) -> tuple[str, Classifier]:
    """Load and test the champion.

    Returns:
        Its version name and the classifier.

    Raises:
        ModelError: the champion cannot be used; the message says why and how to go back.
    """
    name = versions.champion()
    folder = versions.folder(name)
    try:
        if not folder.is_dir():
            message = f"{folder}: the champion's folder is missing"
            raise ModelError(message)
        champion = load(folder)
        run_smoke_test(champion)  # also compiles the kernels, which would delay the first batch
    except ModelError as error:
        message = f"the champion {name!r} cannot be used: {error}; `tocsin models rollback` returns to the previous version"
        raise ModelError(message) from error
    return name, champion


class ChampionClassifier:
    """The current champion as a Classifier. Close it to end its thread.

    versions: the installed versions
    load: loads a version folder; runs in this object's thread, except for the first time
    poll_s, retry_s: seconds between two looks at the champion file, and before a failed load is repeated
    """

    def __init__(self, versions: Versions, load: Callable[[Path], Classifier], *, poll_s: float = POLL_S, retry_s: float = RETRY_S) -> None:
        self._versions, self._load = versions, load
        self._poll_s, self._retry_s = poll_s, retry_s
        self._stamp = _stamp(versions.champion_file)
        self._name, self._current = load_champion(versions, load)
        self._retry_at: float | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="champion", daemon=True)
        self._thread.start()

    def current(self) -> Classifier:
        """The champion now; the object returned does not change, so one batch is scored by one version."""
        return self._current

    @property
    def version(self) -> str:
        """The version of the champion now."""
        return self._current.version

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        """As Classifier.classify, with one version for all documents."""
        return self._current.classify(documents)

    def close(self, timeout_s: float = 5.0) -> None:
        """End the thread, waiting at most `timeout_s` for a load that is running."""
        self._stopped.set()
        self._thread.join(timeout_s)

    def _watch(self) -> None:
        while not self._stopped.wait(self._poll_s):
            stamp = _stamp(self._versions.champion_file)
            due = self._retry_at is not None and time.monotonic() >= self._retry_at
            if stamp != self._stamp or due:
                self._stamp = stamp
                self._swap()

    def _swap(self) -> None:
        try:
            if self._versions.champion() == self._name:
                self._retry_at = None
                return
            began = time.monotonic()
            name, loaded = load_champion(self._versions, self._load)
        except Exception as error:  # whatever the cause, the old version still works
            self._retry_at = time.monotonic() + self._retry_s
            _log.error("champion_not_loaded", reason=str(error), model=self._current.version)
            return
        old, self._name, self._current, self._retry_at = self._current.version, name, loaded, None
        _log.info("champion_changed", model=loaded.version, previous=old, load_s=round(time.monotonic() - began, 1))


def _stamp(path: Path) -> Stamp:
    """A value that changes whenever the file is replaced; None while the file does not exist."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
