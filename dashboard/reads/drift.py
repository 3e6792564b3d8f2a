"""Does the news, or what the model says of it, look other than a month ago? And is it right as often as it is sure? Pure.

Source of the distance and of its limit: Lin (1991), "Divergence measures based on the Shannon entropy"; Evidently takes 0.1 for
drifted. Of the intervals: Wilson (1927); Brown, Cai and DasGupta (2001), "Interval Estimation for a Binomial Proportion".
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from core.series import MARKET, key_of
from core.taxonomy import RISK_KEYS, TOPIC_KEYS
from dashboard.figures.palette import sentiment_of
from dashboard.services import Bins
from storage.store import DaySaid, Judged, MoodPoint

SPAN = timedelta(days=30)
DRIFTED = 0.1
LEAST = 100
"""Articles (or stories) that a month must have on either side: of fewer, chance alone goes over the limit."""
BINS = 10
Z = 1.959964
Counts = Mapping[str, float]


class Months(NamedTuple):
    """The two stretches of whole days (UTC) that are compared: [since, middle) and [middle, until), in which now lies."""

    since: datetime
    middle: datetime
    until: datetime


class Shift(NamedTuple):
    """Counts of the month before and of this one. distance: in [0, 1]; None where either has too few to tell"""

    before: Counts
    now: Counts
    distance: float | None


class Wrong(NamedTuple):
    """What people said of a version's answers to a task: how many they judged, and how many of those were wrong."""

    model: str
    task: str
    judged: int
    wrong: int


def months(now: datetime) -> Months:
    """The last 30 days, the last of which is today, and the 30 before."""
    until = datetime.fromtimestamp((int(now.timestamp()) // 86_400 + 1) * 86_400, tz=UTC)
    return Months(until - 2 * SPAN, until - SPAN, until)


def distance(one: Counts, two: Counts) -> float:
    """The Jensen-Shannon distance of two distributions given by counts, base 2: 0 where they are alike, 1 where nothing is in both."""
    total = (sum(one.values()), sum(two.values()))
    if not all(total):
        return 0.0
    found = 0.0
    for key in {*one, *two}:
        p, q = one.get(key, 0.0) / total[0], two.get(key, 0.0) / total[1]
        mean = (p + q) / 2
        found += sum(0.5 * each * math.log2(each / mean) for each in (p, q) if each > 0)
    return math.sqrt(max(0.0, found))


def shift(before: Counts, now: Counts, least: float) -> Shift:
    """The two beside each other. least: the fewer articles or stories of the two months"""
    return Shift(before, now, distance(before, now) if least >= LEAST else None)


def sentiments(days: Iterable[DaySaid], split: Months, language: str = "") -> Shift:
    """Articles by likeliest sentiment in the two months; of one language, or of all."""
    counts: list[dict[str, float]] = [dict.fromkeys(("negative", "neutral", "positive"), 0.0) for _ in range(2)]
    for each in days:
        if not language or each.language == language:
            month = counts[each.day >= split.middle]
            month["negative"] += each.negative
            month["neutral"] += each.neutral
            month["positive"] += each.positive
    return shift(counts[0], counts[1], min(sum(month.values()) for month in counts))


def topics(points: Iterable[MoodPoint], split: Months) -> Shift:
    """Stories by topic in the two months, as counts; a story may have several topics, and counts for each on each of its days."""
    counts: list[defaultdict[str, float]] = [defaultdict(float), defaultdict(float)]
    stories = [0.0, 0.0]
    for point in points:
        month = point.start >= split.middle
        if point.series == MARKET:
            stories[month] += point.stories
        else:
            counts[month][key_of(point.series)] += point.stories
    return shift(dict(counts[0]), dict(counts[1]), min(stories))


def confidence(days: Iterable[DaySaid], split: Months, language: str = "") -> tuple[float | None, float | None]:
    """The mean probability of what was said, in the two months; None for a month without articles."""
    sums, articles = [0.0, 0.0], [0, 0]
    for each in days:
        if not language or each.language == language:
            month = each.day >= split.middle
            sums[month] += each.confidence
            articles[month] += each.articles
    before, now = (total / n if n else None for total, n in zip(sums, articles, strict=True))
    return before, now


def is_right(judged: Judged) -> bool:
    """Whether the model had said what the person says."""
    if judged.task == "sentiment":
        return (sentiment_of(*judged.said)[0],) == judged.labels
    said, known = (judged.topics, TOPIC_KEYS) if judged.task == "topic" else (judged.risks, RISK_KEYS)
    return set(said) & set(known) == set(judged.labels)


def bins_of(judged: Iterable[Judged]) -> dict[str, Bins]:
    """By language: sentiments that people judged, in BINS bins of the confidence that the model had in them."""
    found: dict[str, list[list[float]]] = {}
    for each in judged:
        if each.task == "sentiment":
            sure = max(each.said)
            row = found.setdefault(each.language, [[0.0] * 3 for _ in range(BINS)])[min(BINS - 1, int(sure * BINS))]
            for place, value in enumerate((1.0, sure, float(is_right(each)))):
                row[place] += value
    return {language: [(row[0], row[1], row[2]) for row in rows] for language, rows in sorted(found.items())}


def wrong_by_model(judged: Iterable[Judged]) -> list[Wrong]:
    """By version and task, the version that was judged last first."""
    counts: dict[tuple[str, str], list[int]] = {}
    for each in judged:
        row = counts.setdefault((each.model, each.task), [0, 0])
        row[0] += 1
        row[1] += not is_right(each)
    order = {model: place for place, model in enumerate(dict.fromkeys(model for model, _ in counts))}
    return sorted((Wrong(model, task, *row) for (model, task), row in counts.items()), key=lambda each: (order[each.model], each.task))


def interval(hits: float, n: float) -> tuple[float, float]:
    """The 95 % interval of a share of which `hits` of `n` were seen (Wilson); (0, 1) for none."""
    if n <= 0:
        return 0.0, 1.0
    share, z2 = hits / n, Z * Z
    middle, reach = share + z2 / (2 * n), Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, (middle - reach) / (1 + z2 / n)), min(1.0, (middle + reach) / (1 + z2 / n))


def error_of(bins: Bins) -> float | None:
    """The expected calibration error: the mean distance of confidence and share right, by rows; None without any."""
    total = sum(n for n, _, _ in bins)
    return sum(abs(sure - right) for _, sure, right in bins) / total if total else None


def languages(days: Sequence[DaySaid]) -> list[str]:
    """The languages of the news, the busiest first."""
    counts: defaultdict[str, int] = defaultdict(int)
    for each in days:
        counts[each.language] += each.articles
    return sorted(counts, key=lambda language: (-counts[language], language))
