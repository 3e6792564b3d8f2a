"""What cannot be used: set aside with its reason and its bytes, as long as it is single records that are at fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from core import log, metrics
from core.errors import StoreError, StoreUnavailable
from core.records import Alert, Score
from core.series import MARKET
from storage.store import DeadLetter, Store
from stream.worker.batches import Raw, dead_letter
from stream.worker.circuit_breaker import MEMORY, Flood
from stream.worker.lost_messages import Missed

_log = log.get_logger(__name__)


class Aside:
    """Keeps dead letters of all steps.

    era: of a broker that numbers its messages anew at each start: part of the name of a dead letter's topic, which else
        would take the place of an older one
    """

    def __init__(self, store: Store, flood: Flood, era: str = "") -> None:
        self._store, self._flood, self._era = store, flood, era
        self._came_as: dict[type, Mapping[str, Raw]] = {}

    def keep(self, dead: Sequence[DeadLetter], topic: str, messages: int) -> None:
        """Keep what a batch of so many messages had that could not be used. Raises Flooded, StoreUnavailable."""
        self._flood.check(topic, messages, len(dead), dead[-1].reason if dead else "")
        self._put(dead)

    def missed(self, gaps: Sequence[Missed], now: datetime) -> None:
        """Make known that messages were gone before they were read. Raises StoreUnavailable."""
        letters = []
        for gap in gaps:
            reason = f"{gap.messages} messages, offsets {gap.since} to {gap.until - 1}, had left the topic before they were read: "
            reason += "it keeps them for a shorter time than the workers were behind"
            letters.append(dead_letter(Raw(*gap.place, gap.since, None, None), "gap", reason, now))
            metrics.MISSED.labels(gap.place[0]).inc(gap.messages)
            _log.error("messages missed", topic=gap.place[0], partition=gap.place[1], count=gap.messages, reason=reason)
        self._put(letters)

    def _put(self, dead: Sequence[DeadLetter]) -> None:
        if self._era:
            dead = [msgspec.structs.replace(letter, topic=f"{letter.topic}@{self._era}") for letter in dead]
        self._store.dead_letters.insert(dead)
        for letter in dead:
            metrics.DEAD.labels(letter.stage).inc()

    def came(self, kind: type, messages: Mapping[str, Raw]) -> None:
        """Note how the records of a batch came, by id: a step may fail at one of them."""
        self._came_as[kind] = messages

    def is_a_records_fault(self, error: Exception) -> bool:
        """Whether a step may have failed at what it worked on: not where the store does not answer without it either."""
        if not (is_refusal(error) or isinstance(error, ValueError | TypeError | ArithmeticError | LookupError)):
            return False
        now = datetime.now(UTC)
        try:
            self._store.mentions.minutes([MARKET], now, now)
            self._store.alerts.last_alerts("", [MARKET], now)
            self._store.alerts.deliveries([MARKET])
        except StoreError:
            return False
        return True

    def blame(self, stage: str, blamed: Sequence[tuple[Score | Alert, Exception]], now: datetime) -> None:
        """Set records aside that a step cannot work on: with them a worker would end and begin for ever. Raises as `keep` does."""
        for record, error in blamed:
            raw = self._came_as.get(type(record), {}).get(record.id)
            if raw is None:
                raise error
            reason = f"{type(error).__name__}: {error}"
            _log.error("record set aside", stage=stage, topic=raw.topic, id=record.id, reason=reason)
            self.keep([dead_letter(raw, stage, reason, now)], raw.topic, 0)  # its message was counted when it was read


def is_refusal(error: Exception) -> bool:
    """Whether the store refused a value for good."""
    return isinstance(error, StoreError) and not isinstance(error, StoreUnavailable)


def flood_of(share: float, store: Store, now: datetime) -> Flood:
    """A flood watch that knows what was set aside lately, in whatever era. Raises StoreError."""
    recent: Counter[str] = Counter()
    for topic, count in store.dead_letters.by_topic(now - MEMORY).items():
        recent[topic.partition("@")[0]] += count
    return Flood(share, recent)
