"""A test program as a separate process: wait for its output, read its log, stop or kill it."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn, Self

import msgspec

ROOT = Path(__file__).resolve().parents[2]


class Program:
    """`python -m MODULE PLAN`. Threads read its output and its log.

    log: log lines that are JSON; errors: the other ones
    """

    def __init__(self, module: str, plan: msgspec.Struct) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, msgspec.json.encode(plan).decode()],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._output: queue.Queue[str] = queue.Queue()
        self.log: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self._log_closed = False
        self._log_changed = threading.Condition()
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read_output, self._read_log)]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _read_output(self) -> None:
        for line in self._process.stdout or ():
            self._output.put(line.strip())
        self._output.put("<exit>")

    def _read_log(self) -> None:
        for line in self._process.stderr or ():
            with self._log_changed:
                try:
                    self.log.append(json.loads(line))
                except ValueError:
                    self.errors.append(line)
                self._log_changed.notify_all()
        with self._log_changed:
            self._log_closed = True
            self._log_changed.notify_all()

    def next_line(self, timeout_s: float = 60.0) -> str:
        """The next line of output; "<exit>" after its end, "<timeout>" after `timeout_s`."""
        try:
            return self._output.get(timeout=timeout_s)
        except queue.Empty:
            return "<timeout>"

    def expect(self, line: str, timeout_s: float = 60.0) -> None:
        """Wait for the next line of output, which must be `line`."""
        printed = self.next_line(timeout_s)
        if printed == "<timeout>":
            self._late(timeout_s, line)
        assert printed == line, f"printed {printed!r}, expected {line!r}; {self.errors[-30:]} {self.log[-10:]}"

    def expect_eventually(self, line: str, timeout_s: float = 60.0) -> list[str]:
        """Wait until it prints `line`. Returns the lines before it."""
        before: list[str] = []
        while (printed := self.next_line(timeout_s)) != line:
            before.append(printed)
            if printed == "<timeout>":
                self._late(timeout_s, line)
            assert printed != "<exit>", f"printed {before}, never {line!r}; {self.errors[-30:]} {self.log[-10:]}"
        return before

    def _late(self, timeout_s: float, what: str) -> NoReturn:
        raise TimeoutError(f"not within {timeout_s:.0f} s: {what}; {self.errors[-30:]} {self.log[-10:]}")

    @property
    def code(self) -> int | None:
        """Exit code; None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """Send SIGKILL and wait."""
        self._process.kill()
        self.wait()

    def terminate(self) -> None:
        """Send SIGTERM without waiting."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s: float = 60.0) -> int:
        """Wait for its end. Returns the exit code."""
        code = self._process.wait(timeout_s)
        for reader in self._readers:
            reader.join(10)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        return code
