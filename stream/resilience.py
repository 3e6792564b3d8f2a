"""Two ways to go on after an error: wait until the store answers again, and find the one item that is to blame."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, ParamSpec, TypeVar

from spine import metrics
from spine.errors import StoreBusy

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
        """The result of `action(*args)`, tried again while the store is busy. Raises StoreBusy after the deadline, and all else at once."""
        end = self.clock() + self.deadline_s
        wait_s = self.first_s
        while True:
            try:
                return action(*args, **kwargs)
            except StoreBusy:
                if self.clock() + wait_s >= end:
                    raise
                metrics.RETRIES.labels(step).inc()
                self.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311  not a secret
                wait_s = min(2 * wait_s, self.cap_s)


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
