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
    tone: the sum of their tones, in 1/10,000, [len(at)]
    """

    at: IntArray
    negative: IntArray
    total: IntArray
    tone: IntArray
    _sums: IntArray = field(init=False, repr=False)
    _totals: IntArray = field(init=False, repr=False)
    _tones: IntArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_sums", np.concatenate(([0], np.cumsum(self.negative))))
        object.__setattr__(self, "_totals", np.concatenate(([0], np.cumsum(self.total))))
        object.__setattr__(self, "_tones", np.concatenate(([0], np.cumsum(self.tone))))

    @classmethod
    def of(cls, at: ArrayLike, negative: ArrayLike, total: ArrayLike | None = None, tone: ArrayLike | None = None) -> Self:
        """From minutes (or moments: their minutes are taken) in any order; those named twice are added up.

        total: one story each where it is not given; tone: 0
        """
        minutes, place = np.unique(np.asarray(at, np.int64) // MINUTE_S * MINUTE_S, return_inverse=True)
        bad = np.asarray(negative, np.int64)
        every = np.ones_like(bad) if total is None else np.asarray(total, np.int64)
        tones = np.zeros_like(bad) if tone is None else np.asarray(tone, np.int64)
        return cls(minutes, *(_added(place, each, len(minutes)) for each in (bad, every, tones)))

    def __len__(self) -> int:
        return len(self.at)

    def then(self, later: Tally) -> Tally:
        """This, and what came after all of it."""
        if not len(later):
            return self
        return Tally(*self._joined(later))

    def __add__(self, other: Tally) -> Tally:
        return Tally.of(*self._joined(other))

    def _joined(self, other: Tally) -> list[IntArray]:
        pairs = ((self.at, other.at), (self.negative, other.negative), (self.total, other.total), (self.tone, other.tone))
        return [np.concatenate(pair) for pair in pairs]

    def between(self, since: int, until: int) -> Tally:
        """The part in [since, until)."""
        part = slice(*np.searchsorted(self.at, (since, until)))
        return Tally(self.at[part], self.negative[part], self.total[part], self.tone[part])

    def ends(self, since: int, until: int) -> list[int]:
        """The ends of the minutes that begin in [since, until) and have negative stories, ascending."""
        part = self.between(since, until)
        return [int(minute) + MINUTE_S for minute in part.at[part.negative > 0]]

    def told(self, since: int, until: int) -> list[int]:
        """The ends of the minutes that begin in [since, until) and have any stories, ascending."""
        return [int(minute) + MINUTE_S for minute in self.between(since, until).at]

    def count(self, since: ArrayLike, until: ArrayLike) -> IntArray:
        """Negative stories in each [since, until), of any shape."""
        found: IntArray = self._sums[np.searchsorted(self.at, until)] - self._sums[np.searchsorted(self.at, since)]
        return found

    def count_all(self, since: ArrayLike, until: ArrayLike) -> IntArray:
        """All stories in each [since, until), of any shape."""
        found: IntArray = self._totals[np.searchsorted(self.at, until)] - self._totals[np.searchsorted(self.at, since)]
        return found

    def tones(self, since: ArrayLike, until: ArrayLike) -> IntArray:
        """The sum of the tones of all stories in each [since, until), of any shape, in 1/10,000."""
        found: IntArray = self._tones[np.searchsorted(self.at, until)] - self._tones[np.searchsorted(self.at, since)]
        return found

    def binned(self, first: int, last: int, width_s: int) -> tuple[IntArray, IntArray]:
        """Negative and all stories of each stretch of width_s of [first, last), counted since 1970."""
        part = self.between(first * width_s, last * width_s)
        place = part.at // width_s - first
        return _added(place, part.negative, last - first), _added(place, part.total, last - first)


def _added(place: NDArray[np.intp] | IntArray, amount: IntArray, size: int) -> IntArray:
    return np.bincount(place, weights=amount, minlength=size).astype(np.int64)


EMPTY = Tally.of([], [])
