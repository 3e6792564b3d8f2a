"""Status of a model refresh: its progress file, its outcome, and the gate's measurements. Needs no torch.

    DATA_DIR/models/refresh.json            the refresh that is running, or the last one
                    measured/VERSION.json   what the promotion gate measured of a version

The progress file is touched every few seconds while its process lives, which distinguishes a running refresh from one that was killed.
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
from core.files import write_atomically
from models.training.promotion_gate import Comparison


class RefreshOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of a refresh.

    action: "promote", "keep" (the champion was kept) or "skip" (nothing was trained)
    champion: the champion afterwards; challenger: the new version, or ""; reasons: of the decision
    new_labels: labels since the last attempt; learned, rehearsed: training rows of each kind; frozen: labels held out for testing
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


class GateMeasurement(msgspec.Struct, frozen=True, kw_only=True):
    """The gate's comparison of a version with the champion at that time (`against`), on rows that neither was trained on."""

    version: str
    against: str
    at: datetime
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...]


def _place(root: Path, version: str) -> Path:
    return root / "measured" / f"{version}.json"


def save_measurement(root: Path, measured: GateMeasurement) -> None:
    """Store a measurement in the registry folder `root`; it stays when the version is deleted."""
    path = _place(root, measured.version)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, msgspec.json.encode(measured))


def read_measurement(root: Path, version: str) -> GateMeasurement | None:
    """The measurement of a version; None if there is none that can be read."""
    try:
        return msgspec.json.decode(_place(root, version).read_bytes(), type=GateMeasurement)
    except (OSError, msgspec.MsgspecError):
        return None


def describe_outcome(outcome: RefreshOutcome) -> list[str]:
    """The outcome as lines of text: decision, reasons, and the figures that mattered."""
    if outcome.action == "skip":
        return [f"nothing to do: {'; '.join(outcome.reasons)}; the champion is {outcome.champion}"]
    first = {
        "promote": f"promoted {outcome.challenger}: running workers load it within seconds",
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
HEARTBEAT_S = 5.0
STALE_S = 60.0
"""A refresh whose file was not touched for this long has ended. The margin is wide, because training uses every core."""
MAX_LINES = 50


class RefreshProgress(msgspec.Struct, frozen=True, kw_only=True):
    """Progress of one refresh.

    started_by: the person, or ""
    lines: progress messages with seconds since `began`
    ended: None while it runs; then either `outcome` or `error` is set
    """

    began: datetime
    started_by: str = ""
    lines: tuple[tuple[float, str], ...] = ()
    ended: datetime | None = None
    outcome: RefreshOutcome | None = None
    error: str = ""


def read_progress(root: Path) -> tuple[RefreshProgress, bool] | None:
    """The running or the last refresh, and whether its process is alive. None if there is none that can be read."""
    path = root / FILE
    try:
        found = msgspec.json.decode(path.read_bytes(), type=RefreshProgress)
        return found, found.ended is None and time.time() - path.stat().st_mtime < STALE_S
    except (OSError, msgspec.MsgspecError):
        return None


class ProgressFile:
    """Context manager that writes the progress file. Call it with each message, and `end` with the outcome.

    Args:
        root: the registry folder, which must exist.
        now: time of the start.
        started_by: the person who started it, or "".
        report: receives each message too.
        heartbeat_s: seconds between two touches of the file.
    """

    def __init__(
        self, root: Path, *, now: datetime, started_by: str, report: Callable[[str], None], heartbeat_s: float = HEARTBEAT_S
    ) -> None:
        self._path, self._report, self._heartbeat_s = root / FILE, report, heartbeat_s
        self._clock = time.monotonic()
        self._progress = RefreshProgress(began=now, started_by=started_by)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._touch, name="refresh beat", daemon=True)

    def __enter__(self) -> Self:
        self._write()
        self._thread.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join()
        if error is not None:
            text = str(error) if isinstance(error, TocsinError) else f"{type(error).__name__}: {error}"
            self._progress = msgspec.structs.replace(self._progress, ended=self._now(), error=text)
            self._write()

    def __call__(self, line: str) -> None:
        """Add a progress message."""
        self._report(line)
        lines = (*self._progress.lines, (round(time.monotonic() - self._clock, 1), line))
        self._progress = msgspec.structs.replace(self._progress, lines=lines[-MAX_LINES:])
        self._write()

    def end(self, outcome: RefreshOutcome) -> None:
        """Record the outcome."""
        self._progress = msgspec.structs.replace(self._progress, ended=self._now(), outcome=outcome)
        self._write()

    def _now(self) -> datetime:
        return self._progress.began + timedelta(seconds=time.monotonic() - self._clock)

    def _write(self) -> None:
        write_atomically(self._path, msgspec.json.encode(self._progress))

    def _touch(self) -> None:
        while not self._stopped.wait(self._heartbeat_s):
            with contextlib.suppress(OSError):  # a full disk must not end the heartbeat thread
                os.utime(self._path)
