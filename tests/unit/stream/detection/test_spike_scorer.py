from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stats.minute_counts import DAY_S, EMPTY, HOUR_S, MINUTE_S, StoryCounts
from stats.spikes import PAST_WIDTHS, Spike
from stream.detection.detector import SpikeScorer
from stream.detection.spike_rule import SpikeRule
from tests.helpers.strategies import examples

NOON = 1_795_176_000
"""2026-11-20 12:00 UTC."""
RULE = SpikeRule()
SERIES = "company:600519.SH"
CALM = StoryCounts.of(np.arange(NOON - 10 * DAY_S, NOON - HOUR_S, 1_800), np.zeros(478))
"""The feed: a story each half hour of ten days."""
SPIKE = StoryCounts.of(NOON - MINUTE_S * np.arange(1, 9), np.ones(8))


def judged(series: StoryCounts, *, market: StoryCounts = CALM, end: int = NOON, rule: SpikeRule = RULE, since: int = 0) -> Spike | None:
    return next(iter(SpikeScorer(rule).spikes(SERIES, series, market + series, end, since)), None)


def test_a_spike_of_a_series_that_was_never_heard_of_before():
    found = judged(SPIKE)
    assert found is not None
    assert (found.end, found.width_s, found.observed) == (NOON, 900, 8)
    assert found.surprise > 10


stories = st.lists(st.tuples(st.integers(0, 3 * 1_440), st.integers(0, 1), st.integers(1, 40)), min_size=1, max_size=20)


@examples(40)
@given(stories, stories, st.sampled_from([0, 7, 59, 60]))
def test_what_came_later_changes_nothing(before: list[tuple[int, int, int]], later: list[tuple[int, int, int]], minute: int):
    """Also what came in the same hour, whether the judge has judged later moments already or not."""
    end = NOON + minute * MINUTE_S
    past, to_come = (
        StoryCounts.of([end + way * MINUTE_S * at - (way < 0) for at, _, _ in some], [n * bad for _, bad, n in some], [n for _, _, n in some])
        for some, way in ((before, -1), (later, 1))
    )
    past = past + SPIKE
    first = SpikeScorer(RULE).spikes(SERIES, past, CALM + past, end)
    both = past + to_come
    assert SpikeScorer(RULE).spikes(SERIES, both, CALM + both, end) == first
    judge = SpikeScorer(RULE)
    judge.spikes(SERIES, both, CALM + both, end + 2 * HOUR_S)
    judge.spikes(SERIES, both, CALM + both, end + 1)
    assert judge.spikes(SERIES, both, CALM + both, end) == first


def test_nothing_is_judged_before_the_feed_was_followed_long_enough():
    for hours in (6, 11.9):
        assert judged(SPIKE, market=CALM.between(NOON - int(hours * HOUR_S), NOON)) is None
    assert judged(SPIKE, market=CALM.between(NOON - 13 * HOUR_S, NOON)) is not None
    assert SpikeScorer(RULE).spikes(SERIES, SPIKE, EMPTY, NOON) == []


def test_a_window_needs_a_past_of_seven_times_its_width():
    impatient = replace(RULE, warmup_s=0, widths_s=(900, 14_400))
    creeping = StoryCounts.of(NOON - 1_200 * np.arange(12), np.ones(12))
    began = NOON - PAST_WIDTHS * 14_400
    young, old = (CALM.between(began + early, NOON) for early in (HOUR_S, -HOUR_S))
    assert judged(creeping, market=young, rule=impatient) is None
    found = judged(creeping, market=old, rule=impatient)
    assert found is not None and found.width_s == 14_400


def test_what_rang_already_is_left_out():
    found = judged(SPIKE, since=NOON - 900)
    assert found is not None and found.width_s == 900
    assert judged(SPIKE, since=NOON - 899) is None


def test_three_stories_are_needed():
    assert judged(SPIKE.between(NOON - 121, NOON)) is None
    assert judged(SPIKE.between(NOON - 181, NOON)) is not None


def test_a_day_that_gets_worse_is_not_its_own_past():
    """Eight a day in the last weeks, and more and more since yesterday noon."""
    usual = StoryCounts.of(np.arange(NOON - 10 * DAY_S, NOON - DAY_S, 10_800), np.ones(72))
    steps = NOON - DAY_S * np.sqrt(np.linspace(0, 1, 40))
    found = judged(usual + StoryCounts.of(steps.astype(np.int64), np.ones(40)))
    assert found is not None
    assert found.expected < 12
    assert found.surprise > 4


def test_a_past_that_changed_is_read_again_when_that_was_said():
    """A story that came late: until `forget`, the past is what it was."""
    judge = SpikeScorer(RULE)
    late = SPIKE + StoryCounts.of(NOON - DAY_S * np.arange(2, 9), np.full(7, 60))
    before = judge.spikes(SERIES, SPIKE, CALM + SPIKE, NOON)
    assert judge.spikes(SERIES, late, CALM + late, NOON) == before
    judge.forget("company:other")
    assert judge.spikes(SERIES, late, CALM + late, NOON) == before
    judge.forget(SERIES)
    after = judge.spikes(SERIES, late, CALM + late, NOON)
    assert after[0].surprise < before[0].surprise


def test_a_feed_that_was_away_and_brings_all_at_once_does_not_surprise():
    """Twenty stories an hour, a quarter of them bad: none for nine hours, then nine hours' worth in five minutes."""
    at = np.arange(NOON - 20 * DAY_S, NOON - 9 * HOUR_S, 180)
    usual = StoryCounts.of(at, np.arange(len(at)) % 4 == 0)
    backlog = StoryCounts.of(NOON - 2 * np.arange(1, 151), np.arange(150) % 4 == 0)
    found = judged(usual + backlog, market=EMPTY)
    assert found is None or found.surprise < 2
    worse = StoryCounts.of(NOON - 2 * np.arange(1, 151), np.ones(150))
    rang = judged(usual + worse, market=EMPTY)
    assert rang is not None and rang.surprise > 4
