"""The crawler's heartbeat, left on the board: it has no store of its own to tell."""

from __future__ import annotations

import os
import secrets
import socket
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

import msgspec

from core.errors import StoreError
from core.log import get_logger
from ingest.crawl.crawler_mailbox import Board
from ingest.kafka.outbox import Outbox
from storage.tables.heartbeats import EVERY_S, State

log = get_logger(__name__)


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """A crawler that is alive. id: of its process; waiting: articles in its outbox that Kafka has not"""

    id: str
    host: str
    pid: int
    started_at: datetime
    at: datetime
    state: State
    waiting: int


class Pulses:
    """Tells, at most every EVERY_S, that the crawler is there; on leaving, that it has ended. board: None: nobody is told"""

    def __init__(self, board: Board | None, outbox: Outbox) -> None:
        self._board, self._outbox = board, outbox
        self._id = secrets.token_hex(8)
        self._started = datetime.now(UTC)
        self._next = self._started

    def __enter__(self) -> Self:
        self._started = self._next = datetime.now(UTC)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._put(datetime.now(UTC), "ended")

    def tell(self, now: datetime) -> None:
        """Say so, where it is time."""
        if now >= self._next:
            self._next = now + timedelta(seconds=EVERY_S)
            self._put(now, "ready")

    def _put(self, now: datetime, state: State) -> None:
        if self._board is None:
            return
        pulse = Pulse(
            id=self._id,
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=self._started,
            at=now,
            state=state,
            waiting=self._outbox.counts().pending,
        )
        try:
            self._board.put("crawler", {"crawler": msgspec.json.encode(pulse)}, alone=True)
        except StoreError as failure:
            log.warning("the heartbeat is not told", error=str(failure))


def pulse_of(board: Board) -> Pulse | None:
    """The crawler's last heartbeat; None: there was none yet. Raises StoreError."""
    body = board.all("crawler").get("crawler")
    try:
        return msgspec.json.decode(body, type=Pulse) if body else None
    except msgspec.MsgspecError as error:
        raise StoreError(f"{board.path}: {error}") from error
