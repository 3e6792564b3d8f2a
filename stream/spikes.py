"""Is the number of negative stories in a window more than this series' own past explains? Pure.

Counts of stories are overdispersed (news comes in bursts), seasonal (nobody reports at night) and mostly zero. So: a negative
binomial whose mean and dispersion come from the past, with past spikes cut off, each hour of the day shrunk to the mean of all,
thin series shrunk to a floor, and a threshold that shares one false-alarm budget among all series and windows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from spine.store import WindowCount

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WEEK_S = 7 * 24 * 3600
FLOOR_PER_HOUR = 0.2
"""Negative stories an hour that any series may have: rewrites that no band ties together look like several stories."""
PRIOR_DISPERSION = 0.5
LEAST_DISPERSION = 0.1
"""Of a negative binomial. What a thin series is taken to have, and the least that is believed of any."""
PRIOR_WEIGHT = 2.0
HOUR_SHAPE = 4.0
"""Before its counts are seen an hour of the day is taken to be within about a half of the day's mean: a gamma of this shape."""
TRIM = 0.1
"""So much of the past may be wild without moving the bar by more than the cap."""
SCAN = 8.0
"""Sliding windows are looked at whenever a story comes, not once a width: that many more chances to ring by accident. Counted on
simulated Poisson series at surprise 5: 0.1 for 0.05 stories a window (counts are whole, so p jumps), 2.6 for 3, 8.0 for 10."""


class Baseline(NamedTuple):
    """What the past leads one to expect of a window: the mean count, and the dispersion of a negative binomial around it."""

    expected: float
    dispersion: float


def surprise(observed: int, expected: float, dispersion: float) -> float:
    """How unlikely `observed` or more would be by chance, as -log10 p.

    Negative binomial with mean `expected` and variance `expected + dispersion * expected**2`, Poisson at dispersion 0;
    0 when nothing was observed. Source: Hilbe (2011), Negative Binomial Regression, ch. 8.
    """
    if observed <= 0:
        return 0.0
    if expected <= 0:
        return math.inf
    if observed > expected:
        return -(_log_mass(observed, expected, dispersion) + math.log(_tail(observed, expected, dispersion))) / math.log(10)
    below = math.fsum(math.exp(_log_mass(count, expected, dispersion)) for count in range(observed))
    return max(0.0, -math.log10(max(1.0 - below, 1e-300)))


def _log_mass(count: int, expected: float, dispersion: float) -> float:
    """Natural logarithm of the probability of exactly `count`."""
    poisson = count * math.log(expected) - math.lgamma(count + 1)
    if dispersion * expected < 1e-9 and dispersion * count * count < 1e-9:
        return poisson - expected
    size = 1.0 / dispersion
    if size > 1e6:  # lgamma(count + size) - lgamma(size) would lose its digits: the product that it stands for
        rising = math.fsum(math.log1p(step * dispersion) for step in range(count))
    else:
        rising = math.lgamma(count + size) - math.lgamma(size) + count * math.log(dispersion)
    return poisson + rising - (count + size) * math.log1p(expected * dispersion)


def _tail(observed: int, expected: float, dispersion: float) -> float:
    """P(count >= observed) / P(count = observed), for observed > expected.

    The continued fraction of the incomplete beta function I_x(observed, size), by Lentz's method: Press et al. (2007), Numerical
    Recipes, 3rd ed., 6.4. size = 1 / dispersion is multiplied out, so that dispersion 0 is the Poisson.
    """
    share = expected / (1.0 + dispersion * expected)  # x * size
    below = 1.0 / (1.0 - share * (1.0 + dispersion * observed) / (observed + 1.0))
    above, total = 1.0, below
    for m in range(1, 100_000):
        even = m * share * (1.0 - dispersion * m) / ((observed - 1.0 + 2 * m) * (observed + 2 * m))
        odd = -(observed + m) * share * (1.0 + dispersion * (observed + m)) / ((observed + 2 * m) * (observed + 1.0 + 2 * m))
        for step in (even, odd):
            below = 1.0 / (1.0 + step * below)
            above = 1.0 + step / above
            total *= below * above
        if abs(below * above - 1.0) < 1e-15:
            break
    return total


def baseline(past: Sequence[WindowCount], at: datetime, width_s: int) -> Baseline:
    """What to expect of the negative stories in the window of `width_s` that starts `at`.

    past: the series' windows of the same width before it, empty ones included, in any order; without any: the floor and the prior
    """
    floor = FLOOR_PER_HOUR * width_s / 3600
    if not past:
        return Baseline(floor, PRIOR_DISPERSION)
    counts = sorted(window.negative for window in past)
    quiet = counts[: max(1, round(len(counts) * (1 - TRIM)))]
    cap = _cap(max(floor, sum(quiet) / len(quiet)))
    capped = [min(count, cap) for count in counts]
    mean = max(floor, sum(capped) / len(capped))
    expected = _of_the_hour([(window.start - at, min(window.negative, cap)) for window in past], mean)
    spread = math.fsum((count - mean) ** 2 - mean for count in capped)
    dispersion = (PRIOR_WEIGHT * PRIOR_DISPERSION + spread) / (PRIOR_WEIGHT + len(capped) * mean * mean)
    return Baseline(max(floor, expected), max(LEAST_DISPERSION, dispersion))


def _cap(mean: float) -> int:
    """The count from which on a past window is a spike (five standard deviations): it is taken for this many, however wild it was."""
    return math.ceil(mean + 5.0 * math.sqrt(mean + PRIOR_DISPERSION * mean * mean)) + 1


def _of_the_hour(past: Sequence[tuple[timedelta, int]], mean: float) -> float:
    """The mean count at this time of day, from windows within an hour of it on the days before, shrunk to `mean`.

    past: (how far from now, count). The highest day is taken for the second highest: one wild day does not raise its hour.
    """
    days: dict[int, list[int]] = {}
    for apart, count in past:
        day = round(apart / DAY)
        if abs(apart - day * DAY) <= HOUR:
            days.setdefault(day, []).append(count)
    if len(days) < 2:
        return mean
    sums = sorted(sum(counts) for counts in days.values())
    sums[-1] = sums[-2]
    return (HOUR_SHAPE + sum(sums)) / (HOUR_SHAPE / mean + sum(map(len, days.values())))


def threshold(false_per_week: float, n_series: int, width_s: int) -> float:
    """The surprise that rings so seldom by chance that all series together give `false_per_week` alarms a week."""
    tests = max(1, n_series) * SCAN * WEEK_S / width_s
    return max(0.0, math.log10(tests / false_per_week))
