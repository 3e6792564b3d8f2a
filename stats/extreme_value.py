"""How much surprise rings, so that all series together ring falsely as seldom as the analyst asked? Pure.

A count model gives odds, but real news has heavier tails than any count model: series belong together, stories come in chains. So the
bar is learned from how often the feed surprised in the past: peaks over a threshold, whose excess is exponential.

    surprise
       │         ╻ 7.1                      the bar: where the tail gives `false_per_week` peaks a week
       │ - - - - ┃ - - - - - - - - - - - -
       │   ╻     ┃   ╻        ╻             peaks: the strongest moment of each episode of each series
       │ ╻ ┃  ╻  ┃ ╻ ┃   ╻ ╻  ┃  ╻
    U ─┴─┸─┸──┸──┸─┸─┸───┸─┸──┸──┸──

Source: Siffer et al. (2017), Anomaly Detection in Streams with Extreme Value Theory (SPOT), with the tail's shape held at 0, as -log10
of a probability is exponential where the model is right. Before there are peaks, the odds are taken at their word.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

OVER = 2.0
"""Peaks are surprises over this (1 to 100 against)."""
THEORY_SCALE = 1.0 / math.log(10)
"""The mean excess of -log10 p where p is uniform, as it is when the model is right."""
PRIOR_PEAKS = 10.0
"""So many peaks it takes to believe the past as much as theory."""
PRIOR_WEEKS = 0.25
"""So long it takes to believe it at all."""
TAIL = 0.25
"""The share of the highest peaks that tells how the tail falls: the bulk knows nothing of it."""
WEEK_S = 7 * 86_400
SCAN = 8.0
"""Sliding windows are looked at whenever a story comes, not once a width: that many more chances to ring by accident. Counted on
simulated Poisson series at surprise 5: 0.1 for 0.05 stories a window (counts are whole, so p jumps), 2.6 for 3, 8.0 for 10."""


def theory(false_per_week: float, n_series: int, width_s: int) -> float:
    """The bar when nothing is known of the past: by it `n_series` series that are what the model takes them for keep the budget."""
    tests = max(1, n_series) * SCAN * WEEK_S / width_s
    return max(OVER, math.log10(tests / false_per_week))


def bar(peaks: Sequence[float], weeks: float, false_per_week: float, otherwise: float) -> float:
    """The surprise that all series together reach `false_per_week` times a week.

    peaks: surprises over OVER, one for each episode of each series, of the last `weeks`; otherwise: `theory`, drawn on while they are few
    """
    if weeks <= 0 or len(peaks) < 2:
        return otherwise
    strongest = np.sort(np.asarray(peaks, np.float64))[::-1]
    most = max(2, math.ceil(TAIL * len(strongest)))
    foot = float(strongest[min(most, len(strongest) - 1)])
    excess = strongest[:most] - foot
    scale = (PRIOR_PEAKS * THEORY_SCALE + float(excess.sum())) / (PRIOR_PEAKS + most)
    learned = max(OVER, foot + scale * math.log(max(1e-9, most / weeks / false_per_week)))
    trust = weeks / (weeks + PRIOR_WEEKS)
    return trust * learned + (1 - trust) * otherwise


class Peak(NamedTuple):
    """The strongest moment of an episode: its surprise; end: of its last window that surprised, seconds since 1970."""

    end: int
    surprise: float


class Peaks:
    """The strongest moments of the episodes of all series. One thread at a time.

    reach_s: how far back the bar is learned from; apart_s: moments of a series that are closer belong to one episode, and so do those
    whose windows overlap
    """

    def __init__(self, reach_s: float, apart_s: float) -> None:
        self._reach_s, self._apart_s = reach_s, apart_s
        self._last: dict[str, Peak] = {}
        self._done: list[Peak] = []

    def note(self, series: str, end: int, width_s: int, surprise: float) -> None:
        """A moment of `series`; in order of time. What is not over OVER is no peak."""
        if surprise < OVER:
            return
        last = self._last.get(series)
        if last is not None and end - last.end <= max(self._apart_s, width_s):
            self._last[series] = Peak(end, max(surprise, last.surprise))
            return
        if last is not None:
            self._done.append(last)
        self._last[series] = Peak(end, surprise)

    def bar(self, now: int, began: int, false_per_week: float, otherwise: float) -> float:
        """The bar at `now`, from the peaks before it; began: since when there is somebody to note them. Seconds since 1970."""
        since = max(began, now - int(self._reach_s))
        self._done = [peak for peak in self._done if peak.end >= now - self._reach_s]
        peaks = [peak.surprise for peak in (*self._done, *self._last.values()) if since <= peak.end < now]
        return bar(peaks, (now - since) / WEEK_S, false_per_week, otherwise)
