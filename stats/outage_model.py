"""Is a source silent for longer than its own past explains? Pure.

    stretches of five minutes in which it was heard ─▶ how likely each of the week is to be empty ─▶ a silence's surprise: its
        empty stretches, multiplied, as -log10 ─▶ the surprises of all its silences so far ─▶ the bar: what rings so seldom

    surprise  bar ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ╱─ rings
                         ╱╲    night     ╱╲        ╱
              ____╱╲____╱  ╲____________╱  ╲______╱       each article sets it back to 0; a night in which nobody is heard adds nothing

Whether a stretch has an article, not how many: forty in one minute are one sign of life, so bursts do not make a source look busy.
Silences come in chains all the same, which no product of odds knows; so the bar is learned from them, as in stats/extreme_value.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from stats.minute_counts import FloatArray, IntArray

STRETCH_S = 300
DAY = 288
WEEK = 7 * DAY
_HOUR_OF_DAY = np.arange(WEEK) // 12 % 24
_DAY_OF_WEEK = np.arange(WEEK) // DAY
_HOUR_OF_WEEK = np.arange(WEEK) // 12

WARM_UP = WEEK
LEAST = 10
"""A source is judged when it was followed for a week and heard in so many stretches."""
SHAPE = 12.0
"""Stretches that it takes to believe an hour of the week as much as what was foreseen for it."""
DAY_SHAPE = 4.0
"""Likewise for an hour of the day, a day of the week, and a quiet day."""
LEAST_QUIET = 0.25
"""The quietest day makes a silence so much less surprising."""
TAIL = 0.1
"""The share of the silences that tells how their tail falls."""
PRIOR_SILENCES = 10.0
THEORY_SCALE = 1.0 / math.log(10)
"""As PRIOR_PEAKS in stats/extreme_value.py."""
MARGIN = 1.15
"""The silences that a rhythm was learned from surprise it less than new ones. With this margin simulated sources (Poisson) keep the
budget: 0.18 false alarms a week where 0.25 are accepted, 0.64 without it; the odds at their word would keep it too (0.25), but make a
source that speaks on the hour wait for 7 hours where this takes 2."""
LEAST_BAR = 1.0
LEAST_SILENT = 2
"""Who was never silent yet is so after two whole stretches at the earliest."""
WILD = 2.0
"""A silence that surprises so many times more than the strongest that the others let expect was an outage: it counts for no more."""


@dataclass(frozen=True, slots=True, eq=False)
class Rhythm:
    """What is known of a source. Stretches are counted since 1970.

    first: with which its past begins
    due: stretches with an article, odds: -log10 of the chance of an empty one; both summed up over the week, [2017]
    foot, scale: the tail of its silences' surprises: each one over `foot` exceeds it by more than x with probability exp(-x / scale)
    high: silences a week over `foot`
    """

    first: int
    due: FloatArray
    odds: FloatArray
    foot: float
    scale: float
    high: float

    def bar(self, per_week: float) -> float:
        """The surprise that its silences reach so often."""
        return max(LEAST_BAR, MARGIN * (self.foot + self.scale * math.log(max(1.0, self.high / per_week))))

    def surprise(self, last: ArrayLike, until: ArrayLike) -> FloatArray:
        """Of the silence from `last`, in which it was heard, to `until`, in which it may yet be: both are left out. On a usual day."""
        begin = np.asarray(last, np.int64) + 1
        return _between(self.odds, begin, np.maximum(begin, until))

    def quiet(self, heard: IntArray, last: ArrayLike) -> FloatArray:
        """How much of what was due in the day that ends with `last` came, in [LEAST_QUIET, 1]: a holiday's silence says less.

        The mean of a gamma posterior, as in stats/seasonal_baseline.py.
        """
        end = np.asarray(last, np.int64) + 1
        since = np.maximum(end - DAY, np.minimum(end, self.first))
        seen = np.searchsorted(heard, end) - np.searchsorted(heard, since)
        return np.clip((DAY_SHAPE + seen) / (DAY_SHAPE + _between(self.due, since, end)), LEAST_QUIET, 1.0)

    def reached(self, last: int, surprise: float) -> int:
        """The first stretch at which a silence since `last` has this surprise."""
        week, place = divmod(last + 1, WEEK)
        whole = float(self.odds[-1])  # over 0: no share is
        more, rest = divmod(float(self.odds[place]) + surprise, whole)
        return (week + int(more)) * WEEK + int(np.searchsorted(self.odds, rest))


def rhythm(heard: IntArray, last: int, reach: int) -> Rhythm | None:
    """What the stretches in `heard` (ascending) before `last` tell, at most `reach` of them back. None: too little is known."""
    if not len(heard):
        return None
    first = max(last - reach, int(heard[0]))
    own = heard[slice(*np.searchsorted(heard, (first, last)))]
    if last - first < WARM_UP or len(own) < LEAST:
        return None
    share = _shares(own, first, last)
    due, odds = _sums(share), _sums(-np.log10(1.0 - share))
    weeks = (last - first) / WEEK
    begins = own[:-1][np.diff(own) > 1]
    known = Rhythm(first, due, odds, 0.0, 0.0, 0.0)
    ends = own[1:][np.diff(own) > 1]
    foot, scale, number = _tail(known.surprise(begins, ends) * known.quiet(own, begins))
    return Rhythm(first, due, odds, foot, scale, number / weeks)


def _shares(own: IntArray, first: int, last: int) -> FloatArray:
    """How likely each stretch of the week is to have an article, [2016], in (0, 1).

    All stretches, corrected by hours of the day, then days of the week, then hours of the week, each as far as it was seen. Shares are
    means of beta posteriors: Gelman et al. (2013), Bayesian Data Analysis, 3rd ed., 2.4.
    """
    heard = np.zeros(last - first)
    heard[own - first] = 1.0
    week = np.arange(first, last) % WEEK
    share = np.full(WEEK, (len(own) + 0.5) / (last - first + 1.0))
    share = _shrunk(share, heard, week, _HOUR_OF_DAY, DAY_SHAPE)
    seen = np.bincount(_DAY_OF_WEEK[week], weights=heard, minlength=7)
    foreseen = np.bincount(_DAY_OF_WEEK[week], weights=share[week], minlength=7)
    share = 1.0 - (1.0 - share) ** ((DAY_SHAPE + seen) / (DAY_SHAPE + foreseen))[_DAY_OF_WEEK]
    return _shrunk(share, heard, week, _HOUR_OF_WEEK, SHAPE)


def _shrunk(share: FloatArray, heard: FloatArray, week: IntArray, group: IntArray, shape: float) -> FloatArray:
    """`share` [2016] drawn to what was seen of its group [2016]. heard, week: [stretches of the past]"""
    number = int(group.max()) + 1
    seen, known = (np.bincount(group[week], weights=weights, minlength=number) for weights in (heard, None))
    found: FloatArray = (shape * share + seen[group]) / (shape + known[group])
    return found


def _tail(surprises: FloatArray) -> tuple[float, float, int]:
    """Foot, scale and number of the silences in the tail. Source: as stats/extreme_value.py (peaks over a threshold)."""
    strongest = np.sort(surprises)[::-1]
    most = min(len(strongest), max(2, math.ceil(TAIL * len(strongest))))
    if not most:
        return 0.0, THEORY_SCALE, 1  # one may come any time
    foot = float(strongest[min(most, len(strongest) - 1)])
    excess = strongest[:most] - foot
    usual = max(THEORY_SCALE, float(np.median(excess)) / math.log(2))
    excess = np.minimum(excess, WILD * usual * math.log(most + 1))
    return foot, (PRIOR_SILENCES * THEORY_SCALE + float(excess.sum())) / (PRIOR_SILENCES + most), most


def _sums(amounts: FloatArray) -> FloatArray:
    return np.concatenate(([0.0], np.cumsum(amounts)))


def _between(sums: FloatArray, since: IntArray, until: IntArray) -> FloatArray:
    """The sum over the stretches [since, until)."""
    found: FloatArray = (until // WEEK - since // WEEK) * sums[-1] + sums[until % WEEK] - sums[since % WEEK]
    return found
