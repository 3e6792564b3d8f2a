"""The usual band of charts: its coverage, and that it is the spike detector's baseline."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from dashboard.reads.usual import Usual, fit_usual_rate, usual_bands
from stats.minute_counts import EMPTY, StoryCounts
from stats.seasonal_baseline import floor
from stream.detection.detector import SpikeScorer
from stream.detection.spike_rule import SpikeRule

SINCE = datetime(2026, 11, 16, tzinfo=UTC)  # a Monday


def negative_binomial(mean: float, dispersion: float, dice: random.Random) -> int:
    rate = dice.gammavariate(1 / dispersion, dispersion * mean) if dispersion else mean
    count, product = 0, dice.random()
    while product > math.exp(-rate):
        count, product = count + 1, product * dice.random()
    return count


def mean_at(hour: int) -> float:
    """Busy working hours, quiet nights, half on Sundays."""
    return (6.0 if 8 <= hour % 24 < 18 else 1.0) * (0.5 if hour // 24 % 7 == 6 else 1.0)


def past_of(hours: range, dispersion: float, dice: random.Random) -> StoryCounts:
    counts = [negative_binomial(mean_at(hour), dispersion, dice) for hour in hours]
    return StoryCounts.of([int(SINCE.timestamp()) + 3_600 * hour for hour in hours], counts, counts)


def flat_feed(since: datetime = SINCE) -> StoryCounts:
    """A feed that publishes every quarter of an hour, from 29 days before on."""
    at = np.arange(int(since.timestamp()) - 29 * 86_400, int(since.timestamp()) + 8 * 86_400, 900)
    return StoryCounts.of(at, np.zeros(len(at)))


def bands(own: StoryCounts, starts: Sequence[datetime], width_s: int = 3_600, market: StoryCounts | None = None) -> list[Usual]:
    return usual_bands(own, own + flat_feed() if market is None else market, starts, width_s, SINCE)


@pytest.mark.parametrize("dispersion", [0.0, 0.3])
def test_most_hours_lie_in_the_band_and_its_middle_is_the_mean(dispersion: float):
    dice = random.Random(5)
    hours = [SINCE + timedelta(hours=n) for n in range(168)]
    inside, means = 0, [0.0] * 168
    for _ in range(10):
        found = bands(past_of(range(-696, 0), dispersion, dice), hours)
        inside += sum(item.low <= negative_binomial(mean_at(n), dispersion, dice) <= item.high for n, item in enumerate(found))
        means = [total + item.mean / 10 for total, item in zip(means, found, strict=True)]
    assert 0.88 <= inside / 1_680 <= 0.99
    assert sum(abs(mean - mean_at(n)) for n, mean in enumerate(means)) / 168 < 0.8
    assert means[6 * 24 + 12] < 0.8 * means[12]  # Sunday noon is not Monday noon


def test_a_past_crisis_does_not_widen_the_band():
    dice = random.Random(3)
    past = past_of(range(-696, 0), 0.1, dice)
    crisis = past + StoryCounts.of([int(SINCE.timestamp()) + 3_600 * n for n in range(-60, -52)], [80] * 8, [80] * 8)
    hour = [SINCE + timedelta(hours=100)]
    (calm,), (after,) = bands(past, hour), bands(crisis, hour)
    assert after.high < 2 * calm.high


def test_windows_narrower_and_wider_than_an_hour_have_their_share_of_the_rate():
    start = int(SINCE.timestamp())
    past = StoryCounts.of(np.arange(start - 29 * 86_400, start, 900), np.ones(29 * 96))
    (quarter,) = bands(past, [SINCE - timedelta(minutes=15)], 900)
    assert quarter.mean == pytest.approx(1.0, rel=0.02)
    (day,) = bands(past, [SINCE - timedelta(days=1)], 86_400)
    assert day.mean == pytest.approx(96.0, rel=0.02)


def test_the_band_of_an_hour_has_the_mean_that_an_alert_of_that_hour_expects():
    """One baseline: what a chart calls usual is what the spike detector expects of the same window."""
    dice = random.Random(7)
    own = past_of(range(-696, 1), 0.2, dice)
    burst = own + StoryCounts.of([int(SINCE.timestamp()) + 60 * n for n in range(50)], [1] * 50, [1] * 50)
    market = burst + flat_feed()
    rule = SpikeRule()
    for width_s in (900, 3_600, 14_400, 86_400):
        end = int(SINCE.timestamp()) + 3_600
        found = next(spike for spike in SpikeScorer(rule).spikes("topic:x", burst, market, end) if spike.width_s == width_s)
        (usual,) = usual_bands(burst, market, [SINCE + timedelta(seconds=3_600 - width_s)], width_s, SINCE + timedelta(hours=1))
        assert usual.mean == pytest.approx(found.expected, rel=1e-9)


def test_a_short_past_has_no_band_and_a_silent_series_has_the_floor():
    young = StoryCounts.of([int(SINCE.timestamp()) - 47 * 3_600], [0])
    assert bands(EMPTY, [SINCE], market=young) == bands(EMPTY, [SINCE], market=EMPTY) == []
    (silent,) = bands(EMPTY, [SINCE])
    assert silent.low == 0.0
    assert silent.mean == pytest.approx(floor(1))


def test_a_usual_rate_has_the_profile_of_the_week_and_its_share_of_an_hour():
    start = int(SINCE.timestamp())
    begins = [start - 3_600 * n for n in range(1, 673)]
    rate = fit_usual_rate(begins, [12 if begin // 3_600 % 24 == 9 else 2 for begin in begins], SINCE - timedelta(weeks=4), SINCE, 3_600)
    assert rate is not None
    means, variances = rate.mean_and_variance(np.array([start + 9 * 3_600, start + 9 * 3_600, start]), np.array([3_600, 900, 86_400]))
    assert means == pytest.approx([12, 3, 58], rel=0.05)
    assert (variances >= means).all()
    assert fit_usual_rate(begins, [1] * 672, SINCE - timedelta(hours=47), SINCE, 3_600) is None
