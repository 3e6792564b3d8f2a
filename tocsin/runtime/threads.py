"""Supervised threads and signal handling."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

from core import log

_log = log.get_logger(__name__)


def supervised_thread(name: str, run: Callable[[], None], on_error: Callable[[str], None]) -> threading.Thread:
    """A thread, not started yet, that calls `on_error` with a message if `run` raises."""

    def guarded() -> None:
        try:
            run()
        except Exception as error:
            _log.exception("thread_failed", thread=name)
            on_error(f"the {name} failed ({type(error).__name__}: {error})")

    return threading.Thread(target=guarded, name=name, daemon=True)


def interrupt_on_signal() -> None:
    """Make SIGTERM and SIGINT raise KeyboardInterrupt, also under a shell that ignores SIGINT of background jobs."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)


def stop_on_signal() -> threading.Event:
    """An event that SIGTERM and SIGINT set. Call it on the main thread."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
