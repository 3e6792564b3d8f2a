"""The champion, scored with while it changes: a promoted version takes over between two batches, without a restart.

    champion file ──(looked at every few seconds)──▶ a thread loads and tries the new version ──▶ current() ──▶ the next batch

Loading takes seconds and happens beside the scoring. A version that does not load or cannot score changes nothing: the old one
goes on, and the log says why.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from core import log
from core.errors import ModelError
from models.inference.classifier import Classifier, Document, Prediction, prove
from models.registry.versions import Versions

POLL_S = 3.0
RETRY_S = 60.0
"""A version that did not load is tried again after this long: memory may have been short, or a disk away."""

_log = log.get_logger(__name__)
Stamp = tuple[int, int, int] | None


def load_champion(versions: Versions, load: Callable[[Path], Classifier]) -> tuple[str, Classifier]:
    """(its name, the champion, which was tried). Raises ModelError that names what is wrong, and the way out."""
    name = versions.champion()
    folder = versions.folder(name)
    try:
        if not folder.is_dir():
            message = f"{folder}: the champion's folder is gone"
            raise ModelError(message)
        champion = load(folder)
        prove(champion)  # also compiles the kernels, which the first batch would pay for
    except ModelError as error:
        message = f"the champion {name!r} cannot be used: {error}; `tocsin models rollback` goes back to the version before it"
        raise ModelError(message) from error
    return name, champion


class ChampionClassifier:
    """The Classifier that is the champion at the time. Close it to end its thread.

    load: a version folder to a classifier; runs in this object's thread but for the first time
    """

    def __init__(self, versions: Versions, load: Callable[[Path], Classifier], *, poll_s: float = POLL_S, retry_s: float = RETRY_S) -> None:
        self._versions, self._load = versions, load
        self._poll_s, self._retry_s = poll_s, retry_s
        self._stamp = _stamp(versions.champion_file)
        self._name, self._current = load_champion(versions, load)
        self._retry_at: float | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="champion", daemon=True)
        self._thread.start()

    def current(self) -> Classifier:
        """The champion of this moment, which stays what it is: score one batch with one."""
        return self._current

    @property
    def version(self) -> str:
        """The version of the champion of this moment."""
        return self._current.version

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        """As Classifier.classify, all of it by one version."""
        return self._current.classify(documents)

    def close(self, timeout_s: float = 5.0) -> None:
        """End the thread; a load that is under way is not waited for beyond `timeout_s`."""
        self._over.set()
        self._thread.join(timeout_s)

    def _watch(self) -> None:
        while not self._over.wait(self._poll_s):
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
        except Exception as error:  # whatever is wrong with it, the old one still works
            self._retry_at = time.monotonic() + self._retry_s
            _log.error("the new champion is not used", reason=str(error), going_on_with=self._current.version)
            return
        old, self._name, self._current, self._retry_at = self._current.version, name, loaded, None
        _log.info("champion changed", model=loaded.version, before=old, load_s=round(time.monotonic() - began, 1))


def _stamp(path: Path) -> Stamp:
    """Changes whenever the file is replaced; None while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
