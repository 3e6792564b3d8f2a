"""Alert threshold by extreme value theory: the surprise at which all series together raise the accepted number of false alerts. Pure.

A count model alone is not enough, because news has heavier tails than any count model: series are correlated and stories come in chains.
The threshold is therefore fitted to past surprises by peaks over threshold, with exponential excesses.

    surprise
       │         ╻ 7.1                      alert threshold: where the fitted tail has `false_per_week` peaks a week
       │ - - - - ┃ - - - - - - - - - - - -
       │   ╻     ┃   ╻        ╻             peaks: the strongest window of each episode of each series
       │ ╻ ┃  ╻  ┃ ╻ ┃   ╻ ╻  ┃  ╻
    u ─┴─┸─┸──┸──┸─┸─┸───┸─┸──┸──┸──

Source: Siffer et al. (2017), Anomaly Detection in Streams with Extreme Value Theory (SPOT), with the shape of the tail fixed at 0, because
-log10 of a p-value is exponential where the model is right. Before there are peaks, the threshold follows from the model alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

PEAK_MIN = 2.0
"""A peak has at least this surprise (p = 0.01)."""
THEORY_SCALE = 1.0 / math.log(10)
"""Mean excess of -log10 p where p is uniform, as it is when the model is right."""
PRIOR_PEAKS = 10.0
"""Weight of THEORY_SCALE, in peaks."""
PRIOR_WEEKS = 0.25
"""Weight of the prior threshold, in weeks."""
TAIL = 0.25
"""Share of the highest peaks to which the tail is fitted; the others say nothing about it."""
WEEK_S = 7 * 86_400
SCAN = 8.0
"""Windows slide with every story instead of once a width: that many more tests. Counted on simulated Poisson series at surprise 5: 0.1 for
0.05 stories a window (counts are whole, so p jumps), 2.6 for 3, 8.0 for 10."""


def prior_threshold(false_per_week: float, n_series: int, width_s: int) -> float:
    """The threshold when nothing is known of the past.

    Args:
        false_per_week: Accepted false alerts a week, over all series together.
        n_series: Number of series that are tested.
        width_s: Width of the narrowest window in seconds.
    """
    tests = max(1, n_series) * SCAN * WEEK_S / width_s
    return max(PEAK_MIN, math.log10(tests / false_per_week))


def fit_threshold(peaks: Sequence[float], weeks: float, false_per_week: float, prior: float) -> float:
    """The surprise that all series together reach `false_per_week` times a week.

    Args:
        peaks: Surprises over PEAK_MIN of the last `weeks`, one for each episode of each series.
        weeks: Length of the past.
        false_per_week: Accepted false alerts a week, over all series together.
        prior: `prior_threshold`, which counts for more the shorter the past is.
    """
    if weeks <= 0 or len(peaks) < 2:
        return prior
    strongest = np.sort(np.asarray(peaks, np.float64))[::-1]
    most = max(2, math.ceil(TAIL * len(strongest)))
    base = float(strongest[min(most, len(strongest) - 1)])
    excess = strongest[:most] - base
    scale = (PRIOR_PEAKS * THEORY_SCALE + float(excess.sum())) / (PRIOR_PEAKS + most)
    fitted = max(PEAK_MIN, base + scale * math.log(max(1e-9, most / weeks / false_per_week)))
    weight = weeks / (weeks + PRIOR_WEEKS)
    return weight * fitted + (1 - weight) * prior


class Peak(NamedTuple):
    """The strongest window of an episode. end: end of the episode's last window over PEAK_MIN, seconds since 1970"""

    end: int
    surprise: float


class PeakTracker:
    """Reduces surprises to peaks, one for each episode of each series. One thread at a time.

    Args:
        history_s: How far back the threshold is fitted.
        gap_s: Windows of a series that are closer than this, or overlap, belong to one episode.
    """

    def __init__(self, history_s: float, gap_s: float) -> None:
        self._history_s, self._gap_s = history_s, gap_s
        self._last: dict[str, Peak] = {}
        self._done: list[Peak] = []

    def add(self, series: str, end: int, width_s: int, surprise: float) -> None:
        """Add a window of `series`, in order of time. Surprises under PEAK_MIN are ignored."""
        if surprise < PEAK_MIN:
            return
        last = self._last.get(series)
        if last is not None and end - last.end <= max(self._gap_s, width_s):
            self._last[series] = Peak(end, max(surprise, last.surprise))
            return
        if last is not None:
            self._done.append(last)
        self._last[series] = Peak(end, surprise)

    def threshold(self, now: int, began: int, false_per_week: float, prior: float) -> float:
        """The threshold at `now`, fitted to the peaks before it.

        Args:
            now, began: Seconds since 1970; peaks are recorded since `began`.
            false_per_week, prior: As in `fit_threshold`.
        """
        since = max(began, now - int(self._history_s))
        self._done = [peak for peak in self._done if peak.end >= now - self._history_s]
        peaks = [peak.surprise for peak in (*self._done, *self._last.values()) if since <= peak.end < now]
        return fit_threshold(peaks, (now - since) / WEEK_S, false_per_week, prior)
