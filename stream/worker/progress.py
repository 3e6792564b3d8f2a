"""What the agents of a worker have read and finished: detects stalls, and messages that were lost before they were read.

Independent of Faust, so that it also notices when Faust itself is stuck.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from stream.worker.batches import RawMessage

TopicPartition = tuple[str, int]
"""A topic and the number of a partition."""


class Progress:
    """The batches that all agents of a worker have started and finished. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._busy: dict[int, tuple[str, float]] = {}
        self._numbers = itertools.count()
        self._done: dict[TopicPartition, int] = {}
        self._last: dict[TopicPartition, float] = {}

    def started(self, role: str) -> int:
        """Records that an agent received a batch; returns its number."""
        with self._lock:
            number = next(self._numbers)
            self._busy[number] = (role, self._clock())
            return number

    def finished(self, batch: int, messages: Iterable[RawMessage]) -> None:
        """Records that the batch is stored, published and acknowledged."""
        with self._lock:
            self._busy.pop(batch, None)
            for message in messages:
                partition = (message.topic, message.partition)
                self._done[partition] = message.offset + 1
                self._last[partition] = self._clock()

    def dropped(self, batch: int) -> None:
        """Records that the batch was taken away from this worker; it is delivered again."""
        with self._lock:
            self._busy.pop(batch, None)

    def busy(self) -> bool:
        """Whether any agent is working on a batch."""
        with self._lock:
            return bool(self._busy)

    def stuck(self, ends: Mapping[TopicPartition, tuple[int | None, int | None]], limit_s: float) -> str:
        """Describes what has made no progress for more than limit_s although there is work; "" if there is nothing.

        Args:
            ends: of each assigned partition, the committed offset and the end offset; None where unknown.
            limit_s: seconds.
        """
        now = self._clock()
        with self._lock:
            for role, since in self._busy.values():
                if now - since > limit_s:
                    return f"{role} has been working on one batch for {now - since:.0f} s"
            for revoked in self._last.keys() - ends.keys():
                del self._last[revoked]
                self._done.pop(revoked, None)
            for partition, (committed, end) in ends.items():
                offset = self._done.get(partition, committed)
                if offset is None or end is None or offset >= end:
                    self._last[partition] = now  # no work, or unknown
                elif now - self._last.setdefault(partition, now) > limit_s:
                    return f"{partition[0]}[{partition[1]}] has been at offset {offset} of {end} for {now - self._last[partition]:.0f} s"
        return ""


class LostMessages(NamedTuple):
    """Messages that were not read: the offsets from `since` up to, but not including, `until`."""

    partition: TopicPartition
    since: int
    until: int

    @property
    def messages(self) -> int:
        """Number of messages."""
        return self.until - self.since


class OffsetTracker:
    """Finds jumps in the offsets of the partitions that one agent reads.

    committed: from a partition to its committed offset, None where unknown
    """

    def __init__(self, committed: Callable[[TopicPartition], int | None]) -> None:
        self._committed = committed
        self._next: dict[TopicPartition, int] = {}

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Forgets partitions that another worker reads from now on."""
        for partition in partitions:
            self._next.pop(partition, None)

    def jumps(self, messages: Sequence[RawMessage]) -> list[LostMessages]:
        """The jumps in a batch, whose messages are in order within each partition."""
        found = []
        for message in messages:
            partition = (message.topic, message.partition)
            expected = self._next[partition] if partition in self._next else self._committed(partition)
            if expected is not None and message.offset > expected:
                found.append(LostMessages(partition, expected, message.offset))
            self._next[partition] = message.offset + 1
        return found


def lost_messages(jumps: Sequence[LostMessages], beginnings: Mapping[TopicPartition, int]) -> list[LostMessages]:
    """The part of the jumps that was deleted by retention: offsets before the beginning of their partition.

    Offsets after it are transaction markers or compacted messages, which consumers never see.
    """
    lost = [jump._replace(until=min(jump.until, beginnings.get(jump.partition, jump.since))) for jump in jumps]
    return [each for each in lost if each.messages > 0]
