"""Publish the outbox to the topic `articles`.

outbox.pending ─▶ Sender ─▶ acknowledged ─▶ outbox.sent
                    ├─ failed ─▶ stays in the outbox, sent again
                    └─ rejected for good (too large for the broker) ─▶ logged, counted, deleted
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress

from core.errors import BrokerError, LocalStoreError
from core.log import get_logger
from core.metrics import DEAD_LETTERS
from ingest.kafka.outbox import Outbox
from ingest.kafka.producer import BoundedProducer

log = get_logger(__name__)


class Publisher:
    """Publishes the outbox to the topic `articles`. Failed messages stay in the outbox and are sent again.

    paused: while True nothing more is sent; messages in flight continue
    """

    def __init__(self, outbox: Outbox, producer: BoundedProducer, *, retry_s: float = 1.0) -> None:
        self.paused = False
        self._moved = time.monotonic()  # when a message was last acknowledged, or nothing was pending
        self._outbox = outbox
        self._producer = producer
        self._retry_s = retry_s
        self._last = 0  # the greatest number sent
        self._lock = threading.Lock()
        producer.wake = outbox.wake  # one event for new messages and delivery reports

    def run(self, stop: threading.Event) -> None:
        """Publish until `stop` is set, waiting out outages."""
        while not stop.is_set():
            if not self._step():
                stop.wait(self._retry_s)
            else:
                self._outbox.wake.wait(0.5)

    def unhealthy_reason(self, limit_s: float = 60.0) -> str:
        """Why articles are not published or crawled for `limit_s`; "" while all is well."""
        waiting = self._outbox.counts()
        if self._outbox.full:
            return f"the outbox is full ({waiting.size} bytes): crawling is paused until Kafka accepts messages"
        still_s = time.monotonic() - self._moved
        if waiting.pending and still_s > limit_s:
            return f"Kafka has accepted nothing for {still_s:.0f} s; {waiting.pending} articles are pending in the outbox"
        return ""

    def _step(self) -> bool:
        """Process delivery reports and send pending articles. False if the broker does not accept them."""
        with self._lock:
            try:
                if not self._settle():
                    return False
                while not self.paused and self._producer.has_room() and (rows := self._outbox.pending(500, after=self._last)):
                    for row in rows:
                        if not self._producer.has_room():
                            break
                        if not self._producer.holds(row.number):
                            self._producer.send(row.number, row.key, row.body)
                        self._last = row.number
            except (BrokerError, LocalStoreError) as error:
                if isinstance(error, LocalStoreError):
                    self._last = 0  # the reports were not saved: those articles are still pending and are sent again
                log.warning("publish_delayed", error=str(error), pending=self._outbox.counts().pending)
                return False
        return True

    def _settle(self) -> bool:
        """Process delivery reports. False if some messages have to be sent again."""
        ended = self._producer.delivery_reports()
        if any(not done.error for done in ended) or not self._outbox.counts().pending:
            self._moved = time.monotonic()
        self._outbox.sent([(done.token, done.partition, done.offset) for done in ended if not done.error])
        for done in ended:
            if done.error and done.fatal:
                log.error("article_rejected", number=done.token, error=done.error)
                DEAD_LETTERS.labels("publish").inc()
                self._outbox.discard(done.token)
        again = [done for done in ended if done.error and not done.fatal]
        if again:
            log.error("publish_failed", articles=len(again), error=again[0].error)
            self._last = min(self._last, min(done.token for done in again) - 1)
        return not again

    def resend_all(self) -> None:
        """Send everything in the outbox again with a new producer: the in-memory broker was restarted.

        Delivery reports of the old producer are discarded.
        """
        with self._lock:
            self._producer.reset()
            self._outbox.rewind()
            self._last = 0
        self._outbox.wake.set()

    def flush(self, timeout_s: float) -> bool:
        """Wait until nothing is pending or in flight. False if that took longer than `timeout_s`."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            self._step()
            if not self._outbox.counts().pending and not self._producer.in_flight:
                return True
            self._outbox.wake.wait(0.05)
        return False

    def close(self) -> None:
        """Close the producer. Unacknowledged articles stay in the outbox."""
        with self._lock:
            self._producer.close()
            with suppress(BrokerError, LocalStoreError):
                self._settle()
