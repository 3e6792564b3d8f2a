"""What a series' own past leads one to expect, by the quarters of an hour of a week. Pure.

    the feed's week (all stories) ─▶ the series' hours of the day ─▶ its hours of the week
            each step corrects the one before it as far as the counts it has seen bear

A thin series therefore has the rhythm of the whole feed and a level of its own; a busy one has a rhythm of its own. Each correction is
the mean of a gamma posterior, (shape + seen) / (shape + foreseen): Gelman et al. (2013), Bayesian Data Analysis, 3rd ed., 2.6. What
was not heard, as the feed was away, is unknown, not quiet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stats.minute_counts import FloatArray, IntArray, Tally

BIN_S = 900
BINS_PER_HOUR = 4
WEEK = 7 * 24 * BINS_PER_HOUR
_QUARTER_OF_DAY = np.arange(WEEK) % (24 * BINS_PER_HOUR)
_HOUR_OF_DAY = np.arange(WEEK) // BINS_PER_HOUR % 24
_HOUR_OF_WEEK = np.arange(WEEK) // BINS_PER_HOUR

FLOOR_PER_HOUR = 0.1
"""Negative stories an hour that any series may have: rewrites that no band ties together look like several stories."""
PRIOR_DISPERSION = 0.25
LEAST_DISPERSION = 0.05
PRIOR_WEIGHT = 4.0
"""Of a negative binomial: what a thin series is taken to have, the least that is believed of any, and how many windows with the
floor's mean it takes to think otherwise."""
RHYTHM_SHAPE = 4.0
"""Before its counts are seen an hour is taken to be within about a half of what is foreseen for it: a gamma of this shape."""
TRIM = 0.1
"""So much of the past may be wild without moving the bar by more than the cap."""
RETURN_S = 3_600
"""A feed that comes back may bring what it missed for so long."""
GAP_STORIES = 12.0
"""Where so many stories were due and none came (1 to 160,000 against), the feed was away."""


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """The rhythm of everything, and when nothing was heard.

    first: the hour since 1970 with which it begins; heard: 1 for each hour since then that is known, else 0
    rates: stories by quarter of an hour of the week, [672]
    """

    first: int
    heard: FloatArray
    rates: FloatArray

    @property
    def shape(self) -> FloatArray:
        """Relative volume, [672], mean 1."""
        mean = float(self.rates.mean())
        return self.rates / mean if mean else np.ones(WEEK)

    def silences(self, market: Tally, since: int, until: int) -> list[tuple[int, int]]:
        """When the feed fell silent and was back, in [since, until), however long ago it fell silent; the ends of silences ascend."""
        first, last = np.searchsorted(market.at, (since, until))
        return [(int(a), int(b)) for a, b in _gaps(market.at[max(0, first - 1) : last], self.rates)]


def reaches(silences: Sequence[tuple[int, int]], since: int, until: int) -> int:
    """Since when the stories in [since, until) may have waited: a feed that comes back brings what it missed."""
    return min([since, *(fell for fell, back in silences if since - RETURN_S <= back < until)])


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """negative, others: stories by quarter of an hour of the week, [672]; dispersion: of negative ones, by width in hours."""

    negative: FloatArray
    others: FloatArray
    dispersion: dict[int, float]


def between(rates: FloatArray, since: ArrayLike, until: ArrayLike) -> FloatArray:
    """The sum of `rates` [672] over all quarters of an hour that each [since, until) touches, seconds since 1970.

    Whole quarters: sources publish at the full hour, so what is due in one may come in its first minute.
    """
    sums = np.concatenate(([0.0], np.cumsum(rates)))
    first, last = np.asarray(since, np.int64) // BIN_S, -(-np.asarray(until, np.int64) // BIN_S)
    found: FloatArray = (last // WEEK - first // WEEK) * sums[-1] + sums[last % WEEK] - sums[first % WEEK]
    return found


def within(rates: FloatArray, since: ArrayLike, until: ArrayLike) -> FloatArray:
    """The sum of `rates` [672] over each [since, until): as `between`, but of a quarter that it touches its share only."""
    sums = np.concatenate(([0.0], np.cumsum(rates)))
    weeks, rest = zip(*(np.divmod(np.asarray(moment, np.int64), WEEK * BIN_S) for moment in (since, until)), strict=True)
    upto = [np.interp(part / BIN_S, np.arange(WEEK + 1), sums) for part in rest]
    found: FloatArray = (weeks[1] - weeks[0]) * sums[-1] + upto[1] - upto[0]
    return found


def floor(width_h: float) -> float:
    """Negative stories that any window may hold. Rewrites come close together, so a day has fewer than 24 hours of them."""
    return FLOOR_PER_HOUR * math.sqrt(width_h)


def feed_of(market: Tally, first: int, last: int) -> Feed:
    """The feed over the hours [first, last), from all its stories."""
    _, total = market.binned(first * BINS_PER_HOUR, last * BINS_PER_HOUR, BIN_S)
    week = np.arange(first * BINS_PER_HOUR, last * BINS_PER_HOUR) % WEEK
    at = market.between(first * 3_600, last * 3_600).at
    heard, rates = np.ones(last - first), np.zeros(WEEK)
    for _ in range(2):  # gaps are told by the usual volume, and the usual volume without the gaps
        known = np.repeat(heard, BINS_PER_HOUR)
        rates = np.full(WEEK, float((total * known).sum()) / max(1.0, float(known.sum())))
        for group in (_QUARTER_OF_DAY, _HOUR_OF_WEEK):
            rates = _corrected(rates, total * known, known, week, group)
        heard = _heard(_gaps(np.concatenate(([first * 3_600], at, [last * 3_600])), rates), first, last)
    return Feed(first, heard, rates)


def baseline(tally: Tally, feed: Feed, first: int, last: int, widths_h: Sequence[int]) -> Baseline:
    """What the hours [first, last), all in `feed`, lead one to expect of the series. Without any: nothing, and the prior."""
    known = np.repeat(feed.heard[first - feed.first : last - feed.first], BINS_PER_HOUR)
    week = np.arange(first * BINS_PER_HOUR, last * BINS_PER_HOUR) % WEEK
    heard = float((known * feed.shape[week]).sum())
    if heard <= 0:
        return Baseline(np.zeros(WEEK), np.zeros(WEEK), dict.fromkeys(widths_h, PRIOR_DISPERSION))
    bad, every = tally.binned(first * BINS_PER_HOUR, last * BINS_PER_HOUR, BIN_S)
    negative, others = _capped(bad * known, known), _capped((every - bad) * known, known)
    rates = [_rhythm(counts, known, week, feed.shape * (float(counts.sum()) / heard)) for counts in (negative, others)]
    means = rates[0][week] * known
    return Baseline(rates[0], rates[1], {width: _dispersion(negative, means, width * BINS_PER_HOUR) for width in widths_h})


def _gaps(at: IntArray, rates: FloatArray) -> IntArray:
    """[n, 2], the neighbours in `at` between which so many stories were due that the feed must have been away."""
    since, until = at[:-1], at[1:]
    whole = -(-since // BIN_S) * BIN_S, until // BIN_S * BIN_S  # what came in the first and the last quarter did come
    silent = np.nonzero((whole[0] < whole[1]) & (between(rates, *whole) >= GAP_STORIES))[0]
    return np.stack((since[silent], until[silent]), axis=1)


def _heard(gaps: IntArray, first: int, last: int) -> FloatArray:
    heard = np.ones(last - first)
    for since, until in gaps:
        heard[max(0, -(-int(since) // 3_600) - first) : max(0, int(until) // 3_600 - first)] = 0.0
    return heard


def _capped(counts: FloatArray, known: FloatArray) -> FloatArray:
    """Counts with the hours that were spikes (five standard deviations) taken for the last that is none, however wild they were."""
    hourly = counts.reshape(-1, BINS_PER_HOUR).sum(axis=1)
    usual = np.sort(hourly[known[::BINS_PER_HOUR] > 0])
    mean = max(FLOOR_PER_HOUR, float(usual[: max(1, round(len(usual) * (1 - TRIM)))].mean()))
    cap = math.ceil(mean + 5.0 * math.sqrt(mean + PRIOR_DISPERSION * mean * mean)) + 1
    shares: FloatArray = np.repeat(np.minimum(1.0, cap / np.maximum(hourly, 1.0)), BINS_PER_HOUR)
    return counts * shares


def _rhythm(counts: FloatArray, known: FloatArray, week: IntArray, prior: FloatArray) -> FloatArray:
    """`prior` [672], corrected by the counts of the hours of the day, then by those of the week."""
    return _corrected(_corrected(prior, counts, known, week, _HOUR_OF_DAY), counts, known, week, _HOUR_OF_WEEK)


def _corrected(rates: FloatArray, counts: FloatArray, known: FloatArray, week: IntArray, group: IntArray) -> FloatArray:
    """`rates` [672], each group of quarters [672] multiplied by what its counts say. counts, known, week: [bins of the past]."""
    seen = np.bincount(group[week], weights=counts, minlength=int(group.max()) + 1)
    foreseen = np.bincount(group[week], weights=rates[week] * known, minlength=len(seen))
    found: FloatArray = rates * ((RHYTHM_SHAPE + seen) / (RHYTHM_SHAPE + foreseen))[group]
    return found


def _dispersion(counts: FloatArray, means: FloatArray, width: int) -> float:
    """Of windows of `width` bins, by moments, drawn towards the prior."""
    seen, mean = _windows(counts, width), _windows(means, width)
    weight = PRIOR_WEIGHT * floor(width / BINS_PER_HOUR) ** 2
    spread = float(((seen - mean) ** 2 - mean).sum())
    return max(LEAST_DISPERSION, (weight * PRIOR_DISPERSION + spread) / (weight + float((mean * mean).sum())))


def _windows(amount: NDArray[np.float64], width: int) -> FloatArray:
    found: FloatArray = amount[len(amount) % width :].reshape(-1, width).sum(axis=1)
    return found
