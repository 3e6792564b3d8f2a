"""How the time of a function grows with the length of its input."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from contextlib import suppress

from core.errors import TocsinError

PLAIN = 5.0
"""A growth that a single measurement finds below this is not measured again."""
NEGLIGIBLE_S = 0.02
"""A function that takes no longer for the long input is not examined: a limit on the length stops it, or it is fast."""


def growth(run: Callable[[str], object], make: Callable[[int], str], size: int, *, best_of: int = 5) -> float:
    """t(4 size) / t(size), each the best of several runs in processor time; 0 where t(4 size) is negligible. Refusals count as answers."""
    run_once(run, make(100))
    long = run_once(run, make(4 * size))
    if long < NEGLIGIBLE_S or long / max(run_once(run, make(size)), 1e-4) < PLAIN:
        return 0.0
    return best(run, make(4 * size), best_of) / max(best(run, make(size), best_of), 1e-4)


def best(run: Callable[[str], object], text: str, times: int) -> float:
    """The shortest of several runs, in seconds of this thread. Stops after the first run if that took long: it is no measurement error."""
    shortest = float("inf")
    for _ in range(times):
        shortest = min(shortest, run_once(run, text))
        if shortest > 2:
            break
    return shortest


def run_once(run: Callable[[str], object], text: str) -> float:
    """Processor seconds of one run."""
    gc.disable()
    began = time.thread_time()
    try:
        with suppress(TocsinError, ValueError):
            run(text)
        return time.thread_time() - began
    finally:
        gc.enable()
