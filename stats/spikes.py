"""Is the number of negative stories in a window more than this series' own past explains? Pure.

Counts of stories are overdispersed (news comes in bursts), seasonal (nobody reports at night) and mostly zero. So: a negative
binomial whose mean and dispersion come from the past (seasonal_baseline.py). A crisis may take minutes or a day to show, so windows of
several widths that end with the newest story are judged, and the one that surprises most speaks for the moment. How much surprise
rings a bell is stats/extreme_value.py's to say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from stats.minute_counts import HOUR_S, Tally
from stats.seasonal_baseline import Baseline, between, floor, reaches

WIDTHS_S = (900, 3_600, 14_400, 43_200, 86_400)
"""A flash crash, an hour, a morning, a day that gets worse and worse. Seconds."""
PAST_WIDTHS = 7
"""A window is judged when its past is this many times as long: it takes so long to know a day's rhythm, and a week's."""
BUSY_SHAPE = 2.0
"""So many stories that are not negative it takes to believe that a series is simply busy."""


class Spike(NamedTuple):
    """The window of width_s that ends at `end` (seconds since 1970): negative stories seen and expected, and the surprise.

    expected, dispersion: of the negative binomial by which `observed` or more are 10 ** -surprise likely
    """

    end: int
    width_s: int
    observed: int
    expected: float
    dispersion: float
    surprise: float


def spikes(
    tally: Tally,
    usual: Baseline,
    end: int,
    widths_s: Sequence[int],
    *,
    silences: Sequence[tuple[int, int]] = (),
    least: int = 1,
    ratio: float = 1.0,
) -> list[Spike]:
    """The windows that end at `end`, the most surprising first, of those with `least` stories and `ratio` times as many as expected.

    Where a series has more of all stories than usual, more negative ones are expected: a busy day is not a bad one.
    """
    found: list[Spike] = []
    for width_s in widths_s:
        observed = int(tally.count(end - width_s, end))
        if observed < least:
            continue
        since = reaches(silences, end - width_s, end)
        others = int(tally.count_all(end - width_s, end)) - observed
        busy = max(1.0, (BUSY_SHAPE + others) / (BUSY_SHAPE + float(between(usual.others, since, end))))
        expected = max(busy * float(between(usual.negative, since, end)), floor(width_s / HOUR_S))
        if observed < ratio * expected:
            continue
        dispersion = usual.dispersion[max(1, width_s // HOUR_S)]
        strength = surprise(observed, expected, dispersion)
        found.append(Spike(end, width_s, observed, expected, dispersion, strength))
    return sorted(found, key=lambda spike: -spike.surprise)


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
