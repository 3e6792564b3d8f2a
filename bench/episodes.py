"""Made-up bad news for real archives: episodes that should ring, and decoys that should not, by seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from core.series import kind_of
from stats.minute_counts import DAY_S, HOUR_S, IntArray, StoryCounts
from storage.store import SeriesArticle

KINDS = {"topic": 0.4, "company": 0.4, "sector": 0.15, "market": 0.05}
SIZES = {"small": (4, 0.5), "medium": (8, 1.5), "large": (16, 3.0)}
"""Stories of an episode: at least so many, and so many times the worst that its series had in a stretch as long in four weeks."""
SHAPES = ("sudden", "creeping")
DECOYS = ("copies", "volume", "outage")
HOURS = {"sudden": (1.0, 4.0), "creeping": (12.0, 36.0)}


class Episode(NamedTuple):
    """Extra stories of one series.

    shape: "sudden", half of them in the first seventh; "creeping", growing for a third of its length, then going on; or a decoy
    start, length_s: from the first to the last of them; seconds
    added: what it adds to the series' tally; told: its negative articles
    """

    series: str
    shape: str
    size: str
    start: int
    length_s: int
    added: StoryCounts
    told: list[SeriesArticle]


def draw(
    tallies: Mapping[str, StoryCounts],
    sources: list[str],
    since: int,
    until: int,
    number: int,
    seed: int,
    make: Literal["episodes", "decoys"],
) -> list[Episode]:
    """`number` of them in [since, until), every shape and size as often as any other."""
    dice = np.random.default_rng([seed, number, make == "decoys"])
    by_kind = {kind: [name for name in sorted(tallies) if kind_of(name) == kind and tallies[name].negative.sum() >= 3] for kind in KINDS}
    kinds = [kind for kind in KINDS if by_kind[kind]]
    weights = np.array([KINDS[kind] for kind in kinds])
    found = []
    for place in range(number):
        names = by_kind[str(dice.choice(kinds, p=weights / weights.sum()))]
        series = names[int(dice.integers(len(names)))]
        if make == "decoys":
            found.append(_decoy(series, DECOYS[place % 2], tallies[series], sources, since, until, dice))
        else:
            found.append(_episode(series, SHAPES[place % 2], list(SIZES)[place // 2 % 3], tallies[series], sources, since, until, dice))
    return found


def _episode(
    series: str, shape: str, size: str, tally: StoryCounts, sources: list[str], since: int, until: int, dice: np.random.Generator
) -> Episode:
    length = int(dice.uniform(*HOURS[shape]) * HOUR_S)
    start = int(dice.uniform(since, until - length))
    stories = _stories(size, tally, start, length)
    place = dice.random(stories)
    if shape == "sudden":
        early = dice.exponential(0.2, stories)
        where = np.where(early < 1, early, place)
    else:
        where = np.where(place < 0.2, np.sqrt(place / 0.2) / 3, 1 / 3 + (place - 0.2) / 0.8 * 2 / 3)
    at = np.sort((start + where * length).astype(np.int64))
    told = [SeriesArticle(int(moment), f"e{n}", f"e{n}", str(dice.choice(sources))) for n, moment in enumerate(at)]
    return Episode(series, shape, size, int(at[0]), max(60, int(at[-1] - at[0])), StoryCounts.of(at, np.ones(stories, np.int64)), told)


def _decoy(series: str, shape: str, tally: StoryCounts, sources: list[str], since: int, until: int, dice: np.random.Generator) -> Episode:
    """copies: one negative story, told 30 times by all sources; volume: as many stories as a large episode, none of them negative."""
    length = int(dice.uniform(*HOURS["sudden"]) * HOUR_S)
    start = int(dice.uniform(since, until - length))
    if shape == "copies":
        at = np.sort((start + dice.random(30) * length).astype(np.int64))
        told = [SeriesArticle(int(moment), f"c{n}", "c0", sources[n % len(sources)]) for n, moment in enumerate(at)]
        return Episode(series, shape, "", start, length, StoryCounts.of(at[:1], [1]), told)
    stories = _stories("large", tally, start, length)
    at = np.sort((start + dice.random(stories) * length).astype(np.int64))
    return Episode(series, shape, "", start, length, StoryCounts.of(at, np.zeros(stories, np.int64)), [])


def _stories(size: str, tally: StoryCounts, start: int, length: int) -> int:
    least, times = SIZES[size]
    starts: IntArray = np.arange(start - 28 * DAY_S, start - length, HOUR_S)
    worst = int(tally.count(starts, starts + length).max()) if len(starts) else 0
    return max(least, round(times * worst))


def without(tally: StoryCounts, start: int, end: int) -> StoryCounts:
    """The feed was away in [start, end), and brought all of it in the quarter of an hour after."""
    gone = tally.between(start, end)
    late = StoryCounts.of(end + np.arange(len(gone)) % 15 * 60, gone.negative, gone.total)
    return tally.between(0, start) + late + tally.between(end, 2**40)
