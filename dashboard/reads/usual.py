"""What is usual for a series at this hour of the week, by its own past. Pure.

    negative stories of past windows ─▶ all hours ─▶ hours of the day ─▶ hours of the week ─▶ mean and spread
                                        each step corrects the one before it as far as the counts it has seen bear

It is for the eye. The bell looks closer (docs/detection.md): windows of several widths, gaps of the feed, and what rang by chance before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from spine.store import MoodPoint

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


Rate = Callable[[int], tuple[float, float]]
"""Of a window, by its place in time: what is foreseen, and the variance of that as a share of its square."""


class Usual(NamedTuple):
    """Negative stories that a window usually has: its mean, and the band that most lie in."""

    low: float
    mean: float
    high: float


def step_of(width_s: int) -> int:
    """The width of the past's windows, for a chart whose windows are `width_s` wide."""
    return max(HOUR_S, width_s)


class Profile(NamedTuple):
    """What one series usually has, as its past taught: `rate` of a place in time, windows of step_s, and how unevenly it comes."""

    step_s: int
    rate: Rate
    spread: float

    def of(self, start: datetime, width_s: float) -> Usual:
        """What [start, start + width_s), a part of a window of the past or the whole of it, usually has."""
        mean, doubt = self.rate(int(start.timestamp()) // self.step_s)
        return _band(mean * width_s / self.step_s, self.spread + doubt)


def usual(
    past: Sequence[MoodPoint], since: datetime, until: datetime, step_s: int, starts: Sequence[datetime], width_s: int
) -> list[Usual]:
    """What each window [start, start + width_s) usually has, after the past [since, until) in windows of step_s; [] after too short a past.

    Windows of the past that are not in `past` had no story.
    """
    found = learn({int(point.start.timestamp()) // step_s: point.negative for point in past}, since, until, step_s)
    return [found.of(start, width_s) for start in starts] if found else []


def learn(seen: Mapping[int, int], since: datetime, until: datetime, step_s: int) -> Profile | None:
    """What counts of the past [since, until) teach, by place in time (windows of step_s; those left out had none); None: too short a past.

    Each correction is the mean of a gamma posterior, (shape + seen) / (shape / foreseen + windows): Gelman et al. (2013), Bayesian Data
    Analysis, 3rd ed., 2.6; the spread is a negative binomial's and the mean's.
    """
    first, last = -(-int(since.timestamp()) // step_s), int(until.timestamp()) // step_s
    if last - first < LEAST_PAST.total_seconds() / step_s:
        return None
    counts = {place: seen.get(place, 0) for place in range(first, last)}
    level = sum(counts.values()) / len(counts)
    by_day = _corrected(counts, lambda _: (level, 0.0), DAY_S // step_s)
    by_week = _corrected(counts, by_day, WEEK_S // step_s)
    spread = _dispersion([(count, by_week(place)[0]) for place, count in counts.items()])
    return Profile(step_s, by_week, spread)


def _corrected(counts: dict[int, int], foreseen: Rate, slots: int) -> Rate:
    """What is foreseen of each place, corrected by what its slot (the place modulo `slots`) has seen, and how sure that is."""
    seen, windows = [0.0] * slots, [0] * slots
    for place, count in counts.items():
        seen[place % slots] += count
        windows[place % slots] += 1

    def rate(place: int) -> tuple[float, float]:
        before, _ = foreseen(place)
        if before <= 0:
            return 0.0, 0.0
        shape = SHAPE + seen[place % slots]
        return shape / (SHAPE / before + windows[place % slots]), 1 / shape

    return rate


def _dispersion(pairs: Sequence[tuple[int, float]]) -> float:
    """How much more the counts vary than a Poisson's about their means: variance is mean + dispersion * mean²."""
    ordered = sorted(((count - mean) ** 2 - mean, mean) for count, mean in pairs)
    kept = ordered[: math.ceil(len(ordered) * (1 - WILD))]
    scale = sum(mean**2 for _, mean in kept)
    return min(MOST_DISPERSION, max(0.0, sum(excess for excess, _ in kept) / scale)) if scale else 0.0


def _band(mean: float, dispersion: float) -> Usual:
    reach = WITHIN * math.sqrt(mean + dispersion * mean**2)
    return Usual(max(0.0, mean - reach), mean, mean + reach)
