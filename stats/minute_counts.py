"""New stories of a series per minute, as sorted arrays with running sums. Pure.

A story counts once, in the minute in which its first article was published; later copies add nothing. Counts of adjacent intervals can
therefore be added, and the count of any window is the difference of two running sums.
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
class StoryCounts:
    """Stories of one series per minute.

    Attributes:
        at: Starts of the minutes that have stories, seconds since 1970, ascending, [n].
        negative: Negative stories of each of these minutes, [n].
        total: All stories of each of these minutes, [n].
        tone: Sum of the stories' tones in units of 1/10,000, [n].
    """

    at: IntArray
    negative: IntArray
    total: IntArray
    tone: IntArray
    _negative_sums: IntArray = field(init=False, repr=False)
    _total_sums: IntArray = field(init=False, repr=False)
    _tone_sums: IntArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_negative_sums", np.concatenate(([0], np.cumsum(self.negative))))
        object.__setattr__(self, "_total_sums", np.concatenate(([0], np.cumsum(self.total))))
        object.__setattr__(self, "_tone_sums", np.concatenate(([0], np.cumsum(self.tone))))

    @classmethod
    def of(cls, at: ArrayLike, negative: ArrayLike, total: ArrayLike | None = None, tone: ArrayLike | None = None) -> Self:
        """Build counts from moments in any order; moments of the same minute are added up.

        Args:
            at: Seconds since 1970, [n]; rounded down to the minute.
            negative: Negative stories of each moment, [n].
            total: All stories of each moment, [n]; 1 each where it is None.
            tone: Sum of tones in 1/10,000, [n]; 0 where it is None.
        """
        minutes, place = np.unique(np.asarray(at, np.int64) // MINUTE_S * MINUTE_S, return_inverse=True)
        bad = np.asarray(negative, np.int64)
        every = np.ones_like(bad) if total is None else np.asarray(total, np.int64)
        tones = np.zeros_like(bad) if tone is None else np.asarray(tone, np.int64)
        return cls(minutes, *(_sum_by_place(place, each, len(minutes)) for each in (bad, every, tones)))

    def __len__(self) -> int:
        return len(self.at)

    def then(self, later: StoryCounts) -> StoryCounts:
        """These counts followed by `later`, all of whose minutes come after them."""
        if not len(later):
            return self
        return StoryCounts(*self._joined(later))

    def __add__(self, other: StoryCounts) -> StoryCounts:
        return StoryCounts.of(*self._joined(other))

    def _joined(self, other: StoryCounts) -> list[IntArray]:
        pairs = ((self.at, other.at), (self.negative, other.negative), (self.total, other.total), (self.tone, other.tone))
        return [np.concatenate(pair) for pair in pairs]

    def between(self, since: int, until: int) -> StoryCounts:
        """The counts of the minutes that begin in [since, until)."""
        part = slice(*np.searchsorted(self.at, (since, until)))
        return StoryCounts(self.at[part], self.negative[part], self.total[part], self.tone[part])

    def negative_minute_ends(self, since: int, until: int) -> list[int]:
        """Ends of the minutes that begin in [since, until) and have negative stories, ascending."""
        part = self.between(since, until)
        return [int(minute) + MINUTE_S for minute in part.at[part.negative > 0]]

    def minute_ends(self, since: int, until: int) -> list[int]:
        """Ends of the minutes that begin in [since, until) and have any stories, ascending."""
        return [int(minute) + MINUTE_S for minute in self.between(since, until).at]

    def count(self, since: ArrayLike, until: ArrayLike) -> IntArray:
        """Negative stories in each [since, until); arrays of any shape."""
        return self._difference(self._negative_sums, since, until)

    def count_all(self, since: ArrayLike, until: ArrayLike) -> IntArray:
        """All stories in each [since, until); arrays of any shape."""
        return self._difference(self._total_sums, since, until)

    def tone_sum(self, since: ArrayLike, until: ArrayLike) -> IntArray:
        """Sum of the tones of all stories in each [since, until), in 1/10,000; arrays of any shape."""
        return self._difference(self._tone_sums, since, until)

    def _difference(self, sums: IntArray, since: ArrayLike, until: ArrayLike) -> IntArray:
        found: IntArray = sums[np.searchsorted(self.at, until)] - sums[np.searchsorted(self.at, since)]
        return found

    def binned(self, first: int, last: int, width_s: int) -> tuple[IntArray, IntArray]:
        """Negative and all stories per bin of `width_s`, for the bins [first, last) counted since 1970; two arrays [last - first]."""
        part = self.between(first * width_s, last * width_s)
        place = part.at // width_s - first
        return _sum_by_place(place, part.negative, last - first), _sum_by_place(place, part.total, last - first)


def _sum_by_place(place: NDArray[np.intp] | IntArray, amount: IntArray, size: int) -> IntArray:
    return np.bincount(place, weights=amount, minlength=size).astype(np.int64)


EMPTY = StoryCounts.of([], [])
