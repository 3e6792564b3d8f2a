"""Parts of a process that run in threads of their own and do not die unseen.

How a role is told to end.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

from core import log

_log = log.get_logger(__name__)


def supervised_thread(name: str, run: Callable[[], None], on_error: Callable[[str], None]) -> threading.Thread:
    """A thread, not started, that calls `on_error` with one sentence when `run` raises."""

    def guarded() -> None:
        try:
            run()
        except Exception as error:
            _log.exception("part ended", supervised_thread=name)
            on_error(f"the {name} ended ({type(error).__name__}: {error})")

    return threading.Thread(target=guarded, name=name, daemon=True)


def interrupt_on_signal() -> None:
    """SIGTERM and SIGINT raise KeyboardInterrupt from now on, also where a shell that started us in the background ignores SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)


def stop_on_signal() -> threading.Event:
    """An event that SIGTERM and SIGINT set, from now on. On the main thread."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
