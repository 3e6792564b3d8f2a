"""Parts of a process that run in threads of their own and do not die unseen."""

from __future__ import annotations

import threading
from collections.abc import Callable

from spine import log

_log = log.get_logger(__name__)


def part(name: str, run: Callable[[], None], on_error: Callable[[str], None]) -> threading.Thread:
    """A thread, not started, that calls `on_error` with one sentence when `run` raises."""

    def guarded() -> None:
        try:
            run()
        except Exception as error:
            _log.exception("part ended", part=name)
            on_error(f"the {name} ended ({type(error).__name__}: {error})")

    return threading.Thread(target=guarded, name=name, daemon=True)
