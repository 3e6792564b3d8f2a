"""Other ways to tell a spike, as their authors set them out; each gives a score to moments, and where it rings is tuned.

They get what our own detector gets, and what it needs besides: new stories of a series minute by minute (so no copy counts twice),
a look at every moment at which a negative story came, at least three stories, and the same rule about sources and repeats.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from stats.minute_counts import DAY_S, HOUR_S, FloatArray, IntArray, StoryCounts

LEAST = 3
WEEK_H = 168
SOME = 500
"""Moments that are worked on at once: their pasts are a matrix."""


class Scores(NamedTuple):
    """score: [n], -inf where it cannot ring; width_s: [n], of the window that it rests on."""

    score: FloatArray
    width_s: IntArray


class Rival(Protocol):
    """One way."""

    name: str

    def __call__(self, tally: StoryCounts, market: StoryCounts, ends: IntArray) -> Scores:
        """Scores of moments at `ends`, seconds since 1970."""


class FixedThreshold:
    """Negative stories in the last hour."""

    name = "fixed threshold"

    def __call__(self, tally: StoryCounts, market: StoryCounts, ends: IntArray) -> Scores:
        """The count."""
        return _of_an_hour(ends, tally.count(ends - HOUR_S, ends).astype(np.float64), tally)


class RollingZ:
    """The last hour against mean and deviation of the hours of the week before."""

    name = "rolling z-score"
    LEAST_DEVIATION = 0.3
    """Where a week had nearly nothing any story would be without bounds."""

    def __call__(self, tally: StoryCounts, market: StoryCounts, ends: IntArray) -> Scores:
        """Deviations over the mean."""
        score = np.full(len(ends), -np.inf)
        for part in _parts(tally, ends):
            past = _hours(tally, ends[part], WEEK_H)
            now = tally.count(ends[part] - HOUR_S, ends[part])
            score[part] = (now - past.mean(axis=1)) / np.maximum(past.std(axis=1), self.LEAST_DEVIATION)
        return _of_an_hour(ends, score, tally)


class MedianMad:
    """grafana/promql-anomaly-detection, robust strategy: an hour outside of the day's median by so many MADs, with a margin of half the
    median, and outside of what was usual at that time a week ago."""

    name = "median/MAD (promql-anomaly-detection)"
    MARGIN = 0.5
    LEAST_MAD = 0.5

    def __call__(self, tally: StoryCounts, market: StoryCounts, ends: IntArray) -> Scores:
        """MADs over the band's middle."""
        score = np.full(len(ends), -np.inf)
        for part in _parts(tally, ends):
            past = _hours(tally, ends[part], 24)
            last_week = _hours(tally, ends[part] - 7 * DAY_S + 12 * HOUR_S, 24)
            middle = np.median(past, axis=1)
            mad = np.median(np.abs(past - middle[:, None]), axis=1)
            usual = (1 + self.MARGIN) * np.maximum(middle, np.median(last_week, axis=1))
            now = tally.count(ends[part] - HOUR_S, ends[part])
            score[part] = (now - usual) / np.maximum(mad, self.LEAST_MAD)
        return _of_an_hour(ends, score, tally)


class WorldMonitor:
    """worldmonitor's rule: more than five stories in two hours, so many times the mean of the seven days before."""

    name = "worldmonitor"
    WINDOW_S = 2 * HOUR_S
    MORE_THAN = 5
    LEAST_MEAN = 0.05

    def __call__(self, tally: StoryCounts, market: StoryCounts, ends: IntArray) -> Scores:
        """Times the mean."""
        start = ends - self.WINDOW_S
        now, before = tally.count(start, ends), tally.count(start - 7 * DAY_S, start) / (7 * DAY_S / self.WINDOW_S)
        ratio = now / np.maximum(before, self.LEAST_MEAN)
        return Scores(np.where(now > self.MORE_THAN, ratio, -np.inf), np.full(len(ends), self.WINDOW_S))


class Kleinberg:
    """Kleinberg's two-state automaton over hourly batches (s = 2): negative stories of the series among all stories of the feed.

    Its state at the newest batch is "burst" when the evidence since some batch outweighs the cost of going up, gamma ln n: the score is
    the greatest gamma for which it does. Two weeks of batches, and the hour that is not over yet. Source: Kleinberg (2002), Bursty and
    Hierarchical Structure in Streams, 4.
    """

    name = "Kleinberg"
    SCALE = 2.0
    BATCHES = 14 * 24
    BACK = 72

    def __call__(self, tally: StoryCounts, market: StoryCounts, ends: IntArray) -> Scores:
        """The greatest gamma."""
        score, width = np.full(len(ends), -np.inf), np.full(len(ends), HOUR_S)
        begin = int(market.at[0]) // HOUR_S
        for place, end in enumerate(ends):
            if tally.count(end - DAY_S, end) < LEAST:
                continue
            first, last = max(begin, int(end) // HOUR_S - self.BATCHES), int(end) // HOUR_S
            starts = np.arange(first, last + 1) * HOUR_S
            stops = np.minimum(starts + HOUR_S, end)
            relevant = tally.count(starts, stops)
            every = np.maximum(market.count_all(starts, stops), relevant)
            if last - first < 24 or not relevant.sum():
                continue
            usual = relevant.sum() / every.sum()
            burst = min(0.99, self.SCALE * usual)
            gain = relevant * np.log(burst / usual) + (every - relevant) * np.log((1 - burst) / (1 - usual))
            since = gain[::-1].cumsum()[: self.BACK]
            best = int(np.argmax(since))
            score[place] = since[best] / np.log(len(starts))
            width[place] = end - starts[len(starts) - 1 - best]
        return Scores(score, width)


RIVALS: tuple[Rival, ...] = (FixedThreshold(), RollingZ(), MedianMad(), WorldMonitor(), Kleinberg())


def _of_an_hour(ends: IntArray, score: FloatArray, tally: StoryCounts) -> Scores:
    enough = tally.count(ends - HOUR_S, ends) >= LEAST
    return Scores(np.where(enough, score, -np.inf), np.full(len(ends), HOUR_S))


def _parts(tally: StoryCounts, ends: IntArray) -> list[IntArray]:
    """Places in `ends` with enough stories, some at a time."""
    places = np.nonzero(tally.count(ends - HOUR_S, ends) >= LEAST)[0]
    return [places[start : start + SOME] for start in range(0, len(places), SOME)]


def _hours(tally: StoryCounts, ends: IntArray, number: int) -> IntArray:
    """Negative stories of each of the `number` hours before the last one, [len(ends), number]."""
    starts = ends[:, None] - HOUR_S - np.arange(number, 0, -1)[None, :] * HOUR_S
    return tally.count(starts, starts + HOUR_S)
