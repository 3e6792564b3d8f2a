"""Kafka client functions on kafka-python: topics, committed offsets, lag, and producers that are closed properly."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from core.errors import BrokerError
from core.kafka_address import KafkaAddress, kafka_address, place_of
from core.kafka_topics import TopicNames

DELIVERY_TIMEOUT_S = 15 * 60
MAX_REQUEST_BYTES = 1_000_000


def ensure_topics(bootstrap: str, names: TopicNames, *, partitions: int, replication: int, deadline_s: float = 20.0) -> None:
    """Create missing topics, waiting for the broker to come up.

    Args:
        bootstrap: bootstrap servers.
        names: the topics of this installation.
        partitions: of `articles`. `scores` and `alerts` have one partition, so one evaluator is active and the others stand by:
            two could raise one episode with slightly different window starts.
        replication: replication factor.
        deadline_s: how long to try.

    Raises:
        BrokerError: no success within `deadline_s`.
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
                    with suppress(TopicAlreadyExistsError):  # created by another process
                        admin.create_topics({name: options}, wait_for_metadata=True)
            return
        except errors() as error:
            if time.monotonic() >= end:
                if isinstance(error, BrokerError):
                    raise
                raise BrokerError(f"Kafka at {place_of(bootstrap)}: the topics cannot be created ({describe_error(error)})") from error
            time.sleep(0.2)


def committed_offsets(bootstrap: str, group: str, topic: str) -> dict[int, int]:
    """Committed offsets of `group` by partition; partitions without one are left out. Raises BrokerError."""
    try:
        with _Admin(bootstrap, timeout_s=10.0) as admin:
            offsets = admin.list_group_offsets({group: None}).get(group, {})
    except errors() as error:
        raise BrokerError(f"Kafka at {place_of(bootstrap)}: the offsets of {group} cannot be read ({describe_error(error)})") from error
    return {place.partition: at.offset for place, at in offsets.items() if place.topic == topic and at.offset >= 0}


def lag(bootstrap: str, group: str, topic: str) -> int:
    """Consumer lag of the group on the topic, in messages. Raises BrokerError."""
    return sum(lags(bootstrap, group, [topic])[topic])


def lags(bootstrap: str, group: str, topics: Sequence[str], timeout_s: float = 10.0) -> dict[str, list[int]]:
    """Consumer lag of the group by topic and partition; [] for a missing topic. Raises BrokerError."""
    from kafka import TopicPartition
    from kafka.admin import OffsetSpec

    try:
        with _Admin(bootstrap, timeout_s=timeout_s) as admin:
            known = {row["name"]: len(row["partitions"]) for row in admin.describe_topics() if not row.get("error_code")}
            places = [TopicPartition(topic, number) for topic in topics for number in range(known.get(topic, 0))]
            committed = admin.list_group_offsets({group: None}).get(group, {})
            first = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.EARLIEST)) if places else {}
            end = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST)) if places else {}
    except errors() as error:
        raise BrokerError(f"Kafka at {place_of(bootstrap)}: the lag of {group} cannot be read ({describe_error(error)})") from error
    done = {(place.topic, place.partition): at.offset for place, at in committed.items()}
    behind: dict[str, list[int]] = {topic: [] for topic in topics}
    for place in places:
        read = max(done.get((place.topic, place.partition), 0), first[place].offset)
        behind[place.topic].append(max(0, end[place].offset - read))
    return behind


def partitions(bootstrap: str, topics: Sequence[str]) -> dict[str, int]:
    """Number of partitions of each topic; 0 for a missing topic. Raises BrokerError."""
    try:
        with _Admin(bootstrap, timeout_s=5.0) as admin:
            known = {row["name"]: len(row["partitions"]) for row in admin.describe_topics() if not row.get("error_code")}
    except errors() as error:
        raise BrokerError(f"Kafka at {place_of(bootstrap)}: the topics cannot be read ({describe_error(error)})") from error
    return {topic: known.get(topic, 0) for topic in topics}


class _Admin:
    """Context manager for an admin client. Raises BrokerError if it cannot connect."""

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


def open_producer(bootstrap: str) -> Any:
    """Open an idempotent producer with acks=all. Raises BrokerError."""
    from kafka import KafkaProducer

    return _open(
        KafkaProducer,
        bootstrap,
        acks="all",
        enable_idempotence=True,
        delivery_timeout_ms=DELIVERY_TIMEOUT_S * 1000,  # longer than most outages: after it the producer may hang for ever
        request_timeout_ms=30_000,
        max_block_ms=5_000,
        bootstrap_timeout_ms=5_000,
        max_request_size=MAX_REQUEST_BYTES,
        linger_ms=5,
        batch_size=256 * 1024,
    )


def force_close(producer: Any) -> None:
    """Close a producer without waiting for its messages.

    `close` waits for a flush that a hanging producer never completes, then leaves its thread running, and tries again when the
    object is garbage collected. Dropping all batches in the sender thread ends the flush.
    """
    with suppress(Exception):
        producer._sender.force_close()
        producer._sender.join(5.0)
    with suppress(Exception):
        producer.close(timeout=0)
    producer._closed = True


def _open(kind: Callable[..., Any], bootstrap: str, **options: Any) -> Any:
    """Open a client. Raises BrokerError; a client that cannot start is closed here, as kafka-python leaks its sockets and thread."""
    from kafka.net.compat import KafkaNetClient

    address = kafka_address(bootstrap)
    _check_reachable(address, 5.0)
    opened: list[Any] = []

    def network(**config: Any) -> Any:
        opened.append(KafkaNetClient(**config))
        return opened[-1]

    try:
        return kind(**address.client_options(), client_id="tocsin", kafka_client=network, **options)
    except errors() as error:
        for client in opened:
            with suppress(Exception):
                client.close()
        raise BrokerError(f"Kafka at {address.place} cannot be reached ({describe_error(error)})") from error


def _check_reachable(bootstrap: KafkaAddress, timeout_s: float) -> None:
    """Raise BrokerError at once if nothing listens: a client would wait for its full timeout and leak sockets."""
    failure: Exception | None = None
    for address in bootstrap.servers:
        host, _, port = address.rpartition(":")
        try:
            with socket.create_connection((host.rpartition("://")[2].strip("[]"), int(port)), timeout=timeout_s):
                return
        except (OSError, ValueError, OverflowError) as error:
            failure = error
    raise BrokerError(f"Kafka at {bootstrap.place} cannot be reached ({failure})") from failure


def errors() -> tuple[type[BaseException], ...]:
    """Exceptions of kafka-python for an unreachable broker or a rejected request."""
    from kafka.errors import KafkaError

    return (BrokerError, KafkaError, OSError, ValueError, AssertionError)


def fatal_errors() -> tuple[type[BaseException], ...]:
    """Exceptions after which a message will never be accepted."""
    from kafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

    return (MessageSizeTooLargeError, RecordListTooLargeError)


def describe_error(error: BaseException) -> str:
    """An exception as one line."""
    name, text = type(error).__name__, str(error)
    return text[:300] if text.startswith(name) else f"{name}: {text}"[:300] if text else name
