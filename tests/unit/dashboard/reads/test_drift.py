"""Drift and calibration: what must hold of the figures, whatever the news."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.series import MARKET
from dashboard.reads import drift
from dashboard.reads.drift import LEAST, Months, Wrong, bins_of, distance, error_of, interval, is_right, months, wrong_by_model
from storage.store import DaySaid, Judged, MoodPoint

NOW = datetime(2026, 11, 22, 6, 5, tzinfo=UTC)
SPLIT = months(NOW)
DAY = timedelta(days=1)
counts = st.dictionaries(st.sampled_from("abcd"), st.floats(min_value=0.01, max_value=1e6), min_size=1)


def said(days_ago: int, negative: int, positive: int, articles: int = 200, language: str = "en", confidence: float = 0.8) -> DaySaid:
    day = SPLIT.until - DAY - days_ago * DAY
    return DaySaid(day, language, articles, negative, positive, confidence * articles)


def judged(said: tuple[float, float, float], label: str, model: str = "m1", language: str = "en") -> Judged:
    return Judged("sentiment", (label,), model, language, said, ("credit",), ())


def test_months_are_whole_days_and_today_lies_in_the_last():
    assert Months(datetime(2026, 9, 24, tzinfo=UTC), datetime(2026, 10, 24, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)) == SPLIT
    assert months(datetime(2026, 11, 22, tzinfo=UTC)).until == SPLIT.until


@given(counts, counts)
def test_a_distance_is_between_0_and_1_and_the_same_from_both_sides(one: dict[str, float], two: dict[str, float]):
    assert distance(one, two) == pytest.approx(distance(two, one), abs=1e-9)
    assert 0 <= distance(one, two) <= 1 + 1e-9
    assert distance(one, {key: 3 * value for key, value in one.items()}) == pytest.approx(0, abs=1e-6)


def test_what_has_nothing_in_common_is_as_far_as_can_be():
    assert distance({"a": 5}, {"b": 1}) == pytest.approx(1)
    assert distance({"a": 1, "b": 1}, {"a": 1}) == pytest.approx(0.5579, abs=1e-4)  # by hand: sqrt(1 - 0.75 log2 3 + 0.5)


def test_sentiments_are_split_by_month_and_language():
    days = [said(40, 20, 100), said(2, 120, 40), said(2, 0, 200, language="zh")]
    found = drift.sentiments(days, SPLIT, "en")
    assert (found.before, found.now) == (
        {"negative": 20, "neutral": 80, "positive": 100},
        {"negative": 120, "neutral": 40, "positive": 40},
    )
    assert found.distance is not None
    assert found.distance > drift.DRIFTED
    assert drift.sentiments(days, SPLIT).now["positive"] == 240
    assert drift.sentiments(days, SPLIT, "zh").distance is None, "no month before"


def test_few_articles_tell_nothing():
    assert drift.sentiments([said(40, 0, 0, LEAST - 1), said(1, 9, 9, LEAST)], SPLIT).distance is None
    assert drift.sentiments([said(40, 0, 0, LEAST), said(1, 9, 9, LEAST)], SPLIT).distance is not None


def test_confidence_is_the_mean_over_articles_not_over_days():
    days = [said(3, 0, 0, 100, confidence=0.9), said(2, 0, 0, 300, confidence=0.5)]
    before, now = drift.confidence(days, SPLIT)
    assert before is None
    assert now == pytest.approx(0.6)


def test_topics_are_counted_by_month():
    def point(series: str, days_ago: int, stories: int) -> MoodPoint:
        return MoodPoint(series, SPLIT.until - DAY - days_ago * DAY, 0.0, stories, 0)

    found = drift.topics([point(MARKET, 40, 150), point(MARKET, 1, 150), point("topic:credit", 40, 60), point("topic:macro", 1, 60)], SPLIT)
    assert (found.before, found.now) == ({"credit": 60}, {"macro": 60})
    assert found.distance == pytest.approx(1)


def test_right_is_what_the_person_says():
    assert is_right(judged((0.5, 0.3, 0.2), "negative"))
    assert not is_right(judged((0.4, 0.4, 0.2), "negative")), "a tie is not negative"
    topics = Judged("topic", ("credit", "macro"), "m1", "en", (0.1, 0.8, 0.1), ("macro", "credit", "own_topic"), ())
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
    error = error_of(found["en"])
    assert error == pytest.approx(0.435)


def test_no_row_has_no_error():
    assert error_of([]) is error_of([(0.0, 0.0, 0.0)]) is None


def test_wrong_answers_are_counted_by_version_the_latest_judged_first():
    new = [judged((0.9, 0.05, 0.05), label, "m2") for label in ("negative", "positive", "negative")]
    found = wrong_by_model([*new, judged((0.1, 0.8, 0.1), "neutral", "m1")])
    assert found == [Wrong("m2", "sentiment", 3, 1), Wrong("m1", "sentiment", 1, 0)]


@given(st.integers(min_value=0, max_value=500), st.integers(min_value=0, max_value=500))
def test_an_interval_holds_its_share(hits: int, more: int):
    low, high = interval(hits, hits + more)
    assert 0 <= low <= high <= 1
    if hits + more:
        assert low - 1e-12 <= hits / (hits + more) <= high + 1e-12


def test_intervals_are_wilsons():
    assert interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)  # Brown, Cai and DasGupta (2001)
    assert interval(0, 0) == (0.0, 1.0)
