"""Wait for a condition by polling; a timeout error names the condition."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def until(look: Callable[[], Found], what: str, timeout_s: float = 60.0, every_s: float = 0.02) -> Found:
    """The first answer of `look` that is true.

    Raises:
        TimeoutError: there was none within `timeout_s`; says what was waited for.
    """
    end = time.monotonic() + timeout_s
    while not (found := look()):
        if time.monotonic() > end:
            raise TimeoutError(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(every_s)
    return found
