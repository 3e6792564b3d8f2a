"""A replay raises the alerts of the live stream, and uses nothing that is published later."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from core.series import MARKET, company_series
from stats.minute_counts import StoryCounts
from storage.store import SeriesArticle, SourceStories
from stream.detection.replay import InMemoryPeaks, ReplayData, replay
from stream.detection.spike_rule import SpikeRule
from tests.helpers.strategies import examples

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
START = int(NOON.timestamp())
COMPANY = company_series("600519.SH")
RULE = SpikeRule(false_per_week=10.0)
CALM = [(-3_600 * hour - 600, f"s{hour % 3}") for hour in range(240)]


def history(bad: Sequence[tuple[int, str]], copies: Sequence[SeriesArticle] = ()) -> ReplayData:
    """Ten days of a calm market, and one company's negative stories: (seconds from noon, source)."""
    moments = sorted((START + after, source) for after, source in bad)
    mentions = [SeriesArticle(at, f"id{n}", f"id{n}", source) for n, (at, source) in enumerate(moments)]
    own = StoryCounts.of([at for at, _ in moments], [1] * len(moments))
    calm = StoryCounts.of([START + after for after, _ in CALM], [0] * len(CALM))
    every = sorted([*mentions, *copies])
    return ReplayData({MARKET: calm + own, COMPANY: own}, {MARKET: every, COMPANY: every}, sources=3)


def alerts(of: ReplayData, rule: SpikeRule = RULE, until: datetime = NOON + timedelta(days=1)) -> list[tuple[str, datetime, int]]:
    found = [alert for moment in replay(of, rule, NOON - timedelta(days=9), until) for alert in moment.alerts]
    return [(alert.series, alert.detected_at, alert.observed) for alert in found]


CRISIS = [(60 * n, f"s{n % 3}") for n in range(9)]


def test_an_alert_is_raised_at_the_minute_with_enough_stories():
    found = alerts(history(CRISIS))
    assert {series for series, _, _ in found} == {COMPANY, MARKET}
    first = min(moment for _, moment, _ in found)
    assert NOON + timedelta(minutes=3) <= first <= NOON + timedelta(minutes=9)
    assert len(found) == 2, "an episode has one alert per series"


def test_a_replay_applies_the_budget_and_min_sources_of_the_rule():
    assert alerts(history(CRISIS), replace(RULE, min_sources=4)) != [], "a feed of three sources needs three, not four"
    assert alerts(history([(60 * n, "s0") for n in range(9)])) == []
    assert alerts(history(CRISIS[:3]), replace(RULE, false_per_week=1e-4)) == []


def test_later_stories_do_not_change_earlier_alerts():
    later = [*CRISIS, *((7_200 + 30 * n, f"s{n % 3}") for n in range(40))]
    early = NOON + timedelta(hours=1)
    assert alerts(history(later), until=early) == alerts(history(CRISIS), until=early) != []


@examples(25)
@given(st.randoms(use_true_random=False))
def test_a_replay_does_not_depend_on_the_order_of_its_input(chance: random.Random):
    assert alerts(history(chance.sample(CRISIS, len(CRISIS)))) == alerts(history(CRISIS))


def test_stories_of_a_source_are_counted_as_first_or_copied():
    copies = [SeriesArticle(START + 30, "copy", "id0", "s9"), SeriesArticle(START + 40, "again", "id0", "s9")]
    of = history(CRISIS[:3], copies)
    mentions = of.negative_sources(COMPANY, NOON, NOON + timedelta(minutes=5))
    assert mentions == {"s0": SourceStories(1, 1), "s1": SourceStories(1, 1), "s2": SourceStories(1, 1), "s9": SourceStories(0, 1)}
    assert of.negative_sources(COMPANY, NOON, NOON) == {}
    assert of.source_names == ["s0", "s1", "s2", "s9"]


def test_peaks_in_memory_begin_with_the_first_call():
    peaks = InMemoryPeaks()
    assert peaks.began("r", NOON) == peaks.began("r", NOON + timedelta(days=1)) == NOON
