"""A command of ours as a person runs it: what it tells goes to a terminal, and is read from there."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from tests.servers import ROOT


class Terminal:
    """`tocsin ARGUMENTS` with a terminal for what it tells.

    stdout: whether its results go there too, and not to nowhere; environment: instead of ours
    """

    def __init__(self, *arguments: str, stdout: bool = False, environment: Mapping[str, str] | None = None) -> None:
        self._screen, side = pty.openpty()
        command: Sequence[str] = (sys.executable, "-m", "tocsin", *arguments)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=side if stdout else subprocess.DEVNULL,
            stderr=side,
            cwd=ROOT,
            env=None if environment is None else dict(environment),
        )
        os.close(side)
        self.text = ""

    def says(self, pattern: str, timeout_s: float = 60.0) -> re.Match[str]:
        """Wait until what it has told so far has the pattern in it."""
        deadline = time.monotonic() + timeout_s
        while (found := re.search(pattern, self.text)) is None:
            assert select.select([self._screen], [], [], max(0.0, deadline - time.monotonic()))[0], f"{pattern} not in {self.text}"
            self.text += self._read()
        return found

    def _read(self) -> str:
        try:
            return os.read(self._screen, 4096).decode("utf-8", "replace")
        except OSError:  # Linux says so when nobody writes to a terminal any more
            raise AssertionError(f"it ended with {self.process.wait(30)}: {self.text}") from None

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it; its exit code."""
        self.process.send_signal(how)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        os.close(self._screen)
        return code
