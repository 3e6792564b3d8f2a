"""How a step bears with the store: waits until it answers again, finds the one item that is to blame, and does not crowd it."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, ParamSpec, TypeVar

from core import metrics
from core.errors import StoreUnavailable

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
P = ParamSpec("P")


class Patience(NamedTuple):
    """How to wait for a busy store: waits double from first_s to cap_s, each shortened by up to a half by chance.

    deadline_s: after so long the error is final. It must stay well under the time that Kafka grants a rebalance, because
        a worker that waits in a batch holds the rebalance up.
    """

    deadline_s: float = 30.0
    first_s: float = 0.1
    cap_s: float = 5.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def wait_for(self, step: str, action: Callable[P, ResultT], *args: P.args, **kwargs: P.kwargs) -> ResultT:
        """The result of `action(*args)`, tried again while the store is busy. Raises StoreUnavailable after the deadline, and all else at once."""
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


class Pace:
    """Leaves a step at most `share` of the time, so that what it asks of the store never crowds out those who write there.

    A turn that took t s is followed by a rest of t (1 / share - 1), at most cap_s. One thread at a time.
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
        """Rest first, if the last turn was so long or so short ago; then inside."""
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
    blame: Callable[[Exception], bool],
) -> tuple[list[tuple[ItemT, ResultT]], list[tuple[ItemT, Exception]]]:
    """Run `action` on all items; where it fails, on halves, down to the items that make it fail.

    Returns (item, result) pairs of those that went well and (item, error) pairs of those to blame, both in order.
    blame: whether an error may be an item's fault; any other is raised

    One bad item among n costs 2 log2 n calls more, a good batch none.
    """
    if not items:
        return [], []
    try:
        results = action(items)
    except Exception as error:
        if not blame(error):
            raise
        if len(items) == 1:
            return [], [(items[0], error)]
        middle = len(items) // 2
        done, blamed = isolate(items[:middle], action, blame)
        more_done, more_blamed = isolate(items[middle:], action, blame)
        return done + more_done, blamed + more_blamed
    return list(zip(items, results, strict=True)), []


def once_more(
    failed: Sequence[tuple[ItemT, Exception]], action: Callable[[Sequence[ItemT]], Sequence[ResultT]]
) -> tuple[list[tuple[ItemT, ResultT]], list[tuple[ItemT, Exception]]]:
    """Run `action` on each item that failed, alone: what it met may have been of the moment. As `isolate` returns."""
    done: list[tuple[ItemT, ResultT]] = []
    blamed: list[tuple[ItemT, Exception]] = []
    for item, _ in failed:
        try:
            done += [(item, result) for result in action([item])]
        except Exception as error:
            blamed.append((item, error))
    return done, blamed
