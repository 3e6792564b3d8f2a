"""What is usual for a series or a source at each hour of the week, from stats/seasonal_baseline.py. Pure.

    stories per minute of the series and the feed ─▶ BaselineFitter, as of the last hour of a window ─▶ band of a chart (`usual_bands`)
    counts per hour or wider ─▶ fit_rates ─▶ means and variances of any windows (`UsualRate`): movers, sources

The mean of a chart's band and the "expected" of an alert are therefore the same number for the same window (docs/detection.md). An alert
adds what a chart cannot know in advance: an unusually busy day, a backlog after an outage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from stats.minute_counts import HOUR_S, FloatArray, IntArray, StoryCounts
from stats.seasonal_baseline import BIN_S, BINS_PER_WEEK, BaselineFitter, fit_rates

PAST = timedelta(weeks=4)
"""Training data of a baseline: the default of the setting alert_history_days."""
PAST_READ = PAST + timedelta(days=2)
"""How far before a chart its counts are read: the training data, the lag of the baseline, and a day."""
MIN_PAST = timedelta(days=2)
"""With less than this nothing is shown."""
OUTLIERS = 0.02
"""Share of the past windows, those furthest off, that do not count for the dispersion of a UsualRate."""
MAX_DISPERSION = 4.0
Z_95 = 1.96
"""Half-width of a band in standard deviations. In simulations 95 of 100 windows lie in it, 90 where the dispersion is 1."""


class Usual(NamedTuple):
    """Negative stories to expect in a window: the mean, and the band that most windows lie in."""

    low: float
    mean: float
    high: float


def step_of(width_s: int) -> int:
    """Width of the windows that a UsualRate is fitted to, for a chart whose windows are `width_s` wide."""
    return max(HOUR_S, width_s)


def make_fitter(width_s: int) -> BaselineFitter:
    """The fitter of charts whose windows are `width_s` wide."""
    return BaselineFitter(PAST.total_seconds(), (max(1, width_s // HOUR_S),))


def usual_bands(
    counts: StoryCounts, market: StoryCounts, starts: Sequence[datetime], width_s: int, now: datetime, fitter: BaselineFitter | None = None
) -> list[Usual]:
    """The band of each window of a chart.

    Args:
        counts: Stories of the series, from PAST_READ before the first window on.
        market: All stories of the feed, likewise.
        starts: Starts of the windows, ascending.
        width_s: Width of the windows in seconds.
        now: No later story is known.
        fitter: As `make_fitter` returns it, used for this series only; keeps the fits of earlier calls.

    Returns:
        One band for each window; [] where the feed was followed for less than MIN_PAST.
    """
    if not starts or len(market) == 0 or starts[0].timestamp() - int(market.at[0]) < MIN_PAST.total_seconds():
        return []
    width_h, last = max(1, width_s // HOUR_S), int(now.timestamp()) // HOUR_S
    fitter = fitter or make_fitter(width_s)
    bands = []
    for start in starts:
        since = int(start.timestamp())
        _, baseline = fitter.fit("", counts, market, min((since + width_s - 1) // HOUR_S, last))
        mean = float(baseline.expected_negative(since, since + width_s))
        reach = Z_95 * math.sqrt(mean + baseline.dispersion[width_h] * mean * mean)
        bands.append(Usual(max(0.0, mean - reach), mean, mean + reach))
    return bands


class UsualRate(NamedTuple):
    """Any count to expect at each hour of the week.

    Attributes:
        rates: Per quarter of an hour of the week, [672].
        step_s: Width of the windows that it was fitted to, in seconds.
        dispersion: Negative binomial dispersion of these windows.
    """

    rates: FloatArray
    step_s: int
    dispersion: float

    def mean_and_variance(self, starts: FloatArray, widths_s: FloatArray | float) -> tuple[FloatArray, FloatArray]:
        """Mean and variance of each [start, start + width); the rate is constant within an hour.

        Args:
            starts: Seconds since 1970, [n].
            widths_s: Seconds, [n] or the same for all.
        """
        sums = np.concatenate(([0.0], np.cumsum(self.rates)))
        ends = starts + widths_s
        weeks = [np.divmod(moments, BINS_PER_WEEK * BIN_S) for moments in (starts, ends)]
        upto = [whole * sums[-1] + np.interp(rest / BIN_S, np.arange(BINS_PER_WEEK + 1), sums) for whole, rest in weeks]
        means: FloatArray = upto[1] - upto[0]
        return means, means + self.dispersion * means**2


def fit_usual_rate(begins: Sequence[int], counts: Sequence[int], since: datetime, until: datetime, step_s: int) -> UsualRate | None:
    """The usual rate of the counts of [since, until).

    Args:
        begins: Starts of windows of `step_s`, seconds since 1970, in any order; windows that are left out had no count.
        counts: Counts of these windows.
        since, until: The training data.
        step_s: Width of the windows, whole quarters of an hour.

    Returns:
        None where the past is shorter than MIN_PAST.
    """
    first, last = -(-int(since.timestamp()) // step_s), int(until.timestamp()) // step_s
    if last - first < MIN_PAST.total_seconds() / step_s:
        return None
    seen = np.zeros(last - first)
    at = np.asarray(begins, np.int64) // step_s - first
    inside = (at >= 0) & (at < last - first)
    seen[at[inside]] = np.asarray(counts, np.float64)[inside]
    bins = step_s // BIN_S
    index: IntArray = np.arange(first * bins, last * bins) % BINS_PER_WEEK
    level = np.full(BINS_PER_WEEK, seen.mean() / bins)
    rates = fit_rates(np.repeat(seen / bins, bins), np.ones(len(index)), index, level)
    return UsualRate(rates, step_s, _dispersion(seen, rates[index].reshape(-1, bins).sum(axis=1)))


def _dispersion(counts: FloatArray, means: FloatArray) -> float:
    """Negative binomial dispersion by moments, without the OUTLIERS: variance = mean + dispersion * mean²."""
    excess = (counts - means) ** 2 - means
    kept = np.lexsort((means, excess))[: math.ceil(len(counts) * (1 - OUTLIERS))]
    scale = float((means[kept] ** 2).sum())
    return min(MAX_DISPERSION, max(0.0, float(excess[kept].sum()) / scale)) if scale else 0.0
