"""SQL of dead letters: records that could not be processed, with the reason and the original bytes."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from storage.clickhouse import ClickHouse
from storage.timestamps import from_epoch, new_version, to_epoch

State = Literal["open", "replayed", "dropped"]


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One record that could not be processed.

    Attributes:
        topic, partition, offset: its position in Kafka
        stage, reason: which stage rejected it, and why
        key, value: the original bytes; empty once it is dropped
    """

    topic: str
    partition: int
    offset: int
    failed_at: datetime
    stage: str
    reason: str
    key: bytes
    value: bytes
    state: State = "open"

    @property
    def name(self) -> str:
        """Its name for people: "topic/partition/offset"."""
        return f"{self.topic}/{self.partition}/{self.offset}"


_SETTLED = "SELECT topic, partition, offset FROM dead_letter_states FINAL"


class DeadLetterTable:
    """Dead letters by their position in Kafka; one stored again replaces itself."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def insert(self, letters: Sequence[DeadLetter]) -> None:
        """Store dead letters. Raises StoreError."""
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

    def latest(self, limit: int = 100, *, stage: str = "", state: State = "open") -> list[DeadLetter]:
        """The newest dead letters of a stage ("": any) and state, newest first. Raises StoreError."""
        within = f"NOT IN ({_SETTLED})" if state == "open" else f"IN ({_SETTLED} WHERE state = {{state:String}})"
        return self._read(
            f"""
            WHERE (topic, partition, offset) {within} AND ({{stage:String}} = '' OR stage = {{stage:String}})
            ORDER BY failed_at DESC, topic, partition, offset LIMIT {{limit:UInt32}}
            """,
            state,
            limit=limit,
            stage=stage,
            state=state,
        )

    def get(self, topic: str, partition: int, offset: int) -> DeadLetter | None:
        """The dead letter at this position in Kafka in any state, or None. Raises StoreError."""
        where = "WHERE topic = {topic:String} AND partition = {partition:UInt32} AND offset = {offset:UInt64}"
        place: dict[str, str | int] = {"topic": topic, "partition": partition, "offset": offset}
        states = self._client.query(f"SELECT state FROM dead_letter_states FINAL {where}", **place)
        found = self._read(where, states[0][0] if states else "open", **place)
        return found[0] if found else None

    def _read(self, where: str, kept_state: State, **values: str | int) -> list[DeadLetter]:
        """The dead letters of a WHERE clause, which have the state `kept_state`."""
        columns = "topic, partition, offset, toUInt32(failed_at), stage, reason, key, value"
        rows = self._client.query(f"SELECT {columns} FROM dead_letters FINAL {where}", **values)
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
                state=kept_state,
            )
            for row in rows
        ]

    def settle(self, letters: Sequence[DeadLetter], state: State) -> None:
        """Set the state of dead letters; dropped ones lose their bytes. Raises StoreError."""
        self._client.insert(
            "dead_letter_states",
            {
                "topic": [letter.topic for letter in letters],
                "partition": [letter.partition for letter in letters],
                "offset": [letter.offset for letter in letters],
                "state": [state] * len(letters),
                "version": [new_version()] * len(letters),
            },
        )
        if state == "dropped":
            self.insert([msgspec.structs.replace(letter, key=b"", value=b"") for letter in letters])

    def by_topic(self, since: datetime) -> dict[str, int]:
        """Number of dead letters of each topic since a time, in any state. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT topic, count() FROM dead_letters FINAL
            WHERE failed_at >= toDateTime({since:UInt32}) AND stage != 'gap' GROUP BY topic
            """,
            since=int(to_epoch(since)),
        )
        return {topic: int(count) for topic, count in rows}

    def count(self) -> int:
        """How many are open. Raises StoreError."""
        return int(self._client.query(f"SELECT count() FROM dead_letters FINAL WHERE (topic, partition, offset) NOT IN ({_SETTLED})")[0][0])
