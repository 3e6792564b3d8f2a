"""Writes unusable messages to the dead letters, with the reason and their bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from core import log, metrics
from core.errors import StoreError, StoreUnavailable
from core.records import Alert, Score
from core.series import MARKET
from storage.store import DeadLetter, Store
from stream.worker.batches import RawMessage, dead_letter
from stream.worker.circuit_breaker import CircuitBreaker
from stream.worker.progress import LostMessages

_log = log.get_logger(__name__)


class DeadLetterWriter:
    """Writes the dead letters of all steps.

    broker_run: names one run of a broker whose offsets start from zero at each start. It becomes part of the topic of a dead letter, which
        would otherwise replace an older one with the same offset.
    """

    def __init__(self, store: Store, circuit_breaker: CircuitBreaker, broker_run: str = "") -> None:
        self._store, self._circuit_breaker, self._broker_run = store, circuit_breaker, broker_run
        self._sources: dict[type, Mapping[str, RawMessage]] = {}

    def write(self, dead: Sequence[DeadLetter], topic: str, messages: int) -> None:
        """Writes the dead letters of a batch of so many messages. Raises CircuitOpen, StoreUnavailable."""
        self._circuit_breaker.record(topic, messages, len(dead), dead[-1].reason if dead else "")
        self._insert(dead)

    def write_lost(self, lost: Sequence[LostMessages], now: datetime) -> None:
        """Logs and stores that messages were deleted from their topic before they were read. Raises StoreUnavailable."""
        letters = []
        for each in lost:
            topic, partition = each.partition
            reason = f"{each.messages} messages, offsets {each.since} to {each.until - 1}, were deleted before they were read: "
            reason += "the retention of the topic is shorter than the lag of the workers"
            letters.append(dead_letter(RawMessage(topic, partition, each.since, None, None), "gap", reason, now))
            metrics.LOST_MESSAGES.labels(topic).inc(each.messages)
            _log.error("messages_lost", topic=topic, partition=partition, count=each.messages, reason=reason)
        self._insert(letters)

    def _insert(self, dead: Sequence[DeadLetter]) -> None:
        if self._broker_run:
            dead = [msgspec.structs.replace(letter, topic=f"{letter.topic}@{self._broker_run}") for letter in dead]
        self._store.dead_letters.insert(dead)
        for letter in dead:
            metrics.DEAD_LETTERS.labels(letter.stage).inc()

    def remember_batch(self, kind: type, messages: Mapping[str, RawMessage]) -> None:
        """Remembers the messages of the records of a batch, by id, for `write_failed`."""
        self._sources[kind] = messages

    def is_record_fault(self, error: Exception) -> bool:
        """Whether a step may have failed because of a record: not if the store fails without it too."""
        if not (is_rejection(error) or isinstance(error, ValueError | TypeError | ArithmeticError | LookupError)):
            return False
        now = datetime.now(UTC)
        try:
            self._store.mentions.minutes([MARKET], now, now)
            self._store.alerts.last_alerts("", [MARKET], now)
            self._store.alerts.deliveries([MARKET])
        except StoreError:
            return False
        return True

    def write_failed(self, stage: str, failed: Sequence[tuple[Score | Alert, Exception]], now: datetime) -> None:
        """Writes records that a step cannot process; otherwise the worker would fail on them after every restart. Raises as `write`."""
        for record, error in failed:
            raw = self._sources.get(type(record), {}).get(record.id)
            if raw is None:
                raise error
            reason = f"{type(error).__name__}: {error}"
            _log.error("record_failed", stage=stage, topic=raw.topic, id=record.id, reason=reason)
            self.write([dead_letter(raw, stage, reason, now)], raw.topic, 0)  # the message was counted when it was read


def is_rejection(error: Exception) -> bool:
    """Whether the store rejected a value permanently."""
    return isinstance(error, StoreError) and not isinstance(error, StoreUnavailable)
