"""Gap model: how surprising it is that a source has published nothing for a while. Pure.

    five-minute slots in which the source published ─▶ probability that each slot of the week has an article ─▶ surprise of a gap: -log10 of
        the product of its slots' probabilities of being empty ─▶ surprises of all past gaps ─▶ threshold that is exceeded rarely enough

    surprise  threshold ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─╱─ outage
                         ╱╲    night     ╱╲        ╱
              ____╱╲____╱  ╲____________╱  ╲______╱       each article resets it to 0; hours in which nobody publishes add nothing

The seasonal part has another form than the baseline of counts (stats/seasonal_baseline.py), because a gap is a run of empty slots: what
matters is whether a slot has an article, not how many, so that a burst of forty articles in a minute does not make a source look busy. Each
slot therefore has a probability (beta-binomial) where the baseline has a rate (gamma-Poisson); the shrinkage by hour of the day and hour of
the week is the baseline's. Gaps are correlated, which the product ignores, so the threshold is fitted to past gaps as in
stats/extreme_value.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from stats.extreme_value import THEORY_SCALE
from stats.minute_counts import FloatArray, IntArray
from stats.seasonal_baseline import group_sums, shrink_shares, week_groups

SLOT_S = 300
SLOTS_PER_DAY = 288
SLOTS_PER_WEEK = 7 * SLOTS_PER_DAY
_HOUR_OF_DAY, _DAY_OF_WEEK, _HOUR_OF_WEEK = week_groups(12)

MIN_PAST = SLOTS_PER_WEEK
MIN_SLOTS = 10
"""A source has a model once it was followed for a week and published in so many slots."""
HOUR_WEIGHT = 12.0
"""Weight of the prior of an hour of the week, in slots."""
DAY_WEIGHT = 4.0
"""Weight of the prior of an hour of the day, of a day of the week and of a quiet day."""
MIN_QUIET = 0.25
"""The quietest day reduces the surprise of a gap to this share."""
TAIL = 0.1
"""Share of the gaps, those with the highest surprise, to which the tail is fitted."""
PRIOR_GAPS = 10.0
"""Weight of THEORY_SCALE, in gaps."""
MARGIN = 1.15
"""The gaps to which a model was fitted have less surprise than new ones. With this margin simulated Poisson sources raise 0.18 false
alarms a week where 0.25 are accepted, and 0.64 without it. Probabilities alone would keep the budget too (0.25), but would take 7 hours
instead of 2 for a source that publishes on the hour."""
MIN_THRESHOLD = 1.0
MIN_GAP_SLOTS = 2
"""A source without gaps so far is in outage after two whole slots at the earliest."""
MAX_EXCESS = 2.0
"""A gap whose surprise exceeds the strongest one to expect by this factor was an outage, and counts for no more."""


@dataclass(frozen=True, slots=True, eq=False)
class GapModel:
    """The model of one source. Slots are counted since 1970.

    Attributes:
        first: First slot of the training data.
        due: Running sum of the probabilities of an article over the slots of the week, [2017].
        odds: Running sum of -log10 of the probabilities of an empty slot over the slots of the week, [2017].
        base, scale: Tail of the surprises of gaps: those over `base` exceed it by more than x with probability exp(-x / scale).
        tail_per_week: Gaps a week over `base`.
    """

    first: int
    due: FloatArray
    odds: FloatArray
    base: float
    scale: float
    tail_per_week: float

    def threshold(self, per_week: float) -> float:
        """The surprise that gaps of this source exceed `per_week` times a week."""
        return max(MIN_THRESHOLD, MARGIN * (self.base + self.scale * math.log(max(1.0, self.tail_per_week / per_week))))

    def surprise(self, last: ArrayLike, until: ArrayLike) -> FloatArray:
        """Surprise of the gap between the slots `last`, which has an article, and `until`, which may get one; on a usual day."""
        begin = np.asarray(last, np.int64) + 1
        return _between(self.odds, begin, np.maximum(begin, until))

    def quiet_factor(self, slots: IntArray, last: ArrayLike) -> FloatArray:
        """Articles of the day that ends with `last`, relative to what was expected, in [MIN_QUIET, 1]. On a holiday a gap says less.

        The mean of a gamma posterior, as in stats/seasonal_baseline.py.

        Args:
            slots: Slots with an article, ascending.
            last: Slots of any shape.
        """
        end = np.asarray(last, np.int64) + 1
        since = np.maximum(end - SLOTS_PER_DAY, np.minimum(end, self.first))
        seen = np.searchsorted(slots, end) - np.searchsorted(slots, since)
        return np.clip((DAY_WEIGHT + seen) / (DAY_WEIGHT + _between(self.due, since, end)), MIN_QUIET, 1.0)

    def slot_at(self, last: int, surprise: float) -> int:
        """The first slot at which a gap since the slot `last` has this surprise."""
        week, place = divmod(last + 1, SLOTS_PER_WEEK)
        whole = float(self.odds[-1])  # over 0, because every probability is
        more, rest = divmod(float(self.odds[place]) + surprise, whole)
        return (week + int(more)) * SLOTS_PER_WEEK + int(np.searchsorted(self.odds, rest))


def fit_gap_model(slots: IntArray, last: int, history: int) -> GapModel | None:
    """The model of a source.

    Args:
        slots: Slots with an article, ascending.
        last: End of the training data, exclusive.
        history: Longest training data, in slots.

    Returns:
        None where too little is known.
    """
    if not len(slots):
        return None
    first = max(last - history, int(slots[0]))
    own = slots[slice(*np.searchsorted(slots, (first, last)))]
    if last - first < MIN_PAST or len(own) < MIN_SLOTS:
        return None
    shares = _slot_probabilities(own, first, last)
    due, odds = _running_sum(shares), _running_sum(-np.log10(1.0 - shares))
    weeks = (last - first) / SLOTS_PER_WEEK
    begins, ends = own[:-1][np.diff(own) > 1], own[1:][np.diff(own) > 1]
    model = GapModel(first, due, odds, 0.0, 0.0, 0.0)
    base, scale, number = _fit_tail(model.surprise(begins, ends) * model.quiet_factor(own, begins))
    return GapModel(first, due, odds, base, scale, number / weeks)


def _slot_probabilities(own: IntArray, first: int, last: int) -> FloatArray:
    """Probability that each slot of the week has an article, in (0, 1), [2016].

    The overall share, drawn towards that of the hour of the day, then of the day of the week, then of the hour of the week.
    """
    hits = np.zeros(last - first)
    hits[own - first] = 1.0
    index = np.arange(first, last) % SLOTS_PER_WEEK
    shares = np.full(SLOTS_PER_WEEK, (len(own) + 0.5) / (last - first + 1.0))
    shares = shrink_shares(shares, hits, index, _HOUR_OF_DAY, DAY_WEIGHT)
    seen, expected = group_sums(_DAY_OF_WEEK, index, hits), group_sums(_DAY_OF_WEEK, index, shares[index])
    shares = 1.0 - (1.0 - shares) ** ((DAY_WEIGHT + seen) / (DAY_WEIGHT + expected))[_DAY_OF_WEEK]
    return shrink_shares(shares, hits, index, _HOUR_OF_WEEK, HOUR_WEIGHT)


def _fit_tail(surprises: FloatArray) -> tuple[float, float, int]:
    """Base, scale and number of the gaps in the tail. Source: as stats/extreme_value.py (peaks over threshold)."""
    strongest = np.sort(surprises)[::-1]
    most = min(len(strongest), max(2, math.ceil(TAIL * len(strongest))))
    if not most:
        return 0.0, THEORY_SCALE, 1  # no gap so far; one may come at any time
    base = float(strongest[min(most, len(strongest) - 1)])
    excess = strongest[:most] - base
    usual = max(THEORY_SCALE, float(np.median(excess)) / math.log(2))
    excess = np.minimum(excess, MAX_EXCESS * usual * math.log(most + 1))
    return base, (PRIOR_GAPS * THEORY_SCALE + float(excess.sum())) / (PRIOR_GAPS + most), most


def _running_sum(amounts: FloatArray) -> FloatArray:
    return np.concatenate(([0.0], np.cumsum(amounts)))


def _between(sums: FloatArray, since: IntArray, until: IntArray) -> FloatArray:
    """Sum over the slots [since, until)."""
    found: FloatArray = (
        (until // SLOTS_PER_WEEK - since // SLOTS_PER_WEEK) * sums[-1] + sums[until % SLOTS_PER_WEEK] - sums[since % SLOTS_PER_WEEK]
    )
    return found
