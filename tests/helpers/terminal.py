"""Run `tocsin` in a pseudo-terminal and read its output."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence

from tests.helpers.servers import ROOT


class Terminal:
    """`tocsin ARGUMENTS` with stderr on a pseudo-terminal. text: the output so far

    stdout: whether stdout goes to the terminal too; environment: replaces ours
    Started like a background job of a shell, with SIGINT ignored. A thread reads the terminal all the time, as writes block once its
    buffer is full.
    """

    def __init__(self, *arguments: str, stdout: bool = False, environment: Mapping[str, str] | None = None) -> None:
        self._screen, side = pty.openpty()
        command: Sequence[str] = ("sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-m", "tocsin", *arguments)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=side if stdout else subprocess.DEVNULL,
            stderr=side,
            cwd=ROOT,
            env={**(os.environ if environment is None else environment), "PYTHONFAULTHANDLER": "1"},
        )
        os.close(side)
        self.text = ""
        self._closed = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, name="terminal", daemon=True)
        self._reader.start()

    def expect(self, pattern: str, timeout_s: float = 60.0) -> re.Match[str]:
        """Wait until the output contains the pattern."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or re.search(pattern, self.text), timeout_s):
                raise TimeoutError(f"not within {timeout_s:.0f} s: {pattern} in {self.text}")
            found = re.search(pattern, self.text)
            assert found is not None, f"{pattern} not in {self.text}"
            return found

    def _read(self) -> None:
        while not self._closed:
            try:
                data = os.read(self._screen, 4096).decode("utf-8", "replace")
            except OSError:  # Linux: no writer is left
                data = ""
            with self._changed:
                self.text += data
                self._closed = not data
                self._changed.notify_all()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop it. Returns the exit code. If it does not end, the stacks of its threads are shown."""
        self.process.send_signal(how)
        late = False
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            late = True
            self.process.send_signal(signal.SIGABRT)
            code = self.process.wait(10)
        finally:
            self.process.kill()
            self._reader.join(10)
            os.close(self._screen)
        assert not late, f"it did not end: {self.text[-12_000:]}"
        return code
