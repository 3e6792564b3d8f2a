"""Programs under test as processes that are restarted when they exit, as compose or systemd would do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tocsin.runtime.embedded_broker import rss_bytes

ROOT = Path(__file__).resolve().parents[2]
RESTART_S = 1.0
ALLOWED_EXITS = {0, 70, 75, 130, -signal.SIGTERM, -signal.SIGKILL}
"""Allowed exit codes: success, fatal error, temporary failure, interrupted while starting, SIGTERM and SIGKILL."""


class Supervised:
    """A `tocsin` command that is restarted whenever it exits, until `stop`. exits: its exit codes"""

    def __init__(self, name: str, arguments: Sequence[str], own: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.exits: list[int] = []
        self._command = [sys.executable, "-m", "tocsin", *arguments]
        self._environment = environment(own)
        self._log = folder / f"{name}.log"
        self._stopping = threading.Event()
        self._process = self._start()
        self._thread = threading.Thread(target=self._watch, name=name, daemon=True)
        self._thread.start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self._environment, cwd=ROOT)

    def _watch(self) -> None:
        while True:
            self.exits.append(self._process.wait())
            if self._stopping.wait(RESTART_S):
                return
            self._process = self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)

    def family(self) -> list[int]:
        """The process ids of it and all its descendants."""
        parents: dict[int, list[int]] = {}
        for place in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = place.read_text(errors="replace").rpartition(")")[2].split()
            except OSError:  # it has just exited
                continue
            parents.setdefault(int(fields[1]), []).append(int(place.parent.name))
        found, todo = [], [self.pid]
        while todo:
            found.append(todo.pop())
            todo += parents.get(found[-1], [])
        return found

    def stop(self, timeout_s: float = 60.0) -> int:
        """Sends SIGTERM without another restart; returns the exit code."""
        self._stopping.set()
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        deadline = time.monotonic() + timeout_s
        while self._thread.is_alive() and time.monotonic() < deadline:
            self._thread.join(0.2)
        if self._thread.is_alive():
            self.signal(signal.SIGKILL)
            self._thread.join()
        return self.exits[-1]


def rss_mb(pids: Sequence[int]) -> float:
    """Resident memory of these processes, MB."""
    return sum(map(rss_bytes, pids)) / 1e6


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """The environment of this process without settings of Tocsin, plus `own`."""
    return {key: value for key, value in os.environ.items() if not key.startswith("TOCSIN_")} | dict(own)
