"""A producer with bounded in-flight messages that replaces itself when it hangs; one delivery report per message.

    send ─▶ in flight (bounded) ─▶ broker ─▶ acknowledged ─▶ delivery report
                └─ oldest message too old, or one failed: replace the producer and send all in flight again

kafka-python's producer accepts messages without limit while a broker does not respond, and an idempotent one may never send again
after its first timeout. So messages in flight are counted here, and a producer that hangs is replaced.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, NamedTuple

from core.errors import BrokerError
from core.kafka_address import place_of
from core.log import get_logger
from core.metrics import PUBLISH_ERRORS, PUBLISHED
from core.record_seals import RecordSeal
from ingest.kafka import client

log = get_logger(__name__)


class DeliveryReport(NamedTuple):
    """Result of one message: its partition and offset, or an error. fatal: retrying cannot succeed."""

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
    """At-least-once producer with bounded in-flight messages. For one thread.

    Args:
        bootstrap: bootstrap servers.
        topic: where messages go.
        max_in_flight: most messages sent and not yet acknowledged.
        max_in_flight_bytes: the same in bytes.
        stuck_s: age of the oldest message in flight at which the producer is replaced.
        seal: added to each message; empty for Kafka.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        *,
        max_in_flight: int = 5_000,
        max_in_flight_bytes: int = 16 << 20,
        stuck_s: float = 60.0,
        seal: RecordSeal | None = None,
    ) -> None:
        self._seal = seal or RecordSeal()
        self.bootstrap = bootstrap
        self.topic = topic
        self.stuck_s = stuck_s
        self.replacements = 0
        self.wake = threading.Event()
        self._max_count = max_in_flight
        self._max_bytes = max_in_flight_bytes
        self._in_flight: dict[int, _InFlight] = {}
        self._in_flight_bytes = 0
        self._reports: deque[DeliveryReport] = deque()  # filled by the sender thread; append is atomic
        self._producer: Any = None
        self._generation = 0
        self._broken = False  # to be replaced before the next message

    def has_room(self) -> bool:
        """Whether one more message may be sent now."""
        return len(self._in_flight) < self._max_count and self._in_flight_bytes < self._max_bytes

    @property
    def in_flight(self) -> int:
        """Number of messages sent and not yet acknowledged."""
        return len(self._in_flight)

    def send(self, token: int, key: bytes, value: bytes) -> None:
        """Send one message; `delivery_reports` returns its result under `token`. Raises BrokerError if it was not sent."""
        value = self._seal.seal(self.topic, key, value)
        in_flight_message = _InFlight(key, value, time.monotonic())
        self._submit(token, in_flight_message)
        self._in_flight[token] = in_flight_message
        self._in_flight_bytes += len(value)

    def holds(self, token: int) -> bool:
        """Whether the message is in flight."""
        return token in self._in_flight

    def _submit(self, token: int, in_flight_message: _InFlight) -> None:
        if self._producer is None:
            self._producer = client.open_producer(self.bootstrap)
        producer, generation = self._producer, self._generation
        try:
            future = producer.send(self.topic, value=in_flight_message.value, key=in_flight_message.key)
        except client.fatal_errors() as error:
            self._reports.append(DeliveryReport(token, -1, -1, client.describe_error(error), fatal=True))
            return
        except client.errors() as error:
            raise BrokerError(f"Kafka at {place_of(self.bootstrap)} does not accept messages ({client.describe_error(error)})") from error

        def succeeded(at: Any) -> None:
            if generation == self._generation:
                self._reports.append(DeliveryReport(token, at.partition, at.offset))
                self.wake.set()

        def failed(error: BaseException) -> None:
            if producer is self._producer:  # ignore a producer that was replaced
                self._reports.append(
                    DeliveryReport(token, -1, -1, client.describe_error(error), fatal=isinstance(error, client.fatal_errors()))
                )
                self.wake.set()

        future.add_callback(succeeded)
        future.add_errback(failed)

    def delivery_reports(self) -> list[DeliveryReport]:
        """Delivery reports since the last call, each once. Replaces a producer that hangs or failed. Raises BrokerError as `send`.

        The first error ends a producer: an idempotent one then requests a new epoch, which a broker that lost its memory in a
        restart rejects for ever, and batches in flight at that time are lost.
        """
        self.wake.clear()
        if self._broken:
            self.replace_producer()
        ended = []
        while self._reports:
            done = self._reports.popleft()
            in_flight_message = self._in_flight.pop(done.token, None)
            if in_flight_message is not None:  # None: sent twice, and both arrived
                self._in_flight_bytes -= len(in_flight_message.value)
                ended.append(done)
        if ended:
            PUBLISHED.inc(sum(not done.error for done in ended))
            PUBLISH_ERRORS.inc(sum(bool(done.error) for done in ended))
            self._broken = any(done.error and not done.fatal for done in ended)
        elif self._in_flight and time.monotonic() - next(iter(self._in_flight.values())).since > self.stuck_s:
            self.replace_producer()
        return ended

    def replace_producer(self) -> None:
        """Open a new producer and send everything in flight again; ids make duplicates harmless. Raises BrokerError."""
        self.replacements += 1
        log.warning("producer_replaced", broker=place_of(self.bootstrap), in_flight=len(self._in_flight), failed=self._broken)
        self._broken = True  # until everything is sent again
        self._drop()
        waiting, now = list(self._in_flight.items()), time.monotonic()
        self._in_flight = {token: in_flight_message._replace(since=now) for token, in_flight_message in waiting}
        for token, in_flight_message in waiting:
            self._submit(token, in_flight_message)
        self._broken = False

    def reset(self) -> None:
        """Drop the producer and everything in flight, without delivery reports."""
        self._generation += 1
        self._drop()
        self._in_flight.clear()
        self._in_flight_bytes = 0
        self._reports.clear()
        self._broken = False

    def _drop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            client.force_close(producer)

    def close(self, timeout_s: float = 5.0) -> None:
        """Wait up to `timeout_s` for messages in flight, then close the producer. May be called twice."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            producer.close(timeout=timeout_s)
        except client.errors():
            client.force_close(producer)
