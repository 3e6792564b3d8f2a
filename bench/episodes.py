"""Synthetic episodes of bad news for real archives, and decoys that should raise no alert, by random seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from core.series import kind_of
from stats.minute_counts import DAY_S, HOUR_S, IntArray, StoryCounts
from storage.store import SeriesArticle

KINDS = {"topic": 0.4, "company": 0.4, "sector": 0.15, "market": 0.05}
SIZES = {"small": (4, 0.5), "medium": (8, 1.5), "large": (16, 3.0)}
"""Stories of an episode: a minimum, and a multiple of the most that its series had in any window of the same length in four weeks."""
SHAPES = ("sudden", "creeping")
DECOYS = ("copies", "volume", "outage")
HOURS = {"sudden": (1.0, 4.0), "creeping": (12.0, 36.0)}


class Episode(NamedTuple):
    """Extra stories of one series.

    Attributes:
        series: The series.
        shape: "sudden", half of the stories in the first seventh; "creeping", growing for a third of its length; or the name of a decoy.
        size: A key of SIZES; "" for a decoy.
        start: Time of the first story, seconds since 1970.
        length_s: Seconds from the first to the last story.
        added: Counts that it adds to the series.
        articles: Its negative articles.
    """

    series: str
    shape: str
    size: str
    start: int
    length_s: int
    added: StoryCounts
    articles: list[SeriesArticle]


def draw(
    counts: Mapping[str, StoryCounts],
    sources: list[str],
    since: int,
    until: int,
    number: int,
    seed: int,
    make: Literal["episodes", "decoys"],
) -> list[Episode]:
    """Draw episodes or decoys in [since, until), each shape and size equally often.

    Args:
        counts: Stories by series.
        sources: Names of the sources that publish them.
        since, until: Seconds since 1970.
        number: How many.
        seed: Random seed.
        make: What to draw.
    """
    rng = np.random.default_rng([seed, number, make == "decoys"])
    by_kind = {kind: [name for name in sorted(counts) if kind_of(name) == kind and counts[name].negative.sum() >= 3] for kind in KINDS}
    kinds = [kind for kind in KINDS if by_kind[kind]]
    weights = np.array([KINDS[kind] for kind in kinds])
    found = []
    for place in range(number):
        names = by_kind[str(rng.choice(kinds, p=weights / weights.sum()))]
        series = names[int(rng.integers(len(names)))]
        if make == "decoys":
            found.append(_decoy(series, DECOYS[place % 2], counts[series], sources, since, until, rng))
        else:
            found.append(_episode(series, SHAPES[place % 2], list(SIZES)[place // 2 % 3], counts[series], sources, since, until, rng))
    return found


def _episode(
    series: str, shape: str, size: str, own: StoryCounts, sources: list[str], since: int, until: int, rng: np.random.Generator
) -> Episode:
    length = int(rng.uniform(*HOURS[shape]) * HOUR_S)
    start = int(rng.uniform(since, until - length))
    stories = _stories(size, own, start, length)
    place = rng.random(stories)
    if shape == "sudden":
        early = rng.exponential(0.2, stories)
        where = np.where(early < 1, early, place)
    else:
        where = np.where(place < 0.2, np.sqrt(place / 0.2) / 3, 1 / 3 + (place - 0.2) / 0.8 * 2 / 3)
    at = np.sort((start + where * length).astype(np.int64))
    articles = [SeriesArticle(int(moment), f"e{n}", f"e{n}", str(rng.choice(sources))) for n, moment in enumerate(at)]
    return Episode(series, shape, size, int(at[0]), max(60, int(at[-1] - at[0])), StoryCounts.of(at, np.ones(stories, np.int64)), articles)


def _decoy(series: str, shape: str, own: StoryCounts, sources: list[str], since: int, until: int, rng: np.random.Generator) -> Episode:
    """copies: one negative story, published 30 times by all sources; volume: as many stories as a large episode, none negative."""
    length = int(rng.uniform(*HOURS["sudden"]) * HOUR_S)
    start = int(rng.uniform(since, until - length))
    if shape == "copies":
        at = np.sort((start + rng.random(30) * length).astype(np.int64))
        articles = [SeriesArticle(int(moment), f"c{n}", "c0", sources[n % len(sources)]) for n, moment in enumerate(at)]
        return Episode(series, shape, "", start, length, StoryCounts.of(at[:1], [1]), articles)
    stories = _stories("large", own, start, length)
    at = np.sort((start + rng.random(stories) * length).astype(np.int64))
    return Episode(series, shape, "", start, length, StoryCounts.of(at, np.zeros(stories, np.int64)), [])


def _stories(size: str, own: StoryCounts, start: int, length: int) -> int:
    least, times = SIZES[size]
    starts: IntArray = np.arange(start - 28 * DAY_S, start - length, HOUR_S)
    worst = int(own.count(starts, starts + length).max()) if len(starts) else 0
    return max(least, round(times * worst))


def with_outage(own: StoryCounts, start: int, end: int) -> StoryCounts:
    """The counts if the feed was down in [start, end), and delivered everything in the quarter of an hour after."""
    gone = own.between(start, end)
    late = StoryCounts.of(end + np.arange(len(gone)) % 15 * 60, gone.negative, gone.total)
    return own.between(0, start) + late + own.between(end, 2**40)
