"""The door to Kafka for everything that writes: topics, committed offsets, and a producer that loses nothing.

    send ─▶ in flight (bounded) ─▶ broker ─▶ acknowledged ─▶ finished
                └─ oldest in flight too old, or one failed: drop the producer, make a new one, send again

kafka-python's producer accepts without end while a broker is silent, and an idempotent one may never send again after
its first timeout. So what is in flight is counted here, and a watchdog replaces a producer that hangs.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from spine.errors import BrokerError
from spine.log import get_logger
from spine.metrics import PUBLISH_ERRORS, PUBLISHED
from spine.topics import TopicNames

DELIVERY_TIMEOUT_S = 15 * 60
MAX_REQUEST_BYTES = 1_000_000

log = get_logger(__name__)


def ensure_topics(bootstrap: str, names: TopicNames, *, partitions: int, replication: int, deadline_s: float = 20.0) -> None:
    """Create the topics that do not exist. Tries until the broker is up; raises BrokerError after `deadline_s`.

    partitions: of `articles`. `scores` and `alerts` have one: one evaluator is active and the others stand by, as two could
        ring one episode at slightly different window starts
    """
    from kafka.errors import TopicAlreadyExistsError

    end = time.monotonic() + deadline_s
    counts = {names.articles: partitions, names.scores: 1, names.alerts: 1}
    wanted = {name: {"num_partitions": count, "replication_factor": replication} for name, count in counts.items()}
    while True:
        try:
            with _Admin(bootstrap, timeout_s=max(1.0, min(10.0, end - time.monotonic()))) as admin:
                missing = {name: options for name, options in wanted.items() if name not in set(admin.list_topics())}
                for name, options in missing.items():
                    with suppress(TopicAlreadyExistsError):  # somebody else was faster
                        admin.create_topics({name: options}, wait_for_metadata=True)
            return
        except _errors() as error:
            if time.monotonic() >= end:
                if isinstance(error, BrokerError):
                    raise
                raise BrokerError(f"Kafka at {bootstrap}: the topics cannot be made ({_said(error)})") from error
            time.sleep(0.2)


def committed_offsets(bootstrap: str, group: str, topic: str) -> dict[int, int]:
    """The next offset that `group` will read, by partition; partitions without a commit are left out. Raises BrokerError."""
    try:
        with _Admin(bootstrap, timeout_s=10.0) as admin:
            offsets = admin.list_group_offsets({group: None}).get(group, {})
    except _errors() as error:
        raise BrokerError(f"Kafka at {bootstrap}: the offsets of {group} cannot be read ({_said(error)})") from error
    return {place.partition: at.offset for place, at in offsets.items() if place.topic == topic and at.offset >= 0}


def lag(bootstrap: str, group: str, topic: str) -> int:
    """Messages of the topic that the group has not committed yet. Raises BrokerError."""
    from kafka import TopicPartition
    from kafka.admin import OffsetSpec

    committed = committed_offsets(bootstrap, group, topic)
    places = [TopicPartition(topic, number) for number in range(partitions(bootstrap, [topic])[topic])]
    try:
        with _Admin(bootstrap, timeout_s=10.0) as admin:
            first = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.EARLIEST))
            end = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST))
    except _errors() as error:
        raise BrokerError(f"Kafka at {bootstrap}: the end of {topic} cannot be read ({_said(error)})") from error
    return sum(end[place].offset - max(committed.get(place.partition, 0), first[place].offset) for place in places)


def partitions(bootstrap: str, topics: Sequence[str]) -> dict[str, int]:
    """How many partitions each of `topics` has; 0 for one that is not there. Raises BrokerError."""
    try:
        with _Admin(bootstrap, timeout_s=5.0) as admin:
            known = {row["name"]: len(row["partitions"]) for row in admin.describe_topics() if not row.get("error_code")}
    except _errors() as error:
        raise BrokerError(f"Kafka at {bootstrap}: the topics cannot be read ({_said(error)})") from error
    return {topic: known.get(topic, 0) for topic in topics}


class _Admin:
    """An admin client that is closed at the end and whose failure to start is a BrokerError."""

    def __init__(self, bootstrap: str, timeout_s: float) -> None:
        self._bootstrap = bootstrap
        self._timeout_ms = int(timeout_s * 1000)
        self._client: Any = None

    def __enter__(self) -> Any:
        from kafka import KafkaAdminClient

        self._client = _open(
            KafkaAdminClient,
            self._bootstrap,
            bootstrap_timeout_ms=self._timeout_ms,
            request_timeout_ms=self._timeout_ms,
        )
        return self._client

    def __exit__(self, *_: object) -> None:
        with suppress(Exception):
            self._client.close()


class Done(NamedTuple):
    """The end of one message: acknowledged at (partition, offset), or `error` says why not; `fatal`: it never will be."""

    token: int
    partition: int
    offset: int
    error: str = ""
    fatal: bool = False


class _Flying(NamedTuple):
    key: bytes
    value: bytes
    since: float


class Sender:
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
        self._flying: dict[int, _Flying] = {}
        self._flying_bytes = 0
        self._done: deque[Done] = deque()  # filled by the producer's thread; appending is atomic
        self._producer: Any = None
        self._broken = False  # it failed: to be replaced before anything more is sent

    def has_room(self) -> bool:
        """Whether one more message may be sent now."""
        return len(self._flying) < self._max_count and self._flying_bytes < self._max_bytes

    @property
    def in_flight(self) -> int:
        """Messages sent and not yet ended."""
        return len(self._flying)

    def send(self, token: int, key: bytes, value: bytes) -> None:
        """Send one message; its end comes out of `finished` under `token`. Raises BrokerError: then it was not sent."""
        flying = _Flying(key, value, time.monotonic())
        self._hand_over(token, flying)
        self._flying[token] = flying
        self._flying_bytes += len(value)

    def holds(self, token: int) -> bool:
        """Whether the message is in flight."""
        return token in self._flying

    def _hand_over(self, token: int, flying: _Flying) -> None:
        if self._producer is None:
            self._producer = self._make()
        producer = self._producer
        try:
            future = producer.send(self.topic, value=flying.value, key=flying.key)
        except _fatal() as error:
            self._done.append(Done(token, -1, -1, _said(error), fatal=True))
            return
        except _errors() as error:
            raise BrokerError(f"Kafka at {self.bootstrap} takes nothing ({_said(error)})") from error

        def succeeded(at: Any) -> None:
            self._done.append(Done(token, at.partition, at.offset))
            self.wake.set()

        def failed(error: BaseException) -> None:
            if producer is self._producer:  # what a dropped producer says no longer counts
                self._done.append(Done(token, -1, -1, _said(error), fatal=isinstance(error, _fatal())))
                self.wake.set()

        future.add_callback(succeeded)
        future.add_errback(failed)

    def _make(self) -> Any:
        from kafka import KafkaProducer

        return _open(
            KafkaProducer,
            self.bootstrap,
            acks="all",
            enable_idempotence=True,
            delivery_timeout_ms=DELIVERY_TIMEOUT_S * 1000,  # longer than an outage should last: after it the producer may hang for ever
            request_timeout_ms=30_000,
            max_block_ms=5_000,
            bootstrap_timeout_ms=5_000,
            max_request_size=MAX_REQUEST_BYTES,
            linger_ms=5,
            batch_size=256 * 1024,
        )

    def finished(self) -> list[Done]:
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
            flying = self._flying.pop(done.token, None)
            if flying is not None:  # else it was sent twice and both arrived
                self._flying_bytes -= len(flying.value)
                ended.append(done)
        if ended:
            PUBLISHED.inc(sum(not done.error for done in ended))
            PUBLISH_ERRORS.inc(sum(bool(done.error) for done in ended))
            self._broken = any(done.error and not done.fatal for done in ended)
        elif self._flying and time.monotonic() - next(iter(self._flying.values())).since > self.stuck_s:
            self.renew()
        return ended

    def renew(self) -> None:
        """A new producer, and everything in flight sent again: at worst twice, and ids make that harmless. Raises BrokerError."""
        self.renewals += 1
        log.warning("producer_replaced", broker=self.bootstrap, in_flight=len(self._flying), failed=self._broken)
        self._broken = True  # until all is handed over
        self._drop()
        waiting, now = list(self._flying.items()), time.monotonic()
        self._flying = {token: flying._replace(since=now) for token, flying in waiting}
        for token, flying in waiting:
            self._hand_over(token, flying)
        self._broken = False

    def _drop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            _abandon(producer)

    def close(self, timeout_s: float = 5.0) -> None:
        """Give what is in flight `timeout_s` to arrive, then let go of the producer. Calling it twice is fine."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            producer.close(timeout=timeout_s)
        except _errors():
            _abandon(producer)


def _abandon(producer: Any) -> None:
    """Stop a producer without waiting for its messages.

    Its own `close` first waits for a flush that a wedged producer never ends, then leaves the thread running; and when the
    object is collected it tries once more. So its thread is told to drop everything, which ends the flush.
    """
    with suppress(Exception):
        producer._sender.force_close()
        producer._sender.join(5.0)
    with suppress(Exception):
        producer.close(timeout=0)
    producer._closed = True


def _open(kind: Callable[..., Any], bootstrap: str, **options: Any) -> Any:
    """A client of kafka-python. Raises BrokerError; one that cannot start is taken apart, as it leaves its sockets and thread behind."""
    from kafka.net.compat import KafkaNetClient

    _reach(bootstrap, 5.0)
    opened: list[Any] = []

    def network(**config: Any) -> Any:
        opened.append(KafkaNetClient(**config))
        return opened[-1]

    try:
        return kind(bootstrap_servers=bootstrap.split(","), client_id="tocsin", kafka_client=network, **options)
    except _errors() as error:
        for client in opened:
            with suppress(Exception):
                client.close()
        raise BrokerError(f"Kafka at {bootstrap} cannot be reached ({_said(error)})") from error


def _reach(bootstrap: str, timeout_s: float) -> None:
    """Raises BrokerError at once where nobody listens: a client that is made then waits its full time, and leaves sockets open."""
    failure: Exception | None = None
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            with socket.create_connection((host.rpartition("://")[2].strip("[]"), int(port)), timeout=timeout_s):
                return
        except (OSError, ValueError, OverflowError) as error:
            failure = error
    raise BrokerError(f"Kafka at {bootstrap} cannot be reached ({failure})") from failure


def _errors() -> tuple[type[BaseException], ...]:
    from kafka.errors import KafkaError

    return (BrokerError, KafkaError, OSError, ValueError, AssertionError)


def _fatal() -> tuple[type[BaseException], ...]:
    """Errors after which the same message will never be taken."""
    from kafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

    return (MessageSizeTooLargeError, RecordListTooLargeError)


def _said(error: BaseException) -> str:
    name, words = type(error).__name__, str(error)
    return words[:300] if words.startswith(name) else f"{name}: {words}"[:300] if words else name
