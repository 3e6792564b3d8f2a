"""New stories of a series, minute by minute. Pure.

A story counts once, where its first article was published: copies that follow, an hour or a day later, add nothing. So counts of
stretches of time can be added up, and any window is a difference of two sums.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """Stories of one series.

    at: starts of the minutes that had any, seconds since 1970, ascending; negative, total: how many, [len(at)]
    """

    at: IntArray
    negative: IntArray
    total: IntArray
    _sums: IntArray = field(init=False, repr=False)
    _totals: IntArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_sums", np.concatenate(([0], np.cumsum(self.negative))))
        object.__setattr__(self, "_totals", np.concatenate(([0], np.cumsum(self.total))))

    @classmethod
    def of(cls, at: ArrayLike, negative: ArrayLike, total: ArrayLike | None = None) -> Self:
        """From minutes (or moments: their minutes are taken) in any order; those named twice are added up."""
        minutes, place = np.unique(np.asarray(at, np.int64) // MINUTE_S * MINUTE_S, return_inverse=True)
        bad = np.asarray(negative, np.int64)
        every = np.ones_like(bad) if total is None else np.asarray(total, np.int64)
        return cls(minutes, _added(place, bad, len(minutes)), _added(place, every, len(minutes)))

    def __len__(self) -> int:
        return len(self.at)

    def then(self, later: Tally) -> Tally:
        """This, and what came after all of it."""
        if not len(later):
            return self
        pairs = ((self.at, later.at), (self.negative, later.negative), (self.total, later.total))
        return Tally(*(np.concatenate(pair) for pair in pairs))

    def __add__(self, other: Tally) -> Tally:
        return Tally.of(
            np.concatenate((self.at, other.at)), np.concatenate((self.negative, other.negative)), np.concatenate((self.total, other.total))
        )

    def between(self, since: int, until: int) -> Tally:
        """The part in [since, until)."""
        part = slice(*np.searchsorted(self.at, (since, until)))
        return Tally(self.at[part], self.negative[part], self.total[part])

    def ends(self, since: int, until: int) -> list[int]:
        """The ends of the minutes that begin in [since, until) and have negative stories, ascending."""
        part = self.between(since, until)
        return [int(minute) + MINUTE_S for minute in part.at[part.negative > 0]]

    def count(self, since: ArrayLike, until: ArrayLike) -> IntArray:
        """Negative stories in each [since, until), of any shape."""
        found: IntArray = self._sums[np.searchsorted(self.at, until)] - self._sums[np.searchsorted(self.at, since)]
        return found

    def count_all(self, since: ArrayLike, until: ArrayLike) -> IntArray:
        """All stories in each [since, until), of any shape."""
        found: IntArray = self._totals[np.searchsorted(self.at, until)] - self._totals[np.searchsorted(self.at, since)]
        return found

    def binned(self, first: int, last: int, width_s: int) -> tuple[IntArray, IntArray]:
        """Negative and all stories of each stretch of width_s of [first, last), counted since 1970."""
        part = self.between(first * width_s, last * width_s)
        place = part.at // width_s - first
        return _added(place, part.negative, last - first), _added(place, part.total, last - first)


def _added(place: NDArray[np.intp] | IntArray, amount: IntArray, size: int) -> IntArray:
    return np.bincount(place, weights=amount, minlength=size).astype(np.int64)


EMPTY = Tally.of([], [])
