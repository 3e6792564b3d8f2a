"""Drains the outbox into the topic `articles`.

outbox.pending ─▶ Sender ─▶ acknowledged ─▶ outbox.sent
                    ├─ failed for now ─▶ stays in the outbox, sent again
                    └─ refused for good (too large for the broker) ─▶ logged, counted, forgotten
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress

from core.errors import BrokerError, LocalStoreError
from core.log import get_logger
from core.metrics import DEAD
from ingest.kafka.outbox import Outbox
from ingest.kafka.producer import BoundedProducer

log = get_logger(__name__)


class Publisher:
    """Drains the outbox into the topic `articles`. What fails stays in the outbox and is sent again.

    paused: nothing more is sent while it is set; what is in flight goes on
    """

    def __init__(self, outbox: Outbox, sender: BoundedProducer, *, retry_s: float = 1.0) -> None:
        self.paused = False
        self._moved = time.monotonic()  # when the broker last took something, or nothing waited
        self._outbox = outbox
        self._sender = sender
        self._retry_s = retry_s
        self._last = 0  # the greatest number handed to the sender
        self._lock = threading.Lock()
        sender.wake = outbox.wake  # one event to wait for: something to send, or something that ended

    def run(self, stop: threading.Event) -> None:
        """Publish until `stop` is set; outages are waited out."""
        while not stop.is_set():
            if not self._step():
                stop.wait(self._retry_s)
            else:
                self._outbox.wake.wait(0.5)

    def trouble(self, limit_s: float = 60.0) -> str:
        """What keeps articles from Kafka, or from the outbox; "" when nothing does, or not for long."""
        waiting = self._outbox.counts()
        if self._outbox.full:
            return f"the outbox is full ({waiting.size} bytes): nothing is fetched until Kafka takes what waits"
        still_s = time.monotonic() - self._moved
        if waiting.pending and still_s > limit_s:
            return f"Kafka has taken nothing for {still_s:.0f} s; {waiting.pending} articles wait in the outbox"
        return ""

    def _step(self) -> bool:
        """Take in what ended and send what waits; False when the broker does not take it."""
        with self._lock:
            try:
                if not self._settle():
                    return False
                while not self.paused and self._sender.has_room() and (rows := self._outbox.pending(500, after=self._last)):
                    for row in rows:
                        if not self._sender.has_room():
                            break
                        if not self._sender.holds(row.number):
                            self._sender.send(row.number, row.key, row.body)
                        self._last = row.number
            except (BrokerError, LocalStoreError) as error:
                if isinstance(error, LocalStoreError):
                    self._last = 0  # what ended could not be noted: it still waits, and goes again
                log.warning("publish_waits", error=str(error), pending=self._outbox.counts().pending)
                return False
        return True

    def _settle(self) -> bool:
        """Take in what ended; False when some have to be sent again."""
        ended = self._sender.finished()
        if any(not done.error for done in ended) or not self._outbox.counts().pending:
            self._moved = time.monotonic()
        self._outbox.sent([(done.token, done.partition, done.offset) for done in ended if not done.error])
        for done in ended:
            if done.error and done.fatal:
                log.error("article_refused", number=done.token, error=done.error)
                DEAD.labels("publish").inc()
                self._outbox.discard(done.token)
        again = [done for done in ended if done.error and not done.fatal]
        if again:
            log.error("publish_failed", articles=len(again), error=again[0].error)
            self._last = min(self._last, min(done.token for done in again) - 1)
        return not again

    def rewound(self) -> None:
        """The broker was restarted and has lost its memory: everything that the outbox keeps is sent again, by a new producer.

        What the old producer still has to say is about the old broker and does not count.
        """
        with self._lock:
            self._sender.forget()
            self._outbox.rewind()
            self._last = 0
        self._outbox.wake.set()

    def flush(self, timeout_s: float) -> bool:
        """Wait until nothing waits and nothing is in flight; False when `timeout_s` was not enough."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            self._step()
            if not self._outbox.counts().pending and not self._sender.in_flight:
                return True
            self._outbox.wake.wait(0.05)
        return False

    def close(self) -> None:
        """Let go of the producer. What was not acknowledged is still in the outbox."""
        with self._lock:
            self._sender.close()
            with suppress(BrokerError, LocalStoreError):
                self._settle()
