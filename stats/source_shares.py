"""The guard on sources: which source's negative share differs from that of the others in its language, beyond chance and materially.

    counts of one language ─▶ each source against the others ─▶ the one that differs most stands out ─▶ the others again without it ─▶ …

A source whose news is negative three times as often as that of all others may report on crime, or add a line to every text that the model
takes for bad news. Both are worth a look, and no figure that is computed from sentiment shows them.

Each of the other sources counts with at most MAX_WEIGHT articles, so that a large source is not the measure of all others; and a source
that stands out is left out of the comparison of the rest, which would otherwise seem to stand out on the other side.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import NamedTuple

from stats.wilson import Interval, difference, wilson

WINDOWS = {"24h": timedelta(days=1), "7d": timedelta(days=7)}
"""Name -> width of the windows that are compared."""
MIN_ARTICLES = 30
"""Minimum articles of a source, and of the others together, for a comparison."""
MIN_DIFFERENCE = 0.2
"""Minimum difference of the negative shares that is reported."""
Z_99_9 = 3.290527
"""99.95 % quantile of the standard normal distribution. Many sources are compared all day, so 95 % would warn by chance."""
MAX_WEIGHT = 300
NEARLY = 0.8
"""Sources that differ nearly as much as the one that differs most stand out with it: of two sources, each differs from the other."""


class ShareCount(NamedTuple):
    """Articles of a source in one language, and the negative ones among them."""

    source: str
    language: str
    articles: int
    negative: int


class SourceShare(NamedTuple):
    """The negative share of a source against that of the others of its language.

    own: share of the source with its 95 % interval
    others: share of the other sources, each with at most MAX_WEIGHT articles; None without other sources
    difference: own share minus that of the others, with its 99.9 % interval; None without other sources
    stands_out: whether the difference is at least MIN_DIFFERENCE, beyond chance, and of enough articles
    """

    source: str
    language: str
    articles: int
    own: Interval
    others: float | None
    difference: Interval | None
    stands_out: bool


def compare_sources(counts: Iterable[ShareCount]) -> list[SourceShare]:
    """Each source with articles against the others of its language, by language and source. The order of `counts` does not matter."""
    languages: defaultdict[str, list[ShareCount]] = defaultdict(list)
    for count in sorted(counts):
        if count.articles > 0:
            languages[count.language].append(count)
    return [share for own in languages.values() for share in _compare(own)]


def _compare(counts: Sequence[ShareCount]) -> list[SourceShare]:
    rest, found = list(counts), dict[str, SourceShare]()
    while True:
        outliers = [share for count in rest if (share := _share(count, rest)).stands_out]
        if not outliers:
            break
        largest = max(_distance(share) for share in outliers)
        worst = {share.source: share for share in outliers if _distance(share) >= NEARLY * largest}
        found |= worst
        rest = [count for count in rest if count.source not in worst]
    return [found.get(count.source) or _share(count, rest) for count in counts]


def _share(count: ShareCount, among: Sequence[ShareCount]) -> SourceShare:
    """The comparison of a source with the others of `among`."""
    own = wilson(count.negative, count.articles)
    weights = [(other, min(1.0, MAX_WEIGHT / other.articles)) for other in among if other.source != count.source]
    articles = sum(weight * other.articles for other, weight in weights)
    if not articles:
        return SourceShare(count.source, count.language, count.articles, own, None, None, stands_out=False)
    negative = sum(weight * other.negative for other, weight in weights)
    apart = difference((count.negative, count.articles), (negative, articles), Z_99_9)
    enough = count.articles >= MIN_ARTICLES and articles >= MIN_ARTICLES
    beyond_chance = apart.low > 0 or apart.high < 0
    stands_out = enough and beyond_chance and abs(apart.share) >= MIN_DIFFERENCE
    return SourceShare(count.source, count.language, count.articles, own, negative / articles, apart, stands_out)


def _distance(share: SourceShare) -> float:
    return abs(share.difference.share) if share.difference else 0.0
