"""The biggest movers: series that are more negative, busier or of another tone than usual at this hour of the week.

    points of the range ─▶ now ────────────┐
                                           ├▶ distance of each series from its usual rate ─▶ the furthest first
    four weeks before ─▶ its usual rate ───┘  (dashboard/reads/usual.py)

The scores order a table; whether a change is significant is decided by the spike detector (docs/detection.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np

from dashboard.reads.details import read_past_of
from dashboard.reads.usual import UsualRate, fit_usual_rate, step_of
from dashboard.time_ranges import Range, bounds
from dashboard.view import Measure
from storage.store import SentimentPoint, SentimentSeries, SeriesTotal, Store

LEAST = 5
"""Minimum number of stories for a share or a tone."""
LEAST_SCORE = 1.5
"""Minimum distance from the baseline in standard deviations."""
SHOWN = 12
STORY_SPREAD = 0.5
"""Approximate standard deviation of one story's tone, which lies in [-1, 1]."""


class Mover(NamedTuple):
    """A series in a range, compared with its usual rate.

    Attributes:
        stories, negative: Counts of the range.
        tone: Mean tone of the range, in [-1, 1].
        usual_stories, usual_negative: Counts to expect.
        usual_tone: Mean tone of the past.
        scores: Distance of each measure from usual in standard deviations; over 0: more, or better.
    """

    series: str
    stories: int
    negative: int
    tone: float
    usual_stories: float
    usual_negative: float
    usual_tone: float
    scores: dict[Measure, float]

    @property
    def share(self) -> float:
        """Negative share of the range; 0 without stories."""
        return self.negative / self.stories if self.stories else 0.0

    @property
    def usual_share(self) -> float:
        """The negative share of the baseline; 0 where it has no stories."""
        return min(1.0, self.usual_negative / self.usual_stories) if self.usual_stories else 0.0


class UsualActivity(NamedTuple):
    """The baseline of one series. tone: mean tone of its stories"""

    stories: UsualRate
    negative: UsualRate
    tone: float


UsualActivities = Mapping[str, UsualActivity]


def usual_activities(
    past: Iterable[SentimentSeries], series: Sequence[str], since: datetime, until: datetime, step_s: int
) -> UsualActivities:
    """The baseline of each series from the history [since, until) in windows of step_s; {} where the history is too short."""
    lines = {line.series: line for line in past}
    found: dict[str, UsualActivity] = {}
    for name in series:
        line = lines.get(name, SentimentSeries(name, [], [], [], []))
        stories = fit_usual_rate(line.start, line.stories, since, until, step_s)
        negative = fit_usual_rate(line.start, line.negative, since, until, step_s)
        if stories is None or negative is None:
            return {}
        found[name] = UsualActivity(stories, negative, float(np.average(line.tone, weights=line.stories)) if line.start else 0.0)
    return found


def moved(points: Iterable[SentimentPoint], known: UsualActivities, since: datetime, until: datetime) -> list[Mover]:
    """Each series of `known` over [since, until) against its baseline. points: of that period, in windows of the history's width"""
    now: dict[str, list[SentimentPoint]] = {name: [] for name in known}
    for point in points:
        now[point.series].append(point)
    return [_mover(name, now[name], habit, since, until) for name, habit in known.items()]


def furthest(found: Iterable[Mover], by: Measure, limit: int = SHOWN) -> list[Mover]:
    """The series furthest from their baseline by one measure, furthest first; below LEAST_SCORE they are omitted."""
    order = sorted(found, key=lambda mover: (-abs(mover.scores[by]), mover.series))
    return [mover for mover in order[:limit] if abs(mover.scores[by]) >= LEAST_SCORE]


def _mover(name: str, own: Sequence[SentimentPoint], habit: UsualActivity, since: datetime, until: datetime) -> Mover:
    stories, negative = sum(point.stories for point in own), sum(point.negative for point in own)
    tone = sum(point.tone * point.stories for point in own) / stories if stories else habit.tone
    usual_stories, spread = _usual(habit.stories, since, until)
    usual_negative, _ = _usual(habit.negative, since, until)
    enough = stories >= LEAST and usual_stories > 0
    share = min(0.95, max(0.02, usual_negative / usual_stories)) if usual_stories else 0.0
    scores: dict[Measure, float] = {
        "volume": (stories - usual_stories) / max(1.0, spread) if max(stories, usual_stories) >= LEAST else 0.0,
        "negative": (negative - stories * share) / math.sqrt(stories * share * (1 - share) + 1) if enough else 0.0,
        "tone": (tone - habit.tone) / (STORY_SPREAD / math.sqrt(stories)) if enough else 0.0,
    }
    return Mover(name, stories, negative, tone, usual_stories, usual_negative, habit.tone, scores)


def _usual(rate: UsualRate, since: datetime, until: datetime) -> tuple[float, float]:
    """Mean and standard deviation of the baseline in [since, until)."""
    step = rate.step_s
    edges = np.arange(since.timestamp() // step * step, until.timestamp(), step)
    begins = np.maximum(edges, since.timestamp())
    means, variances = rate.mean_and_variance(begins, np.minimum(edges + step, until.timestamp()) - begins)
    return float(means.sum()), math.sqrt(variances.sum())


def candidates(members: Sequence[SeriesTotal], others: Mapping[str, Sequence[SeriesTotal]]) -> tuple[str, ...]:
    """The series to compare: the most active of each kind, sorted by name, as they are a cache key."""
    return tuple(sorted({item.series for items in (members, *others.values()) for item in items if item.stories >= LEAST}))


def read_usual_activities(store: Store, series: Sequence[str], chosen: Range, now: datetime) -> UsualActivities:
    """The baseline of each of `series` from the weeks before a range. Raises StoreError."""
    step_s = step_of(chosen.width_s)
    past, first, until = read_past_of(store, series, chosen.width_s, bounds(chosen, now)[0])
    return usual_activities(past, series, first, until, step_s)


def read_moved(store: Store, known: UsualActivities, chosen: Range, now: datetime) -> list[Mover]:
    """Each series of `known` against its baseline in the elapsed part of a range. Raises StoreError."""
    since, until = bounds(chosen, now)
    points = store.rollups.sentiment(sorted(known), since, until, step_of(chosen.width_s))
    return moved(points, known, since, max(since, min(until, now)))
