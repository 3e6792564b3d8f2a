"""Heartbeats: a process writes to the store every few seconds that it is running, for the dashboard's system page."""

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
from storage.store import Heartbeat, Store
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
    """Write heartbeats from a thread while inside, and "ended" on exit. Store errors are ignored; the next heartbeat replaces it.

    Args:
        store: where heartbeats go.
        roles: what this process does, such as "work" or "dashboard".
        ready: whether it has finished starting.
        model: version of the model in use.
        every_s: seconds between heartbeats once it is ready.
    """
    id_, started, stop = secrets.token_hex(8), datetime.now(UTC), threading.Event()

    def write(state: State) -> None:
        heartbeat = Heartbeat(
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
            store.heartbeats.put([heartbeat])
        except StoreError as error:
            _log.debug("heartbeat_not_written", error=str(error))

    def run() -> None:
        with contextlib.suppress(StoreError):
            store.heartbeats.forget(started)
        was_ready = False
        while not stop.is_set():
            was_ready = ready()
            write("ready" if was_ready else "starting")
            stop.wait(every_s if was_ready else min(1.0, every_s))
        write("ended")

    thread = threading.Thread(target=run, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=5)
