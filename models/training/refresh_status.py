"""Status of a model refresh: its progress file, its outcome, and the gate's measurements. Needs no torch.

    DATA_DIR/models/refresh.json            the refresh that is running, or the last one
                    measured/VERSION.json   what the promotion gate measured of a version

The progress file is touched every few seconds while its process lives, so a running refresh can be told from one that was killed.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec

from core.errors import TocsinError
from core.files import write_whole
from models.training.promotion_gate import Comparison


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a refresh.

    new_labels: given since the last attempt; learned, rehearsed: rows trained on; frozen: labels held back as a test
    """

    action: Literal["promote", "keep", "skip"]
    champion: str
    challenger: str = ""
    reasons: tuple[str, ...]
    new_labels: int
    learned: int = 0
    rehearsed: int = 0
    frozen: int = 0
    comparisons: tuple[Comparison, ...] = ()
    seconds: float = 0.0


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate measured of a version, on rows that it and the champion of then (`against`) never saw."""

    version: str
    against: str
    at: datetime
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...]


def _place(root: Path, version: str) -> Path:
    return root / "measured" / f"{version}.json"


def keep_measured(root: Path, measured: Measured) -> None:
    """Keep the figures beside the versions of `root`; they stay when the version itself is deleted."""
    path = _place(root, measured.version)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, msgspec.json.encode(measured))


def read_measured(root: Path, version: str) -> Measured | None:
    """What was measured of a version, a name that Versions.folder takes; None: nothing, or nothing that can be read."""
    try:
        return msgspec.json.decode(_place(root, version).read_bytes(), type=Measured)
    except (OSError, msgspec.MsgspecError):
        return None


def in_words(outcome: Outcome) -> list[str]:
    """The outcome for a person: what was decided, why, and the figures that weighed."""
    if outcome.action == "skip":
        return [f"nothing to do: {'; '.join(outcome.reasons)}; the champion is {outcome.champion}"]
    first = {
        "promote": f"promoted {outcome.challenger}: running workers take it up within seconds",
        "keep": f"kept {outcome.champion}; {outcome.challenger} was not promoted",
    }[outcome.action]
    lines = [first, *(f"  {reason}" for reason in outcome.reasons)]
    for c in outcome.comparisons:
        if c.group == "all" or not c.fine:
            figures = (
                f"{c.champion:.3f} ─▶ {c.challenger:.3f} ({100 * c.difference:+.1f} points, {100 * c.low:+.1f} to {100 * c.high:+.1f})"
            )
            lines.append(f"  {c.test}, {c.group}, {c.metric}, {c.n} rows: {figures}")
    return lines


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
