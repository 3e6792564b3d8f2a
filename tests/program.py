"""A program of the tests as a process of its own: what it prints is awaited, its log is kept, and it can be killed."""

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

ROOT = Path(__file__).resolve().parents[1]


class Program:
    """`python -m MODULE PLAN`. It prints a word or a sentence a line; output and log are read by threads of their own.

    log: the lines of its log that are JSON; errors: the others
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
        self._said: queue.Queue[str] = queue.Queue()
        self.log: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self._over = False  # its log has ended, and so has it
        self._logged = threading.Condition()
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read_output, self._read_log)]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _read_output(self) -> None:
        for line in self._process.stdout or ():
            self._said.put(line.strip())
        self._said.put("its end")

    def _read_log(self) -> None:
        for line in self._process.stderr or ():
            with self._logged:
                try:
                    self.log.append(json.loads(line))
                except ValueError:
                    self.errors.append(line)
                self._logged.notify_all()
        with self._logged:
            self._over = True
            self._logged.notify_all()

    def next_word(self, timeout_s: float = 60.0) -> str:
        """What it prints next; "its end" when it has ended, "nothing" when the time is over."""
        try:
            return self._said.get(timeout=timeout_s)
        except queue.Empty:
            return "nothing"

    def says(self, word: str, timeout_s: float = 60.0) -> None:
        """Wait until it prints `word`, and nothing else before."""
        said = self.next_word(timeout_s)
        if said == "nothing":
            self._late(timeout_s, word)
        assert said == word, f"it said {said!r}, not {word!r}; {self.errors[-30:]} {self.log[-10:]}"

    def says_at_last(self, word: str, timeout_s: float = 60.0) -> list[str]:
        """Wait until it prints `word`; what it printed before that."""
        before: list[str] = []
        while (said := self.next_word(timeout_s)) != word:
            before.append(said)
            if said == "nothing":
                self._late(timeout_s, word)
            assert said != "its end", f"it said {before}, never {word!r}; {self.errors[-30:]} {self.log[-10:]}"
        return before

    def _late(self, timeout_s: float, what: str) -> NoReturn:
        raise TimeoutError(f"not within {timeout_s:.0f} s: {what}; {self.errors[-30:]} {self.log[-10:]}")

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """SIGKILL, unless it has ended already."""
        self._process.kill()
        self.ends()

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        self._process.send_signal(signal.SIGTERM)

    def ends(self, timeout_s: float = 60.0) -> int:
        """Wait until it has ended by itself; its exit code."""
        code = self._process.wait(timeout_s)
        for reader in self._readers:
            reader.join(10)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        return code
