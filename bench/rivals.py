"""Other methods of spike detection, as their authors describe them. Each scores moments; its threshold is tuned by bench/alerts.py.

They get the same input as our detector: new stories of a series per minute (so copies do not count twice), a score at each minute with a
negative story, at least three stories, and the same rules about sources and cooldown.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from stats.minute_counts import DAY_S, HOUR_S, FloatArray, IntArray, StoryCounts

MIN_STORIES = 3
WEEK_H = 168
BATCH = 500
"""Moments that are scored at once: their pasts form a matrix."""


class Scores(NamedTuple):
    """score: [n], -inf where it cannot raise an alarm; width_s: [n], width of the window that was scored"""

    score: FloatArray
    width_s: IntArray


class Rival(Protocol):
    """A method of spike detection."""

    name: str

    def __call__(self, counts: StoryCounts, market: StoryCounts, ends: IntArray) -> Scores:
        """Scores of moments at `ends`, seconds since 1970."""


class FixedThreshold:
    """Negative stories in the last hour."""

    name = "fixed threshold"

    def __call__(self, counts: StoryCounts, market: StoryCounts, ends: IntArray) -> Scores:
        """The count."""
        return _of_an_hour(ends, counts.count(ends - HOUR_S, ends).astype(np.float64), counts)


class RollingZ:
    """The last hour against mean and deviation of the hours of the week before."""

    name = "rolling z-score"
    MIN_DEVIATION = 0.3
    """Without a minimum, any story after a week with almost none would have an unbounded score."""

    def __call__(self, counts: StoryCounts, market: StoryCounts, ends: IntArray) -> Scores:
        """Deviations over the mean."""
        score = np.full(len(ends), -np.inf)
        for part in _parts(counts, ends):
            past = _hours(counts, ends[part], WEEK_H)
            now = counts.count(ends[part] - HOUR_S, ends[part])
            score[part] = (now - past.mean(axis=1)) / np.maximum(past.std(axis=1), self.MIN_DEVIATION)
        return _of_an_hour(ends, score, counts)


class MedianMad:
    """The robust strategy of grafana/promql-anomaly-detection: MADs of the last hour over the day's median, with a margin of half the
    median, and over the median at that time a week ago."""

    name = "median/MAD (promql-anomaly-detection)"
    MARGIN = 0.5
    MIN_MAD = 0.5

    def __call__(self, counts: StoryCounts, market: StoryCounts, ends: IntArray) -> Scores:
        """MADs over the band's middle."""
        score = np.full(len(ends), -np.inf)
        for part in _parts(counts, ends):
            past = _hours(counts, ends[part], 24)
            last_week = _hours(counts, ends[part] - 7 * DAY_S + 12 * HOUR_S, 24)
            middle = np.median(past, axis=1)
            mad = np.median(np.abs(past - middle[:, None]), axis=1)
            usual = (1 + self.MARGIN) * np.maximum(middle, np.median(last_week, axis=1))
            now = counts.count(ends[part] - HOUR_S, ends[part])
            score[part] = (now - usual) / np.maximum(mad, self.MIN_MAD)
        return _of_an_hour(ends, score, counts)


class WorldMonitor:
    """The rule of worldmonitor: more than five stories in two hours, relative to the mean of the seven days before."""

    name = "worldmonitor"
    WINDOW_S = 2 * HOUR_S
    MORE_THAN = 5
    MIN_MEAN = 0.05

    def __call__(self, counts: StoryCounts, market: StoryCounts, ends: IntArray) -> Scores:
        """Times the mean."""
        start = ends - self.WINDOW_S
        now, before = counts.count(start, ends), counts.count(start - 7 * DAY_S, start) / (7 * DAY_S / self.WINDOW_S)
        ratio = now / np.maximum(before, self.MIN_MEAN)
        return Scores(np.where(now > self.MORE_THAN, ratio, -np.inf), np.full(len(ends), self.WINDOW_S))


class Kleinberg:
    """Kleinberg's two-state automaton over hourly batches (s = 2): negative stories of the series among all stories of the feed.

    Its state at the newest batch is "burst" when the evidence since some batch exceeds the cost of the transition, gamma ln n. The score is
    the greatest gamma for which it does. Two weeks of batches and the current hour. Source: Kleinberg (2002), Bursty and
    Hierarchical Structure in Streams, 4.
    """

    name = "Kleinberg"
    SCALE = 2.0
    BATCHES = 14 * 24
    BACK = 72

    def __call__(self, counts: StoryCounts, market: StoryCounts, ends: IntArray) -> Scores:
        """The greatest gamma."""
        score, width = np.full(len(ends), -np.inf), np.full(len(ends), HOUR_S)
        begin = int(market.at[0]) // HOUR_S
        for place, end in enumerate(ends):
            if counts.count(end - DAY_S, end) < MIN_STORIES:
                continue
            first, last = max(begin, int(end) // HOUR_S - self.BATCHES), int(end) // HOUR_S
            starts = np.arange(first, last + 1) * HOUR_S
            stops = np.minimum(starts + HOUR_S, end)
            relevant = counts.count(starts, stops)
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


def _of_an_hour(ends: IntArray, score: FloatArray, counts: StoryCounts) -> Scores:
    enough = counts.count(ends - HOUR_S, ends) >= MIN_STORIES
    return Scores(np.where(enough, score, -np.inf), np.full(len(ends), HOUR_S))


def _parts(counts: StoryCounts, ends: IntArray) -> list[IntArray]:
    """Indices of `ends` with enough stories, in batches."""
    places = np.nonzero(counts.count(ends - HOUR_S, ends) >= MIN_STORIES)[0]
    return [places[start : start + BATCH] for start in range(0, len(places), BATCH)]


def _hours(counts: StoryCounts, ends: IntArray, number: int) -> IntArray:
    """Negative stories of each of the `number` hours before the last one, [len(ends), number]."""
    starts = ends[:, None] - HOUR_S - np.arange(number, 0, -1)[None, :] * HOUR_S
    return counts.count(starts, starts + HOUR_S)
