from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import metrics
from core.errors import StoreError, StoreUnavailable
from storage.store import Store
from stream.retry import DutyCycle, RetryPolicy, isolate, retrying
from tests.helpers.strategies import examples


class Clock:
    """Time that passes only during `sleep`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def fail(error: Exception) -> None:
    raise error


@given(st.lists(st.integers(0, 99), unique=True, max_size=40), st.sets(st.integers(0, 99)))
def test_isolate_finds_exactly_the_bad_items(items: list[int], bad: set[int]):
    def double(some: Sequence[int]) -> list[int]:
        if bad.intersection(some):
            raise ValueError("bad")
        return [2 * item for item in some]

    done, failed = isolate(items, double, lambda error: isinstance(error, ValueError))
    assert done == [(item, 2 * item) for item in items if item not in bad]
    assert [item for item, _ in failed] == [item for item in items if item in bad]


def test_isolate_raises_an_error_that_no_item_causes():
    def busy(_some: Sequence[int]) -> list[int]:
        raise StoreUnavailable("down")

    with pytest.raises(StoreUnavailable):
        isolate([1, 2], busy, lambda error: not isinstance(error, StoreUnavailable))


def test_retries_back_off_exponentially_until_the_deadline():
    clock = Clock()
    with pytest.raises(StoreUnavailable):
        RetryPolicy(deadline_s=30, first_s=0.1, cap_s=5, sleep=clock.sleep, clock=clock).call("x", fail, StoreUnavailable("down"))
    assert 20 < clock.now <= 30
    assert all(0.05 <= wait <= 5 for wait in clock.slept)
    assert sum(clock.slept[:3]) < 0.8 < clock.slept[-1]


def test_a_permanent_error_is_raised_at_once():
    clock = Clock()
    with pytest.raises(ValueError, match="bad"):
        RetryPolicy(sleep=clock.sleep, clock=clock).call("x", fail, ValueError("bad"))
    assert clock.slept == []


class FlakyTable:
    """A table whose first `failures` calls fail."""

    limit = 7

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures, self.error = failures, error
        self.calls: list[tuple[object, ...]] = []

    def insert(self, *args: object, more: int = 0) -> int:
        self.calls.append((*args, more))
        if len(self.calls) <= self.failures:
            raise self.error
        return len(self.calls)


def test_a_retrying_store_repeats_calls_of_its_tables_and_counts_them():
    clock, table = Clock(), FlakyTable(2, StoreUnavailable("down"))
    store = retrying(cast("Store", SimpleNamespace(alerts=table)), RetryPolicy(sleep=clock.sleep, clock=clock))
    counter = metrics.RETRIES.labels("alerts.insert")
    before = counter._value.get()
    assert store.alerts.insert("a", more=1) == 3  # type: ignore[arg-type,call-arg,func-returns-value]
    assert table.calls == [("a", 1)] * 3
    assert counter._value.get() - before == len(clock.slept) == 2


def test_a_retrying_store_repeats_its_own_methods_and_raises_other_errors():
    clock, table = Clock(), FlakyTable(1, StoreUnavailable("down"))
    store = retrying(cast("Store", SimpleNamespace(retire=table.insert)), RetryPolicy(sleep=clock.sleep, clock=clock))
    assert store.retire("x") == 2  # type: ignore[arg-type,comparison-overlap]
    table.failures, table.error = 9, StoreError("no such table")
    with pytest.raises(StoreError, match="no such table"):
        store.retire("x")  # type: ignore[arg-type]


def test_a_duty_cycle_rests_in_proportion_to_its_turns_and_counts_idle_time_as_rest():
    clock = Clock()
    duty_cycle = DutyCycle(share=0.2, cap_s=2.0, sleep=clock.sleep, clock=clock)
    slept = clock.slept

    def turn(seconds: float) -> None:
        with duty_cycle.turn():
            clock.now += seconds

    turn(0.1)
    turn(0.1)
    assert slept == [pytest.approx(0.4)]
    clock.now += 0.3
    turn(5.0)
    assert slept[1:] == [pytest.approx(0.1)]
    turn(0.1)
    assert slept[2:] == [pytest.approx(2.0)]
    clock.now += 10
    turn(0.1)
    assert len(slept) == 3


@examples(100)
@given(st.integers(0, 200), st.sets(st.integers(0, 199), max_size=12))
def test_isolate_finds_bad_items_in_few_calls_and_processes_good_ones_once(number: int, bad: set[int]):
    bad = {item for item in bad if item < number}
    done: list[int] = []
    calls = 0

    def act(some: Sequence[int]) -> list[int]:
        nonlocal calls
        calls += 1
        if wrong := sorted(bad.intersection(some)):
            raise ValueError(wrong[0])
        done.extend(some)
        return [-item for item in some]

    good, failed = isolate(range(number), act, lambda error: isinstance(error, ValueError))
    assert good == [(item, -item) for item in range(number) if item not in bad]
    assert [(item, error.args[0]) for item, error in failed] == [(item, item) for item in sorted(bad)]
    assert sorted(done) == [item for item in range(number) if item not in bad]
    deep = math.ceil(math.log2(number)) if number > 1 else 0
    assert calls <= (1 + 2 * min(len(bad) * deep, number - 1) if number else 0)
