"""A command of ours as a person runs it: what it tells goes to a terminal, and is read from there."""

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
    """`tocsin ARGUMENTS` with a terminal for what it tells. text: what it has told so far

    stdout: whether its results go there too, and not to nowhere; environment: instead of ours
    It is started as a shell starts what is to run in the background: SIGINT is ignored until it says otherwise.
    It is read all the time: a terminal that nobody reads is full after some lines, and who tells it more waits for ever.
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
        self._over = False
        self._told = threading.Condition()
        self._reader = threading.Thread(target=self._read, name="terminal", daemon=True)
        self._reader.start()

    def says(self, pattern: str, timeout_s: float = 60.0) -> re.Match[str]:
        """Wait until what it has told so far has the pattern in it."""
        with self._told:
            if not self._told.wait_for(lambda: self._over or re.search(pattern, self.text), timeout_s):
                raise TimeoutError(f"not within {timeout_s:.0f} s: {pattern} in {self.text}")
            found = re.search(pattern, self.text)
            assert found is not None, f"{pattern} not in {self.text}"
            return found

    def _read(self) -> None:
        while not self._over:
            try:
                data = os.read(self._screen, 4096).decode("utf-8", "replace")
            except OSError:  # Linux says so when nobody writes to a terminal any more
                data = ""
            with self._told:
                self.text += data
                self._over = not data
                self._told.notify_all()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it; its exit code. One that does not end tells where each of its threads stands."""
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
