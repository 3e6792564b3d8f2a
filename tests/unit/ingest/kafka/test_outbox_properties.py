"""State-machine test: the outbox always agrees with a model of two lists in memory."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from core.errors import LocalStoreError
from core.records import Article, encode
from ingest.kafka.outbox import Outbox, SourceState
from tests.helpers.strategies import examples

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)


class Held(NamedTuple):
    """One version of an article in the model; `place` is (partition, offset) once the broker has acknowledged it."""

    number: int
    key: str
    body: bytes
    place: tuple[int, int] | None = None


class Machine(RuleBasedStateMachine):
    """State machine; durable: whether the broker keeps acknowledged messages."""

    durable = False

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "o.sqlite"
        self.box = Outbox(self.path, durable_broker=self.durable)
        self.held: list[Held] = []
        self.newest: dict[str, bytes] = {}
        self.done: set[str] = set()
        self.numbers: list[int] = []
        self.offsets = [0, 0]
        self.version = 0
        self.state = SourceState()

    def teardown(self) -> None:
        self.box.close()
        self.folder.cleanup()

    @property
    def waiting(self) -> list[Held]:
        return [held for held in self.held if held.place is None]

    def keep(self, wanted: Callable[[Held], bool]) -> int:
        """Remove the others from the model. Returns how many."""
        before = len(self.held)
        self.done |= {held.key for held in self.held if not wanted(held) and self.newest[held.key] == held.body}
        self.held = [held for held in self.held if wanted(held)]
        return before - len(self.held)

    def article(self, name: int) -> Article:
        self.version += 1
        title = f"第{self.version}版" + "涨" * (self.version % 7)
        return Article(id=f"{name:032d}", source="wire", language="zh", title=title, published_at=NOW, fetched_at=NOW)

    @initialize()
    def empty(self) -> None:
        assert not self.box.pending(1)

    @rule(names=st.lists(st.integers(0, 6), max_size=5))
    def put(self, names: list[int]) -> None:
        made = [self.article(name) for name in names]
        self.box.wake.clear()
        self.state = SourceState("e", "", float(self.version), 0)
        self.box.put(made, source="wire", state=self.state, now=NOW)
        assert self.box.wake.is_set() == bool(made)
        keys = {article.id for article in made}
        self.newest |= {article.id: encode(article) for article in made}
        self.done -= keys
        self.keep(lambda held: held.place is not None or held.key not in keys)
        fresh = self.box.pending(1_000)[len(self.waiting) :]
        assert [(row.key.decode(), row.body) for row in fresh] == [(article.id, encode(article)) for article in made]
        self.held += [Held(row.number, row.key.decode(), row.body) for row in fresh]
        self.numbers += [row.number for row in fresh]

    @rule(name=st.integers(0, 6))
    def put_fails_halfway(self, name: int) -> None:
        def broken() -> Article:
            raise LocalStoreError("the disk is full")

        with contextlib.suppress(LocalStoreError):
            self.box.put((broken() if each else self.article(name) for each in (0, 1)), source="wire", state=SourceState("lost"), now=NOW)

    @rule(chosen=st.sets(st.integers(0, 8)), partition=st.integers(0, 1))
    def acknowledge(self, chosen: set[int], partition: int) -> None:
        rows = [held for place, held in enumerate(self.waiting) if place in chosen]
        places = {held.number: (partition, self.offsets[partition] + step) for step, held in enumerate(rows)}
        self.offsets[partition] += len(rows)
        acknowledged = [(number, *place) for number, place in places.items()]
        self.box.sent(acknowledged)
        self.box.sent([*acknowledged, (10**9, 0, 0)])
        if self.durable:
            self.keep(lambda held: held.number not in places)
        else:
            self.held = [held._replace(place=places[held.number]) if held.number in places else held for held in self.held]

    @rule(committed=st.dictionaries(st.integers(0, 2), st.integers(0, 30)))
    def prune(self, committed: dict[int, int]) -> None:
        gone = self.box.prune(committed)
        assert gone == self.keep(lambda held: held.place is None or held.place[1] >= committed.get(held.place[0], 0))

    @rule()
    def rewind(self) -> None:
        again = sum(held.place is not None for held in self.held)
        assert self.box.rewind() == again
        last = {held.key: held.number for held in sorted(self.held)}
        self.held = [held._replace(place=None) for held in sorted(self.held) if last[held.key] == held.number]

    @rule(place=st.integers(0, 8))
    def discard(self, place: int) -> None:
        number = self.waiting[place].number if place < len(self.waiting) else 10**9
        self.box.discard(number)
        self.keep(lambda held: held.number != number)

    @rule()
    def open_anew(self) -> None:
        self.box.close()
        self.box = Outbox(self.path, durable_broker=self.durable)

    @invariant()
    def both_hold_the_same(self) -> None:
        assert [(row.number, row.key.decode(), row.body) for row in self.box.pending(1_000)] == [held[:3] for held in self.waiting]
        sent = [held for held in self.held if held.place is not None]
        assert self.box.counts() == (len(self.waiting), len(sent), sum(len(held.body) for held in self.held))
        assert self.box.state("wire") == self.state

    @invariant()
    def nothing_is_lost_before_it_was_acknowledged_and_the_newest_version_comes_last(self) -> None:
        for key, body in self.newest.items():
            own = [held.body for held in sorted(self.held) if held.key == key]
            assert key in self.done or own[-1] == body
        assert self.numbers == sorted(set(self.numbers)), "a number is never used again"


class DurableMachine(Machine):
    """With a broker that keeps acknowledged messages."""

    durable = True


TestOverABrokerThatForgets = Machine.TestCase
TestOverABrokerThatKeeps = DurableMachine.TestCase
TestOverABrokerThatForgets.settings = settings(examples(25), stateful_step_count=30)
TestOverABrokerThatKeeps.settings = settings(examples(10), stateful_step_count=30)
