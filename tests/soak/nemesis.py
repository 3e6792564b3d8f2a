"""Injects faults at random times; a seed makes them reproducible."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple


class Fault(NamedTuple):
    """A fault.

    make: injects it, repairs it after the given seconds, and returns
    last_s: minimum and maximum duration
    """

    name: str
    make: Callable[[float], None]
    last_s: tuple[float, float]


class Nemesis:
    """Injects one fault of each kind after the other, with pauses, as a context manager. made: number of each fault"""

    def __init__(
        self, kinds: dict[str, list[Fault]], seed: int, report: Callable[[str], None], pause_s: tuple[float, float] = (3, 15)
    ) -> None:
        self.made: Counter[str] = Counter()
        self.failures: list[str] = []
        self._report, self._pause_s = report, pause_s
        self._began = time.monotonic()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(faults, random.Random(f"{seed} {kind}")), name=kind, daemon=True)
            for kind, faults in kinds.items()
        ]

    def __enter__(self) -> Nemesis:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Waits until the current faults are repaired."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, faults: list[Fault], rng: random.Random) -> None:
        while not self._stopping.wait(rng.uniform(*self._pause_s)):
            fault = rng.choice(faults)
            seconds = rng.uniform(*fault.last_s)
            self.made[fault.name] += 1
            self._report(f"{time.monotonic() - self._began:6.1f} s  {fault.name}" + (f" for {seconds:.0f} s" if seconds else ""))
            try:
                fault.make(seconds)
            except Exception as error:  # a server that does not start again is a finding
                self.failures.append(f"{fault.name}: {error!r}")
                self._report(f"the fault itself failed: {error!r}")
