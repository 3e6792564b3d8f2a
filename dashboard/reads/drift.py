"""Drift of the news and of the model between two months, and the model's accuracy by version and by confidence. Pure.

The statistics are in stats/drift.py and stats/wilson.py. Source of the limit DRIFTED: Evidently's default for the Jensen-Shannon distance.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from core.series import MARKET, key_of
from core.taxonomy import RISK_KEYS, TOPIC_KEYS, sentiment_of
from dashboard.services import Bins
from stats.drift import Counts, jensen_shannon_distance
from storage.store import DailyPredictions, LabelledPrediction, SentimentPoint

SPAN = timedelta(days=30)
DRIFTED = 0.1
LEAST = 100
"""Minimum number of articles (or stories) in each month: with fewer the distance exceeds the limit by chance."""
BINS = 10


class Months(NamedTuple):
    """The two periods of whole UTC days that are compared: [since, middle) and [middle, until), which contains now."""

    since: datetime
    middle: datetime
    until: datetime


class Shift(NamedTuple):
    """Counts of the previous and the last month. distance: in [0, 1]; None where either has too few"""

    before: Counts
    now: Counts
    distance: float | None


class Wrong(NamedTuple):
    """Labels of a version's predictions for a task: number of labels, and of wrong predictions."""

    model: str
    task: str
    judged: int
    wrong: int


def months(now: datetime) -> Months:
    """The last 30 days including today, and the 30 days before."""
    until = datetime.fromtimestamp((int(now.timestamp()) // 86_400 + 1) * 86_400, tz=UTC)
    return Months(until - 2 * SPAN, until - SPAN, until)


def shift(before: Counts, now: Counts, least: float) -> Shift:
    """The shift between two months. least: the smaller number of articles or stories"""
    return Shift(before, now, jensen_shannon_distance(before, now) if least >= LEAST else None)


def sentiments(days: Iterable[DailyPredictions], split: Months, language: str = "") -> Shift:
    """Articles by predicted sentiment in the two months. language: "" for all"""
    counts: list[dict[str, float]] = [dict.fromkeys(("negative", "neutral", "positive"), 0.0) for _ in range(2)]
    for each in days:
        if not language or each.language == language:
            month = counts[each.day >= split.middle]
            month["negative"] += each.negative
            month["neutral"] += each.neutral
            month["positive"] += each.positive
    return shift(counts[0], counts[1], min(sum(month.values()) for month in counts))


def topics(points: Iterable[SentimentPoint], split: Months) -> Shift:
    """Stories by topic in the two months. A story counts for each of its topics on each of its days."""
    counts: list[defaultdict[str, float]] = [defaultdict(float), defaultdict(float)]
    stories = [0.0, 0.0]
    for point in points:
        month = point.start >= split.middle
        if point.series == MARKET:
            stories[month] += point.stories
        else:
            counts[month][key_of(point.series)] += point.stories
    return shift(dict(counts[0]), dict(counts[1]), min(stories))


def confidence(days: Iterable[DailyPredictions], split: Months, language: str = "") -> tuple[float | None, float | None]:
    """The mean confidence in the two months; None for a month without articles."""
    sums, articles = [0.0, 0.0], [0, 0]
    for each in days:
        if not language or each.language == language:
            month = each.day >= split.middle
            sums[month] += each.confidence
            articles[month] += each.articles
    before, now = (total / n if n else None for total, n in zip(sums, articles, strict=True))
    return before, now


def is_right(judged: LabelledPrediction) -> bool:
    """Whether the prediction equals the person's label."""
    if judged.task == "sentiment":
        return (sentiment_of(*judged.predicted)[0],) == judged.labels
    predicted, known = (judged.topics, TOPIC_KEYS) if judged.task == "topic" else (judged.risks, RISK_KEYS)
    return set(predicted) & set(known) == set(judged.labels)


def bins_of(judged: Iterable[LabelledPrediction]) -> dict[str, Bins]:
    """By language: labelled sentiments in BINS bins of the model's confidence."""
    found: dict[str, list[list[float]]] = {}
    for each in judged:
        if each.task == "sentiment":
            sure = max(each.predicted)
            row = found.setdefault(each.language, [[0.0] * 3 for _ in range(BINS)])[min(BINS - 1, int(sure * BINS))]
            for place, value in enumerate((1.0, sure, float(is_right(each)))):
                row[place] += value
    return {language: [(row[0], row[1], row[2]) for row in rows] for language, rows in sorted(found.items())}


def wrong_by_model(judged: Iterable[LabelledPrediction]) -> list[Wrong]:
    """Wrong predictions by version and task, the most recently labelled version first."""
    counts: dict[tuple[str, str], list[int]] = {}
    for each in judged:
        row = counts.setdefault((each.model, each.task), [0, 0])
        row[0] += 1
        row[1] += not is_right(each)
    order = {model: place for place, model in enumerate(dict.fromkeys(model for model, _ in counts))}
    return sorted((Wrong(model, task, *row) for (model, task), row in counts.items()), key=lambda each: (order[each.model], each.task))


def languages(days: Sequence[DailyPredictions]) -> list[str]:
    """The languages of the news, most articles first."""
    counts: defaultdict[str, int] = defaultdict(int)
    for each in days:
        counts[each.language] += each.articles
    return sorted(counts, key=lambda language: (-counts[language], language))
