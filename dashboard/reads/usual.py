"""What is usual for a series at this hour of the week, by its own past. Pure.

    negative stories of past windows ─▶ all hours ─▶ hours of the day ─▶ hours of the week ─▶ mean and spread
                                        each step corrects the one before it as far as the counts it has seen bear

It is for the eye. The bell looks closer (docs/detection.md): windows of several widths, gaps of the feed, and what rang by chance before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from storage.store import SentimentPoint

PAST = timedelta(weeks=4)
LEAST_PAST = timedelta(days=2)
"""Less is no past: nothing is said of it."""
HOUR_S, DAY_S, WEEK_S = 3_600, 86_400, 7 * 86_400
SHAPE = 4.0
"""Before its counts are seen an hour is taken to be within about a half of what is foreseen for it: a gamma of this shape."""
WILD = 0.02
"""The share of past windows, those furthest off, that do not widen the band: a crisis is not usual."""
MOST_DISPERSION = 4.0
WITHIN = 1.96
"""Standard deviations: simulated, 95 of 100 windows lie in the band, and 90 of a series as uneven as its mean is large."""


Places = NDArray[np.int64]
Figures = NDArray[np.float64]
Rate = Callable[[Places], tuple[Figures, Figures]]
"""Of windows, by their places in time: what is foreseen, and the variance of that as a share of its square."""


class Usual(NamedTuple):
    """Negative stories that a window usually has: its mean, and the band that most lie in."""

    low: float
    mean: float
    high: float


def step_of(width_s: int) -> int:
    """The width of the past's windows, for a chart whose windows are `width_s` wide."""
    return max(HOUR_S, width_s)


class Profile(NamedTuple):
    """What one series usually has, as its past taught: `rate` of places in time, windows of step_s, and how unevenly it comes."""

    step_s: int
    rate: Rate
    spread: float

    def of(self, starts: Figures, widths_s: Figures | float) -> tuple[Figures, Figures]:
        """Mean and variance of what [start, start + width) usually has, each a part of a window of the past or the whole of it.

        starts: seconds since 1970
        """
        means, doubts = self.rate((starts // self.step_s).astype(np.int64))
        means = means * widths_s / self.step_s
        return means, means + (self.spread + doubts) * means**2


def usual(
    past: Sequence[SentimentPoint], since: datetime, until: datetime, step_s: int, starts: Sequence[datetime], width_s: int
) -> list[Usual]:
    """What each window [start, start + width_s) usually has, after the past [since, until) in windows of step_s; [] after too short a past.

    Windows of the past that are not in `past` had no story.
    """
    begins, counts = [int(point.start.timestamp()) for point in past], [point.negative for point in past]
    found = learn(begins, counts, since, until, step_s)
    if found is None:
        return []
    means, variances = found.of(np.array([start.timestamp() for start in starts], np.float64), width_s)
    reach = WITHIN * np.sqrt(variances)
    lows = np.maximum(0.0, means - reach)
    return [Usual(*band) for band in zip(lows.tolist(), means.tolist(), (means + reach).tolist(), strict=True)]


def learn(begins: Sequence[int], seen: Sequence[int], since: datetime, until: datetime, step_s: int) -> Profile | None:
    """What counts of the past [since, until) teach; None: it is too short a past.

    begins, seen: where windows of step_s begin (seconds since 1970) and their counts; those left out had none

    Each correction is the mean of a gamma posterior, (shape + seen) / (shape / foreseen + windows): Gelman et al. (2013), Bayesian Data
    Analysis, 3rd ed., 2.6; the spread is a negative binomial's and the mean's.
    """
    first, last = -(-int(since.timestamp()) // step_s), int(until.timestamp()) // step_s
    if last - first < LEAST_PAST.total_seconds() / step_s:
        return None
    places = np.arange(first, last)
    counts = np.zeros(last - first)
    at = np.asarray(begins, np.int64) // step_s - first
    inside = (at >= 0) & (at < last - first)
    counts[at[inside]] = np.asarray(seen, np.float64)[inside]
    level = counts.mean()
    by_day = _corrected(places, counts, lambda at: (np.full(len(at), level), np.zeros(len(at))), DAY_S // step_s)
    by_week = _corrected(places, counts, by_day, WEEK_S // step_s)
    return Profile(step_s, by_week, _dispersion(counts, by_week(places)[0]))


def _corrected(places: Places, counts: Figures, foreseen: Rate, slots: int) -> Rate:
    """What is foreseen of each place, corrected by what its slot (the place modulo `slots`) has seen, and how sure that is."""
    seen = np.bincount(places % slots, counts, slots)
    windows = np.bincount(places % slots, minlength=slots)

    def rate(at: Places) -> tuple[Figures, Figures]:
        before, slot = foreseen(at)[0], at % slots
        shape = SHAPE + seen[slot]
        return shape * before / (SHAPE + windows[slot] * before), np.where(before > 0, 1 / shape, 0.0)

    return rate


def _dispersion(counts: Figures, means: Figures) -> float:
    """How much more the counts vary than a Poisson's about their means: variance is mean + dispersion * mean²."""
    excess = (counts - means) ** 2 - means
    kept = np.lexsort((means, excess))[: math.ceil(len(counts) * (1 - WILD))]
    scale = float((means[kept] ** 2).sum())
    return min(MOST_DISPERSION, max(0.0, float(excess[kept].sum()) / scale)) if scale else 0.0
