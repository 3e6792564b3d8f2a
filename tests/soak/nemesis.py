"""What goes wrong, and when: all of it follows from the seed."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple


class Fault(NamedTuple):
    """Something that goes wrong for some seconds. make: does it, mends it, and returns

    last_s: how long, from and to
    """

    name: str
    make: Callable[[float], None]
    last_s: tuple[float, float]


class Nemesis:
    """While inside, one fault of each kind after the other, with pauses. made: how many of each."""

    def __init__(
        self, kinds: dict[str, list[Fault]], seed: int, say: Callable[[str], None], pause_s: tuple[float, float] = (3, 15)
    ) -> None:
        self.made: Counter[str] = Counter()
        self.failures: list[str] = []
        self._report, self._pause_s = say, pause_s
        self._began = time.monotonic()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(faults, random.Random(f"{seed} {kind}")), name=kind, daemon=True)
            for kind, faults in kinds.items()
        ]

    def __enter__(self) -> Nemesis:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """No more; what lasts is mended first."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, faults: list[Fault], rng: random.Random) -> None:
        while not self._over.wait(rng.uniform(*self._pause_s)):
            fault = rng.choice(faults)
            seconds = rng.uniform(*fault.last_s)
            self.made[fault.name] += 1
            self._report(f"{time.monotonic() - self._began:6.1f} s  {fault.name}" + (f" for {seconds:.0f} s" if seconds else ""))
            try:
                fault.make(seconds)
            except Exception as error:  # a server that did not come up again is a finding too
                self.failures.append(f"{fault.name}: {error!r}")
                self._report(f"the fault itself failed: {error!r}")
