"""Messages that left a topic before they were read: its retention was shorter than the backlog. Pure.

Within a partition a worker reads offset after offset. One that jumps is a gap, unless the missing ones are a transaction's marks
or were compacted away, which leaves the partition's beginning below them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from stream.worker.batches import Raw
from stream.worker.progress import Place


class Missed(NamedTuple):
    """The offsets `since` up to, not including, `until` were not read."""

    place: Place
    since: int
    until: int

    @property
    def messages(self) -> int:
        """How many messages that were."""
        return self.until - self.since


class Gaps:
    """Follows the partitions that one agent reads. committed: the offset to go on from, None where there is none or nobody knows."""

    def __init__(self, committed: Callable[[Place], int | None]) -> None:
        self._committed = committed
        self._next: dict[Place, int] = {}

    def taken_away(self, places: Collection[Place]) -> None:
        """These partitions are read elsewhere from now on."""
        for place in places:
            self._next.pop(place, None)

    def jumps(self, messages: Sequence[Raw]) -> list[Missed]:
        """The jumps in a batch as it came, each partition in order."""
        found = []
        for message in messages:
            place = (message.topic, message.partition)
            expected = self._next[place] if place in self._next else self._committed(place)
            if expected is not None and message.offset > expected:
                found.append(Missed(place, expected, message.offset))
            self._next[place] = message.offset + 1
        return found


def gone(jumps: Sequence[Missed], beginnings: dict[Place, int]) -> list[Missed]:
    """Of jumps those offsets that lie before the beginning of their partition now."""
    cut = [jump._replace(until=min(jump.until, beginnings.get(jump.place, jump.since))) for jump in jumps]
    return [jump for jump in cut if jump.messages > 0]
