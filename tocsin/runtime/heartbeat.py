"""A process says every few seconds that it is alive, in the store, where the dashboard looks for it."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from core import log
from core.errors import StoreError
from storage.store import Beat, Store
from storage.tables.heartbeats import EVERY_S, State
from tocsin import __version__

_log = log.get_logger(__name__)


@contextlib.contextmanager
def heartbeats(
    store: Store,
    roles: Sequence[str],
    *,
    ready: Callable[[], bool] = lambda: True,
    model: Callable[[], str] = lambda: "",
    every_s: float = EVERY_S,
) -> Iterator[None]:
    """While inside, a thread tells the store that this process is there; at the end, that it has ended.

    ready: whether it does its work already; model: the version that it scores with by now
    What the store does not take is told again later: nothing waits for it.
    """
    id_, started, over = secrets.token_hex(8), datetime.now(UTC), threading.Event()

    def say(state: State) -> None:
        beat = Beat(
            id=id_,
            roles=tuple(roles),
            host=socket.gethostname(),
            pid=os.getpid(),
            version=__version__,
            started_at=started,
            at=datetime.now(UTC),
            state=state,
            model=model(),
        )
        try:
            store.beats.put([beat])
        except StoreError as error:
            _log.debug("no heartbeat", error=str(error))

    def run() -> None:
        with contextlib.suppress(StoreError):
            store.beats.forget(started)
        was_ready = False
        while not over.is_set():
            was_ready = ready()
            say("ready" if was_ready else "starting")
            over.wait(every_s if was_ready else min(1.0, every_s))
        say("ended")

    thread = threading.Thread(target=run, name="heart", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=5)
