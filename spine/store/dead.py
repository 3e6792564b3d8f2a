"""SQL of dead letters: records that could not be used, with the reason and the bytes as they came."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime

import msgspec

from spine.clickhouse import ClickHouse
from spine.store.clock import from_epoch, new_version, to_epoch


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One record that could not be used: where it lies in Kafka, which stage refused it and why, and its bytes."""

    topic: str
    partition: int
    offset: int
    failed_at: datetime
    stage: str
    reason: str
    key: bytes
    value: bytes


class DeadLetters:
    """Records set aside. Keyed by their place in Kafka: the same one again replaces itself."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def insert(self, letters: Sequence[DeadLetter]) -> None:
        """Set records aside. Raises StoreError."""
        self._client.insert(
            "dead_letters",
            {
                "topic": [letter.topic for letter in letters],
                "partition": [letter.partition for letter in letters],
                "offset": [letter.offset for letter in letters],
                "failed_at": [to_epoch(letter.failed_at) for letter in letters],
                "stage": [letter.stage for letter in letters],
                "reason": [letter.reason.encode("utf-8", "replace").decode() for letter in letters],
                "key": [base64.b64encode(letter.key).decode() for letter in letters],
                "value": [base64.b64encode(letter.value).decode() for letter in letters],
                "version": [new_version()] * len(letters),
            },
        )

    def latest(self, limit: int = 100) -> list[DeadLetter]:
        """The newest dead letters, newest first. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT topic, partition, offset, toUInt32(failed_at), stage, reason, key, value FROM dead_letters FINAL
            ORDER BY failed_at DESC, topic, partition, offset LIMIT {limit:UInt32}
            """,
            limit=limit,
        )
        return [
            DeadLetter(
                topic=row[0],
                partition=int(row[1]),
                offset=int(row[2]),
                failed_at=from_epoch(row[3]),
                stage=row[4],
                reason=row[5],
                key=base64.b64decode(row[6]),
                value=base64.b64decode(row[7]),
            )
            for row in rows
        ]

    def count(self) -> int:
        """How many there are. Raises StoreError."""
        return int(self._client.query("SELECT count() FROM dead_letters FINAL")[0][0])
