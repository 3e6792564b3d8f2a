"""Wilson's score interval of a proportion.

Sources: Wilson (1927), "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22; recommended by Brown, Cai and
DasGupta (2001), "Interval Estimation for a Binomial Proportion". Difference of two proportions: Newcombe (1998), "Interval Estimation for
the Difference between Independent Proportions", Statistics in Medicine 17, method 10.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

Z_95 = 1.959964
"""97.5 % quantile of the standard normal distribution."""


class Interval(NamedTuple):
    """A proportion with its bounds, each in [0, 1], or a difference of proportions, in [-1, 1]."""

    share: float
    low: float
    high: float


def wilson(hits: float, n: float, z: float = Z_95) -> Interval:
    """The proportion hits / n with its score interval, 95 % by default.

    Args:
        hits: Number of successes.
        n: Number of trials, over 0.
        z: Quantile of the standard normal distribution.

    Raises:
        ZeroDivisionError: `n` is 0.
    """
    share, square = hits / n, z * z
    centre = share + square / (2 * n)
    half = z * sqrt(share * (1 - share) / n + square / (4 * n * n))
    # the bound is known exactly when all or none succeed: rounding must not move it
    low = 0.0 if hits == 0 else (centre - half) / (1 + square / n)
    high = 1.0 if hits == n else (centre + half) / (1 + square / n)
    return Interval(share, low, high)


def difference(one: tuple[float, float], other: tuple[float, float], z: float = Z_95) -> Interval:
    """The difference of two independent proportions, one - other, with Newcombe's interval from their score intervals.

    Args:
        one, other: Number of successes and number of trials, over 0.
        z: Quantile of the standard normal distribution.

    Raises:
        ZeroDivisionError: A number of trials is 0.
    """
    first, second = wilson(*one, z), wilson(*other, z)
    apart = first.share - second.share
    below = sqrt((first.share - first.low) ** 2 + (second.high - second.share) ** 2)
    above = sqrt((first.high - first.share) ** 2 + (second.share - second.low) ** 2)
    return Interval(apart, apart - below, apart + above)


def wilson_bounds(hits: float, n: float) -> tuple[float, float]:
    """Bounds of the 95 % interval of hits / n; (0, 1) where `n` is 0."""
    if n <= 0:
        return 0.0, 1.0
    found = wilson(hits, n)
    return found.low, found.high
