"""Drift and calibration: properties that hold for any news."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.series import MARKET
from dashboard.reads import drift
from dashboard.reads.drift import LEAST, Months, Wrong, bins_of, is_right, months, wrong_by_model
from stats.drift import expected_calibration_error
from storage.store import DailyPredictions, LabelledPrediction, SentimentPoint

NOW = datetime(2026, 11, 22, 6, 5, tzinfo=UTC)
SPLIT = months(NOW)
DAY = timedelta(days=1)


def day(
    days_ago: int, negative: int, positive: int, articles: int = 200, language: str = "en", confidence: float = 0.8
) -> DailyPredictions:
    day = SPLIT.until - DAY - days_ago * DAY
    return DailyPredictions(day, language, articles, negative, positive, confidence * articles)


def judged(shown_text: tuple[float, float, float], label: str, model: str = "m1", language: str = "en") -> LabelledPrediction:
    return LabelledPrediction("sentiment", (label,), model, language, shown_text, ("credit",), ())


def test_months_are_whole_days_and_today_lies_in_the_last():
    assert Months(datetime(2026, 9, 24, tzinfo=UTC), datetime(2026, 10, 24, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)) == SPLIT
    assert months(datetime(2026, 11, 22, tzinfo=UTC)).until == SPLIT.until


def test_sentiments_are_split_by_month_and_language():
    days = [day(40, 20, 100), day(2, 120, 40), day(2, 0, 200, language="zh")]
    found = drift.sentiments(days, SPLIT, "en")
    assert (found.before, found.now) == (
        {"negative": 20, "neutral": 80, "positive": 100},
        {"negative": 120, "neutral": 40, "positive": 40},
    )
    assert found.distance is not None
    assert found.distance > drift.DRIFTED
    assert drift.sentiments(days, SPLIT).now["positive"] == 240
    assert drift.sentiments(days, SPLIT, "zh").distance is None, "no month before"


def test_few_articles_give_no_drift_value():
    assert drift.sentiments([day(40, 0, 0, LEAST - 1), day(1, 9, 9, LEAST)], SPLIT).distance is None
    assert drift.sentiments([day(40, 0, 0, LEAST), day(1, 9, 9, LEAST)], SPLIT).distance is not None


def test_confidence_is_the_mean_over_articles_not_over_days():
    days = [day(3, 0, 0, 100, confidence=0.9), day(2, 0, 0, 300, confidence=0.5)]
    before, now = drift.confidence(days, SPLIT)
    assert before is None
    assert now == pytest.approx(0.6)


def test_topics_are_counted_by_month():
    def point(series: str, days_ago: int, stories: int) -> SentimentPoint:
        return SentimentPoint(series, SPLIT.until - DAY - days_ago * DAY, 0.0, stories, 0)

    found = drift.topics([point(MARKET, 40, 150), point(MARKET, 1, 150), point("topic:credit", 40, 60), point("topic:macro", 1, 60)], SPLIT)
    assert (found.before, found.now) == ({"credit": 60}, {"macro": 60})
    assert found.distance == pytest.approx(1)


def test_a_prediction_is_right_when_it_equals_the_label():
    assert is_right(judged((0.5, 0.3, 0.2), "negative"))
    assert not is_right(judged((0.4, 0.4, 0.2), "negative")), "a tie is not negative"
    topics = LabelledPrediction("topic", ("credit", "macro"), "m1", "en", (0.1, 0.8, 0.1), ("macro", "credit", "own_topic"), ())
    assert is_right(topics), "the analysts' own topics are learned in another way"
    assert not is_right(topics._replace(labels=("credit",)))
    assert is_right(topics._replace(task="risk", labels=()))
    assert not is_right(topics._replace(task="risk", labels=("fraud",)))


def test_bins_hold_each_judged_sentiment_once():
    found = bins_of(
        [judged((0.95, 0.03, 0.02), "negative"), judged((0.92, 0.05, 0.03), "neutral"), judged((1.0, 0, 0), "negative", language="zh")]
    )
    assert found["en"][9] == pytest.approx((2, 1.87, 1))
    assert tuple(found["zh"][9]) == (1, 1.0, 1)
    assert sum(n for rows in found.values() for n, _, _ in rows) == 3
    error = expected_calibration_error(found["en"])
    assert error == pytest.approx(0.435)


def test_wrong_answers_are_counted_by_version_the_latest_judged_first():
    new = [judged((0.9, 0.05, 0.05), label, "m2") for label in ("negative", "positive", "negative")]
    found = wrong_by_model([*new, judged((0.1, 0.8, 0.1), "neutral", "m1")])
    assert found == [Wrong("m2", "sentiment", 3, 1), Wrong("m1", "sentiment", 1, 0)]
