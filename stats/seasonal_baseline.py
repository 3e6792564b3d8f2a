"""Seasonal baseline: the stories to expect in each quarter of an hour of the week, fitted to a series' past. Pure.

    weekly profile of the feed (all stories) ─▶ × level of the series ─▶ corrected by hour of day ─▶ corrected by hour of week

A thin series therefore has the profile of the feed and its own level; a busy one has its own profile. Each correction is the posterior
mean of a gamma-Poisson model, (shape + seen) / (shape + expected): Gelman et al. (2013), Bayesian Data Analysis, 3rd ed., 2.6. Hours in
which the feed was down are unknown, not quiet.

This is the only baseline of the project: the spike detector's "expected" (stats/spikes.py) and the "usual" band of a chart
(dashboard/reads/usual.py) come from `BaselineFitter`; the outage model (stats/outage_model.py) shares the hour-of-week shrinkage.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stats.minute_counts import HOUR_S, FloatArray, IntArray, StoryCounts

BIN_S = 900
BINS_PER_HOUR = 4
BINS_PER_WEEK = 7 * 24 * BINS_PER_HOUR

FLOOR_PER_HOUR = 0.1
"""Least negative stories to expect in an hour: rewrites that are not recognised as copies look like several stories."""
PRIOR_DISPERSION = 0.25
"""Dispersion of a series without a past."""
MIN_DISPERSION = 0.05
PRIOR_WEIGHT = 4.0
"""Weight of PRIOR_DISPERSION, in windows whose mean is the floor."""
PRIOR_SHAPE = 4.0
"""Shape of the gamma prior of a rate's correction: before any counts are seen it has a standard deviation of a half."""
TRIM = 0.1
"""Share of the hours, those with most stories, that are left out of the mean from which the cap of spikes is derived."""
CATCH_UP_S = 3_600
"""For so long after an outage of the feed, articles that waited may still arrive."""
OUTAGE_STORIES = 12.0
"""The feed was down where so many stories were expected and none came (a chance of 1 in 160,000)."""
LAG_H = 24
"""The training data end so many hours before the hour to predict, or a quarter of what is known: a rise that takes a day must not become
part of its own baseline."""
CACHED_FITS = 20_000

ItemT = TypeVar("ItemT")


def week_groups(bins_per_hour: int) -> tuple[IntArray, IntArray, IntArray]:
    """Hour of the day, day of the week and hour of the week of each bin of the week; three arrays [168 * bins_per_hour]."""
    bins = np.arange(7 * 24 * bins_per_hour)
    hour = bins // bins_per_hour
    return hour % 24, hour // 24, hour


def group_sums(group: IntArray, index: IntArray, weights: FloatArray | None = None) -> FloatArray:
    """Sum of `weights` (1 each where it is None) by group.

    Args:
        group: Group of each bin of the week, [bins of the week].
        index: Bin of the week of each bin of the past, [bins of the past].
        weights: [bins of the past]

    Returns:
        [number of groups]
    """
    return np.bincount(group[index], weights=weights, minlength=int(group.max()) + 1).astype(np.float64)


def shrink_rates(rates: FloatArray, counts: FloatArray, known: FloatArray, index: IntArray, group: IntArray) -> FloatArray:
    """Rates of the bins of the week, corrected by the counts of each group of bins (gamma-Poisson posterior mean).

    Args:
        rates: Prior rates, [bins of the week].
        counts: Counts of the past, 0 where unknown, [bins of the past].
        known: 1 for bins that are known, else 0, [bins of the past].
        index: Bin of the week of each bin of the past, [bins of the past].
        group: Group of each bin of the week, [bins of the week].
    """
    seen = group_sums(group, index, counts)
    expected = group_sums(group, index, rates[index] * known)
    found: FloatArray = rates * ((PRIOR_SHAPE + seen) / (PRIOR_SHAPE + expected))[group]
    return found


def shrink_shares(shares: FloatArray, hits: FloatArray, index: IntArray, group: IntArray, weight: float) -> FloatArray:
    """Probabilities of the bins of the week, drawn towards the share of hits in each group (beta-binomial posterior mean).

    Source: Gelman et al. (2013), Bayesian Data Analysis, 3rd ed., 2.4.

    Args:
        shares: Prior probabilities, [bins of the week].
        hits: 1 for bins of the past that were hit, else 0, [bins of the past].
        index, group: As in `shrink_rates`.
        weight: Weight of the prior, in bins.
    """
    seen, trials = group_sums(group, index, hits), group_sums(group, index)
    found: FloatArray = (weight * shares + seen[group]) / (weight + trials[group])
    return found


_HOUR_OF_DAY, _, _HOUR_OF_WEEK = week_groups(BINS_PER_HOUR)
_QUARTER_OF_DAY = np.arange(BINS_PER_WEEK) % (24 * BINS_PER_HOUR)


@dataclass(frozen=True, slots=True, eq=False)
class FeedActivity:
    """The weekly profile of all stories, and the hours in which the feed was up.

    Attributes:
        first: First hour, counted since 1970.
        known: 1 for each hour since `first` in which the feed was up, else 0, [hours].
        rates: Stories per quarter of an hour of the week, [672].
    """

    first: int
    known: FloatArray
    rates: FloatArray

    @property
    def profile(self) -> FloatArray:
        """Relative volume per quarter of an hour of the week, mean 1, [672]."""
        mean = float(self.rates.mean())
        return self.rates / mean if mean else np.ones(BINS_PER_WEEK)

    def outages(self, market: StoryCounts, since: int, until: int) -> list[tuple[int, int]]:
        """Outages of the feed that touch [since, until) as (last story before, first story after), in seconds since 1970, ascending."""
        first, last = np.searchsorted(market.at, (since, until))
        return [(int(a), int(b)) for a, b in _gaps(market.at[max(0, first - 1) : last], self.rates)]


@dataclass(frozen=True, slots=True, eq=False)
class SeasonalBaseline:
    """What to expect of one series.

    Attributes:
        negative: Negative stories per quarter of an hour of the week, [672].
        others: All other stories per quarter of an hour of the week, [672].
        dispersion: Negative binomial dispersion of the negative stories, by width of the window in hours.
    """

    negative: FloatArray
    others: FloatArray
    dispersion: dict[int, float]

    def expected_negative(self, since: ArrayLike, until: ArrayLike) -> FloatArray:
        """Negative stories to expect in each [since, until), seconds since 1970: the rate's integral, at least the floor."""
        hours = (np.asarray(until, np.int64) - np.asarray(since, np.int64)) / HOUR_S
        found: FloatArray = np.maximum(rate_integral(self.negative, since, until), FLOOR_PER_HOUR * np.sqrt(hours))
        return found


def rate_sum(rates: FloatArray, since: ArrayLike, until: ArrayLike) -> FloatArray:
    """Sum of `rates` [672] over all quarters of an hour that each [since, until) touches, seconds since 1970.

    Whole quarters, for windows that may end at any minute: sources publish at the full hour, so the stories of a quarter may all come in
    its first minute.
    """
    sums = np.concatenate(([0.0], np.cumsum(rates)))
    first, last = np.asarray(since, np.int64) // BIN_S, -(-np.asarray(until, np.int64) // BIN_S)
    found: FloatArray = (
        (last // BINS_PER_WEEK - first // BINS_PER_WEEK) * sums[-1] + sums[last % BINS_PER_WEEK] - sums[first % BINS_PER_WEEK]
    )
    return found


def rate_integral(rates: FloatArray, since: ArrayLike, until: ArrayLike) -> FloatArray:
    """As `rate_sum`, but quarters of an hour that are only partly inside count with their share. Equal for whole quarters."""
    sums = np.concatenate(([0.0], np.cumsum(rates)))
    weeks, rest = zip(*(np.divmod(np.asarray(moment, np.int64), BINS_PER_WEEK * BIN_S) for moment in (since, until)), strict=True)
    upto = [np.interp(part / BIN_S, np.arange(BINS_PER_WEEK + 1), sums) for part in rest]
    found: FloatArray = (weeks[1] - weeks[0]) * sums[-1] + upto[1] - upto[0]
    return found


def floor(width_h: float) -> float:
    """Least negative stories to expect in a window of `width_h` hours. Rewrites cluster, so a day has fewer than 24 hours of them."""
    return FLOOR_PER_HOUR * math.sqrt(width_h)


def catch_up_start(outages: Sequence[tuple[int, int]], since: int, until: int) -> int:
    """Earliest publication time of what may arrive in [since, until): the start of an outage that ended in it or shortly before."""
    return min([since, *(down for down, up in outages if since - CATCH_UP_S <= up < until)])


class BaselineFitter:
    """Fits the baseline of any series as of any hour, and keeps the fits. One thread at a time.

    The baseline as of an hour uses `history_s` of data that end LAG_H before it, so it is the same live, in a replay and in a chart.

    Args:
        history_s: Length of the training data in seconds.
        widths_h: Widths of the windows whose dispersion is wanted, in hours.
    """

    def __init__(self, history_s: float, widths_h: Sequence[int]) -> None:
        self._history_h, self._widths_h = int(history_s) // HOUR_S, tuple(widths_h)
        self._cached: OrderedDict[Hashable, object] = OrderedDict()

    def fit(self, series: str, counts: StoryCounts, market: StoryCounts, hour: int) -> tuple[FeedActivity, SeasonalBaseline]:
        """The feed's activity and the baseline of `series` as of `hour`, counted since 1970.

        Args:
            series: Name under which the fit is kept.
            counts: Stories of the series; they reach back as far as the history, and two days.
            market: Stories of the whole feed, likewise; at least one.
            hour: The hour to predict.
        """
        began = int(market.at[0]) // HOUR_S
        last = hour - min(LAG_H, (hour - began) // 4)
        first = max(began, last - self._history_h)
        feed = self._once((hour,), lambda: fit_feed_activity(market, first, hour))
        return feed, self._once((series, last), lambda: fit_baseline(counts, feed, first, last, self._widths_h))

    def outages(self, feed: FeedActivity, market: StoryCounts, since: int, until: int) -> list[tuple[int, int]]:
        """As FeedActivity.outages; `since` must be the same for the same `until`."""
        return self._once(("", feed.first, len(feed.known), until), lambda: feed.outages(market, since, until))

    def forget(self, series: str) -> None:
        """Drop the fits of `series`, whose past has changed."""
        for key in [key for key in self._cached if isinstance(key, tuple) and key[0] == series]:
            del self._cached[key]

    def _once(self, key: Hashable, make: Callable[[], ItemT]) -> ItemT:
        if key not in self._cached:
            self._cached[key] = make()
            if len(self._cached) > CACHED_FITS:
                self._cached.popitem(last=False)
        return cast(ItemT, self._cached[key])


def fit_feed_activity(market: StoryCounts, first: int, last: int) -> FeedActivity:
    """The feed's activity, from all its stories in the hours [first, last)."""
    _, total = market.binned(first * BINS_PER_HOUR, last * BINS_PER_HOUR, BIN_S)
    index = np.arange(first * BINS_PER_HOUR, last * BINS_PER_HOUR) % BINS_PER_WEEK
    at = market.between(first * HOUR_S, last * HOUR_S).at
    known, rates = np.ones(last - first), np.zeros(BINS_PER_WEEK)
    for _ in range(2):  # outages follow from the usual volume, and the usual volume from the hours without outages
        bins = np.repeat(known, BINS_PER_HOUR)
        rates = np.full(BINS_PER_WEEK, float((total * bins).sum()) / max(1.0, float(bins.sum())))
        for group in (_QUARTER_OF_DAY, _HOUR_OF_WEEK):
            rates = shrink_rates(rates, total * bins, bins, index, group)
        known = _known_hours(_gaps(np.concatenate(([first * HOUR_S], at, [last * HOUR_S])), rates), first, last)
    return FeedActivity(first, known, rates)


def fit_baseline(counts: StoryCounts, feed: FeedActivity, first: int, last: int, widths_h: Sequence[int]) -> SeasonalBaseline:
    """The baseline from the hours [first, last), all in `feed`. Without a known hour: rates of 0 and the prior dispersion."""
    known = np.repeat(feed.known[first - feed.first : last - feed.first], BINS_PER_HOUR)
    index = np.arange(first * BINS_PER_HOUR, last * BINS_PER_HOUR) % BINS_PER_WEEK
    profile = feed.profile
    exposure = float((known * profile[index]).sum())
    if exposure <= 0:
        return SeasonalBaseline(np.zeros(BINS_PER_WEEK), np.zeros(BINS_PER_WEEK), dict.fromkeys(widths_h, PRIOR_DISPERSION))
    bad, every = counts.binned(first * BINS_PER_HOUR, last * BINS_PER_HOUR, BIN_S)
    negative, others = _cap_spikes(bad * known, known), _cap_spikes((every - bad) * known, known)
    rates = [fit_rates(each, known, index, profile * (float(each.sum()) / exposure)) for each in (negative, others)]
    means = rates[0][index] * known
    return SeasonalBaseline(rates[0], rates[1], {width: fit_dispersion(negative, means, width * BINS_PER_HOUR) for width in widths_h})


def fit_rates(counts: FloatArray, known: FloatArray, index: IntArray, prior: FloatArray) -> FloatArray:
    """Rates per quarter of an hour of the week, [672]: `prior`, corrected by hour of the day, then by hour of the week.

    Args:
        counts: Counts per quarter of an hour of the past, 0 where unknown, [bins of the past].
        known: 1 for bins that are known, else 0, [bins of the past].
        index: Bin of the week of each bin of the past, [bins of the past].
        prior: [672]
    """
    for group in (_HOUR_OF_DAY, _HOUR_OF_WEEK):
        prior = shrink_rates(prior, counts, known, index, group)
    return prior


def fit_dispersion(counts: FloatArray, means: FloatArray, width: int) -> float:
    """Negative binomial dispersion of windows of `width` bins, by moments, drawn towards the prior.

    Args:
        counts, means: Observed and expected counts per bin of the past, [bins of the past].
        width: Bins in a window.
    """
    seen, mean = _window_sums(counts, width), _window_sums(means, width)
    weight = PRIOR_WEIGHT * floor(width / BINS_PER_HOUR) ** 2
    excess = float(((seen - mean) ** 2 - mean).sum())
    return max(MIN_DISPERSION, (weight * PRIOR_DISPERSION + excess) / (weight + float((mean * mean).sum())))


def _gaps(at: IntArray, rates: FloatArray) -> IntArray:
    """Neighbours in `at` between which so many stories were expected that the feed must have been down, [n, 2]."""
    long = np.nonzero(np.diff(at) * float(rates.max()) >= 0.999 * OUTAGE_STORIES * BIN_S)[0]  # no shorter gap can expect so many
    since, until = at[long], at[long + 1]
    whole = -(-since // BIN_S) * BIN_S, until // BIN_S * BIN_S  # the stories of the first and the last quarter did come
    down = np.nonzero((whole[0] < whole[1]) & (rate_sum(rates, *whole) >= OUTAGE_STORIES))[0]
    return np.stack((since[down], until[down]), axis=1)


def _known_hours(gaps: IntArray, first: int, last: int) -> FloatArray:
    known = np.ones(last - first)
    for since, until in gaps:
        known[max(0, -(-int(since) // HOUR_S) - first) : max(0, int(until) // HOUR_S - first)] = 0.0
    return known


def _cap_spikes(counts: FloatArray, known: FloatArray) -> FloatArray:
    """Counts whose hours are capped at five standard deviations over the trimmed mean, so that past spikes do not raise the baseline."""
    hourly = counts.reshape(-1, BINS_PER_HOUR).sum(axis=1)
    usual = np.sort(hourly[known[::BINS_PER_HOUR] > 0])
    mean = max(FLOOR_PER_HOUR, float(usual[: max(1, round(len(usual) * (1 - TRIM)))].mean()))
    cap = math.ceil(mean + 5.0 * math.sqrt(mean + PRIOR_DISPERSION * mean * mean)) + 1
    shares: FloatArray = np.repeat(np.minimum(1.0, cap / np.maximum(hourly, 1.0)), BINS_PER_HOUR)
    return counts * shares


def _window_sums(amount: NDArray[np.float64], width: int) -> FloatArray:
    found: FloatArray = amount[len(amount) % width :].reshape(-1, width).sum(axis=1)
    return found
