"""Retries of store calls, a limit on their share of time, and the search for the item that makes a batch fail."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

from core import metrics
from core.errors import StoreUnavailable
from storage.store import MentionTable, Store

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
P = ParamSpec("P")


class RetryPolicy(NamedTuple):
    """Exponential backoff with jitter: waits double from first_s to cap_s, each shortened by up to a half at random.

    Attributes:
        deadline_s: after so long the error is final. It must stay well under Kafka's rebalance timeout: a worker that waits
            inside a batch holds up the rebalance.
        first_s: first wait, seconds
        cap_s: longest wait, seconds
    """

    deadline_s: float = 30.0
    first_s: float = 0.1
    cap_s: float = 5.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def call(self, step: str, action: Callable[P, ResultT], *args: P.args, **kwargs: P.kwargs) -> ResultT:
        """Call `action(*args, **kwargs)` and repeat it while it raises StoreUnavailable.

        Args:
            step: label of the metric tocsin_retries_total

        Raises:
            StoreUnavailable: after the deadline
            Exception: any other error of `action`, at once
        """
        end = self.clock() + self.deadline_s
        wait_s = self.first_s
        while True:
            try:
                return action(*args, **kwargs)
            except StoreUnavailable:
                if self.clock() + wait_s >= end:
                    raise
                metrics.RETRIES.labels(step).inc()
                self.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311  not a secret
                wait_s = min(2 * wait_s, self.cap_s)


class RetryingStore:
    """A proxy of a Store: each call of a method of the store or of one of its tables goes through a RetryPolicy.

    `store.alerts.insert(x)` is repeated while the store is unavailable, with the step label "alerts.insert". Use `retrying`
    to get one that the type checker treats as the Store itself. A table that a method returns (`mentions.counting`) is a proxy too.
    """

    def __init__(self, target: Any, policy: RetryPolicy, prefix: str = "") -> None:
        self._target, self._policy, self._prefix = target, policy, prefix

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        step = self._prefix + name
        if not callable(found):
            return RetryingStore(found, self._policy, f"{step}.")

        def call(*args: Any, **kwargs: Any) -> Any:
            result = self._policy.call(step, found, *args, **kwargs)
            return RetryingStore(result, self._policy, self._prefix) if isinstance(result, MentionTable) else result

        return call


def retrying(store: Store, policy: RetryPolicy) -> Store:
    """`store` with a retry around every call."""
    return cast("Store", RetryingStore(store, policy))


class DutyCycle:
    """Limits a step to a share of the time, so that its queries do not crowd out those who write to the store.

    After a turn of t seconds it rests for t (1 / share - 1), at most cap_s. For one thread.
    """

    def __init__(
        self,
        share: float = 0.2,
        cap_s: float = 2.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rest, self._cap_s, self._sleep, self._clock = 1.0 / share - 1.0, cap_s, sleep, clock
        self._next = clock()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Rest as long as the turn before requires, then run the body."""
        early_s = self._next - self._clock()
        if early_s > 0:
            self._sleep(early_s)
        began = self._clock()
        try:
            yield
        finally:
            now = self._clock()
            self._next = now + min(self._cap_s, self._rest * (now - began))


def isolate(
    items: Sequence[ItemT],
    action: Callable[[Sequence[ItemT]], Sequence[ResultT]],
    is_item_fault: Callable[[Exception], bool],
) -> tuple[list[tuple[ItemT, ResultT]], list[tuple[ItemT, Exception]]]:
    """Run `action` on all items; on failure bisect down to the items that cause it.

    One bad item among n costs 2 log2 n more calls, a good batch none.

    Args:
        is_item_fault: whether an error may be caused by an item; any other error is raised

    Returns:
        (item, result) pairs of the items that succeeded and (item, error) pairs of those that failed, both in order.
    """
    if not items:
        return [], []
    try:
        results = action(items)
    except Exception as error:
        if not is_item_fault(error):
            raise
        if len(items) == 1:
            return [], [(items[0], error)]
        middle = len(items) // 2
        done, failed = isolate(items[:middle], action, is_item_fault)
        more_done, more_failed = isolate(items[middle:], action, is_item_fault)
        return done + more_done, failed + more_failed
    return list(zip(items, results, strict=True)), []


def retry_each(
    failures: Sequence[tuple[ItemT, Exception]], action: Callable[[Sequence[ItemT]], Sequence[ResultT]]
) -> tuple[list[tuple[ItemT, ResultT]], list[tuple[ItemT, Exception]]]:
    """Run `action` once more on each failed item alone, as the error may have been transient. Returns what `isolate` returns."""
    done: list[tuple[ItemT, ResultT]] = []
    failed: list[tuple[ItemT, Exception]] = []
    for item, _ in failures:
        try:
            done += [(item, result) for result in action([item])]
        except Exception as error:
            failed.append((item, error))
    return done, failed
