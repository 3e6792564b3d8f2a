"""How a role is told to end."""

from __future__ import annotations

import signal
import threading


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
