"""Spikes: windows with more negative stories than the series' baseline predicts. Pure.

Counts of stories are overdispersed (news comes in bursts), seasonal (few report at night) and mostly zero. They are modelled as negative
binomial with mean and dispersion from the baseline (stats/seasonal_baseline.py). A crisis may take minutes or a day to show, so windows of
several widths that end at the same moment are tested, and the most surprising one is reported. How much surprise raises an alert is decided
by stats/extreme_value.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from stats.minute_counts import HOUR_S, StoryCounts
from stats.seasonal_baseline import SeasonalBaseline, catch_up_start, floor, rate_sum

WIDTHS_S = (900, 3_600, 14_400, 43_200, 86_400)
"""Widths of the windows in seconds: from a flash crash to a day that gets worse and worse."""
PAST_WIDTHS = 7
"""A window is tested when the known past is this many times as long: a day's profile takes a week to learn."""
BUSY_SHAPE = 2.0
"""Prior weight, in stories that are not negative, of the assumption that a series is no busier than usual."""


class Spike(NamedTuple):
    """A window and its surprise.

    Attributes:
        end: End of the window, seconds since 1970.
        width_s: Width of the window in seconds.
        observed: Negative stories in the window.
        expected: Mean of the negative binomial.
        dispersion: Dispersion of the negative binomial.
        surprise: -log10 of the probability of `observed` or more.
    """

    end: int
    width_s: int
    observed: int
    expected: float
    dispersion: float
    surprise: float


def find_spikes(
    counts: StoryCounts,
    baseline: SeasonalBaseline,
    end: int,
    widths_s: Sequence[int],
    *,
    outages: Sequence[tuple[int, int]] = (),
    min_stories: int = 1,
    min_ratio: float = 1.0,
) -> list[Spike]:
    """Windows with too many negative stories, the most surprising first.

    Where a series has more stories of all kinds than usual, more negative ones are expected: a busy day is not a bad one.

    Args:
        counts: Stories of the series.
        baseline: What to expect of it.
        end: End of all windows, seconds since 1970.
        widths_s: Widths of the windows in seconds.
        outages: Outages of the feed, as FeedActivity.outages returns them; what arrives after one is compared with all of that time.
        min_stories: Least negative stories of a window.
        min_ratio: Least ratio of observed to expected stories.
    """
    found: list[Spike] = []
    for width_s in widths_s:
        observed = int(counts.count(end - width_s, end))
        if observed < min_stories:
            continue
        since = catch_up_start(outages, end - width_s, end)
        others = int(counts.count_all(end - width_s, end)) - observed
        busy = max(1.0, (BUSY_SHAPE + others) / (BUSY_SHAPE + float(rate_sum(baseline.others, since, end))))
        expected = max(busy * float(rate_sum(baseline.negative, since, end)), floor(width_s / HOUR_S))
        if observed < min_ratio * expected:
            continue
        dispersion = baseline.dispersion[max(1, width_s // HOUR_S)]
        found.append(Spike(end, width_s, observed, expected, dispersion, surprise(observed, expected, dispersion)))
    return sorted(found, key=lambda spike: -spike.surprise)


def surprise(observed: int, expected: float, dispersion: float) -> float:
    """-log10 of the probability of `observed` or more stories by chance.

    Negative binomial with mean `expected` and variance `expected + dispersion * expected**2`, Poisson at dispersion 0.
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
    if size > 1e6:  # lgamma(count + size) - lgamma(size) loses its digits: the product instead
        rising = math.fsum(math.log1p(step * dispersion) for step in range(count))
    else:
        rising = math.lgamma(count + size) - math.lgamma(size) + count * math.log(dispersion)
    return poisson + rising - (count + size) * math.log1p(expected * dispersion)


def _tail(observed: int, expected: float, dispersion: float) -> float:
    """P(count >= observed) / P(count = observed), for observed > expected.

    The continued fraction of the incomplete beta function I_x(observed, size), by Lentz's method: Press et al. (2007), Numerical
    Recipes, 3rd ed., 6.4. size = 1 / dispersion is multiplied out, so that dispersion 0 gives the Poisson.
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
