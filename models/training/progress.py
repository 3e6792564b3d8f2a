"""Where can a run be watched, and when is it enough?

How far is the refresh? Told in a file, for whoever looks, in whichever process.

    DATA_DIR/models/refresh.json   the refresh that is under way, or else the last one

It is touched every few seconds while its process lives: a file that says "under way" and was not touched is of one that was killed.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from core.errors import TocsinError
from core.files import write_whole
from models.training.outcome import Outcome


class Board:
    """TensorBoard's log of one run; without a folder it writes nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._writer: Any = None
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder))

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Note figures at a step."""
        if self._writer is not None:
            for name, value in figures.items():
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is not written."""
        if self._writer is not None:
            self._writer.close()


class Stopper:
    """Early stopping: says when `patience` looks in a row brought nothing better."""

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._best = float("-inf")
        self._stale = 0
        self.improved = False
        """Whether the last look was the best so far."""

    def go_on(self, score: float) -> bool:
        """Whether to go on after a look that gave `score`."""
        self.improved = score > self._best
        self._stale = 0 if self.improved else self._stale + 1
        self._best = max(score, self._best)
        return self._stale < self._patience


FILE = "refresh.json"
BEAT_S = 5.0
SILENT_S = 60.0
"""Without a beat for so long it is over: training takes every core, so a beat may come late."""
LINES = 50


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """One refresh.

    who: started it, "" where nobody is known; told: what it said, each line with its seconds since `began`
    ended: None while it is under way; then either `outcome`, or `error` in a sentence
    """

    began: datetime
    who: str = ""
    told: tuple[tuple[float, str], ...] = ()
    ended: datetime | None = None
    outcome: Outcome | None = None
    error: str = ""


def read_progress(root: Path) -> tuple[Progress, bool] | None:
    """(the refresh under way, or the last one; whether its process still gives signs of life). None: there was none that can be read."""
    path = root / FILE
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Progress)
        return found, found.ended is None and time.time() - path.stat().st_mtime < SILENT_S
    except (OSError, msgspec.MsgspecError):
        return None


class Reporter:
    """Writes the file while inside; call it with each line, and `end` with what came of it. Without an end it failed.

    root: the folder of the versions, which is there
    """

    def __init__(self, root: Path, *, now: datetime, who: str, say: Callable[[str], None], beat_s: float = BEAT_S) -> None:
        self._path, self._say, self._beat_s = root / FILE, say, beat_s
        self._clock = time.monotonic()
        self._progress = Progress(began=now, who=who)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="refresh beat", daemon=True)

    def __enter__(self) -> Self:
        self._write()
        self._thread.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        if error is not None:
            words = str(error) if isinstance(error, TocsinError) else f"{type(error).__name__}: {error}"
            self._progress = msgspec.structs.replace(self._progress, ended=self._now(), error=words)
            self._write()

    def __call__(self, line: str) -> None:
        """Tell what is done now."""
        self._say(line)
        told = (*self._progress.told, (round(time.monotonic() - self._clock, 1), line))
        self._progress = msgspec.structs.replace(self._progress, told=told[-LINES:])
        self._write()

    def end(self, outcome: Outcome) -> None:
        """Tell what came of it."""
        self._progress = msgspec.structs.replace(self._progress, ended=self._now(), outcome=outcome)
        self._write()

    def _now(self) -> datetime:
        return self._progress.began + timedelta(seconds=time.monotonic() - self._clock)

    def _write(self) -> None:
        write_whole(self._path, msgspec.json.encode(self._progress))

    def _beat(self) -> None:
        while not self._over.wait(self._beat_s):
            with contextlib.suppress(OSError):  # a full disk ends the training, not its telling
                os.utime(self._path)
