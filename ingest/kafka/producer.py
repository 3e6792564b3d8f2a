"""A bounded, self-healing producer: messages in, and for each one, once, how it ended.

    send ─▶ in flight (bounded) ─▶ broker ─▶ acknowledged ─▶ finished
                └─ oldest in flight too old, or one failed: drop the producer, make a new one, send again

kafka-python's producer accepts without end while a broker is silent, and an idempotent one may never send again after
its first timeout. So what is in flight is counted here, and a watchdog replaces a producer that hangs.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, NamedTuple

from core.errors import BrokerError
from core.log import get_logger
from core.metrics import PUBLISH_ERRORS, PUBLISHED
from ingest.kafka import client

log = get_logger(__name__)


class DeliveryReport(NamedTuple):
    """The end of one message: acknowledged at (partition, offset), or `error` says why not; `fatal`: it never will be."""

    token: int
    partition: int
    offset: int
    error: str = ""
    fatal: bool = False


class _InFlight(NamedTuple):
    key: bytes
    value: bytes
    since: float


class BoundedProducer:
    """A bounded, self-healing producer. Used by one thread; at least once.

    max_in_flight, max_in_flight_bytes: as much may be sent and not yet acknowledged
    stuck_s: when the oldest message in flight is older, the producer is replaced and all are sent again
    """

    def __init__(
        self, bootstrap: str, topic: str, *, max_in_flight: int = 5_000, max_in_flight_bytes: int = 16 << 20, stuck_s: float = 60.0
    ) -> None:
        self.bootstrap = bootstrap
        self.topic = topic
        self.stuck_s = stuck_s
        self.renewals = 0
        self.wake = threading.Event()
        self._max_count = max_in_flight
        self._max_bytes = max_in_flight_bytes
        self._in_flight: dict[int, _InFlight] = {}
        self._in_flight_bytes = 0
        self._done: deque[DeliveryReport] = deque()  # filled by the producer's thread; appending is atomic
        self._producer: Any = None
        self._era = 0
        self._broken = False  # it failed: to be replaced before anything more is sent

    def has_room(self) -> bool:
        """Whether one more message may be sent now."""
        return len(self._in_flight) < self._max_count and self._in_flight_bytes < self._max_bytes

    @property
    def in_flight(self) -> int:
        """Messages sent and not yet ended."""
        return len(self._in_flight)

    def send(self, token: int, key: bytes, value: bytes) -> None:
        """Send one message; its end comes out of `finished` under `token`. Raises BrokerError: then it was not sent."""
        in_flight_message = _InFlight(key, value, time.monotonic())
        self._hand_over(token, in_flight_message)
        self._in_flight[token] = in_flight_message
        self._in_flight_bytes += len(value)

    def holds(self, token: int) -> bool:
        """Whether the message is in flight."""
        return token in self._in_flight

    def _hand_over(self, token: int, in_flight_message: _InFlight) -> None:
        if self._producer is None:
            self._producer = client.open_producer(self.bootstrap)
        producer, era = self._producer, self._era
        try:
            future = producer.send(self.topic, value=in_flight_message.value, key=in_flight_message.key)
        except client.fatal_errors() as error:
            self._done.append(DeliveryReport(token, -1, -1, client.describe_error(error), fatal=True))
            return
        except client.errors() as error:
            raise BrokerError(f"Kafka at {self.bootstrap} takes nothing ({client.describe_error(error)})") from error

        def succeeded(at: Any) -> None:
            if era == self._era:
                self._done.append(DeliveryReport(token, at.partition, at.offset))
                self.wake.set()

        def failed(error: BaseException) -> None:
            if producer is self._producer:  # what a dropped producer says no longer counts
                self._done.append(
                    DeliveryReport(token, -1, -1, client.describe_error(error), fatal=isinstance(error, client.fatal_errors()))
                )
                self.wake.set()

        future.add_callback(succeeded)
        future.add_errback(failed)

    def finished(self) -> list[DeliveryReport]:
        """Messages that ended since the last call, each once. Replaces a producer that hangs or failed. Raises BrokerError as `send` does.

        After an error an idempotent producer asks for a new epoch, which a broker that was restarted without its memory refuses for
        ever, and batches in flight at that moment are lost: so the first error ends a producer.
        """
        self.wake.clear()
        if self._broken:
            self.renew()
        ended = []
        while self._done:
            done = self._done.popleft()
            in_flight_message = self._in_flight.pop(done.token, None)
            if in_flight_message is not None:  # else it was sent twice and both arrived
                self._in_flight_bytes -= len(in_flight_message.value)
                ended.append(done)
        if ended:
            PUBLISHED.inc(sum(not done.error for done in ended))
            PUBLISH_ERRORS.inc(sum(bool(done.error) for done in ended))
            self._broken = any(done.error and not done.fatal for done in ended)
        elif self._in_flight and time.monotonic() - next(iter(self._in_flight.values())).since > self.stuck_s:
            self.renew()
        return ended

    def renew(self) -> None:
        """A new producer, and everything in flight sent again: at worst twice, and ids make that harmless. Raises BrokerError."""
        self.renewals += 1
        log.warning("producer_replaced", broker=self.bootstrap, in_flight=len(self._in_flight), failed=self._broken)
        self._broken = True  # until all is handed over
        self._drop()
        waiting, now = list(self._in_flight.items()), time.monotonic()
        self._in_flight = {token: in_flight_message._replace(since=now) for token, in_flight_message in waiting}
        for token, in_flight_message in waiting:
            self._hand_over(token, in_flight_message)
        self._broken = False

    def forget(self) -> None:
        """Drop the producer and everything in flight; nothing of it comes out of `finished` any more."""
        self._era += 1
        self._drop()
        self._in_flight.clear()
        self._in_flight_bytes = 0
        self._done.clear()
        self._broken = False

    def _drop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            client.abandon(producer)

    def close(self, timeout_s: float = 5.0) -> None:
        """Give what is in flight `timeout_s` to arrive, then let go of the producer. Calling it twice is fine."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            producer.close(timeout=timeout_s)
        except client.errors():
            client.abandon(producer)
