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


def strongest(series: StoryCounts, *, market: StoryCounts = CALM, end: int = NOON, rule: SpikeRule = RULE, since: int = 0) -> Spike | None:
    return next(iter(SpikeScorer(rule).spikes(SERIES, series, market + series, end, since)), None)


def test_a_new_series_can_have_a_spike():
    found = strongest(SPIKE)
    assert found is not None
    assert (found.end, found.width_s, found.observed) == (NOON, 900, 8)
    assert found.surprise > 10


stories = st.lists(st.tuples(st.integers(0, 3 * 1_440), st.integers(0, 1), st.integers(1, 40)), min_size=1, max_size=20)


@examples(40)
@given(stories, stories, st.sampled_from([0, 7, 59, 60]))
def test_later_stories_do_not_change_a_score(before: list[tuple[int, int, int]], later: list[tuple[int, int, int]], minute: int):
    """Neither those of the same hour, nor when later moments were scored before."""
    end = NOON + minute * MINUTE_S
    past, to_come = (
        StoryCounts.of(
            [end + way * MINUTE_S * at - (way < 0) for at, _, _ in some], [n * bad for _, bad, n in some], [n for _, _, n in some]
        )
        for some, way in ((before, -1), (later, 1))
    )
    past = past + SPIKE
    first = SpikeScorer(RULE).spikes(SERIES, past, CALM + past, end)
    both = past + to_come
    assert SpikeScorer(RULE).spikes(SERIES, both, CALM + both, end) == first
    scorer = SpikeScorer(RULE)
    scorer.spikes(SERIES, both, CALM + both, end + 2 * HOUR_S)
    scorer.spikes(SERIES, both, CALM + both, end + 1)
    assert scorer.spikes(SERIES, both, CALM + both, end) == first


def test_nothing_is_scored_before_the_warmup_is_over():
    for hours in (6, 11.9):
        assert strongest(SPIKE, market=CALM.between(NOON - int(hours * HOUR_S), NOON)) is None
    assert strongest(SPIKE, market=CALM.between(NOON - 13 * HOUR_S, NOON)) is not None
    assert SpikeScorer(RULE).spikes(SERIES, SPIKE, EMPTY, NOON) == []


def test_a_window_needs_a_past_of_seven_times_its_width():
    no_warmup = replace(RULE, warmup_s=0, widths_s=(900, 14_400))
    creeping = StoryCounts.of(NOON - 1_200 * np.arange(12), np.ones(12))
    began = NOON - PAST_WIDTHS * 14_400
    young, old = (CALM.between(began + early, NOON) for early in (HOUR_S, -HOUR_S))
    assert strongest(creeping, market=young, rule=no_warmup) is None
    found = strongest(creeping, market=old, rule=no_warmup)
    assert found is not None and found.width_s == 14_400


def test_windows_that_begin_before_since_are_left_out():
    found = strongest(SPIKE, since=NOON - 900)
    assert found is not None and found.width_s == 900
    assert strongest(SPIKE, since=NOON - 899) is None


def test_a_window_needs_min_stories():
    assert strongest(SPIKE.between(NOON - 121, NOON)) is None
    assert strongest(SPIKE.between(NOON - 181, NOON)) is not None


def test_a_rise_over_a_day_is_not_part_of_its_own_baseline():
    """Eight a day in the last weeks, and an increasing rate since yesterday noon."""
    usual = StoryCounts.of(np.arange(NOON - 10 * DAY_S, NOON - DAY_S, 10_800), np.ones(72))
    steps = NOON - DAY_S * np.sqrt(np.linspace(0, 1, 40))
    found = strongest(usual + StoryCounts.of(steps.astype(np.int64), np.ones(40)))
    assert found is not None
    assert found.expected < 12
    assert found.surprise > 4


def test_a_changed_past_is_used_after_forget():
    """A story arrives late; until `forget` the cached baseline is used."""
    scorer = SpikeScorer(RULE)
    late = SPIKE + StoryCounts.of(NOON - DAY_S * np.arange(2, 9), np.full(7, 60))
    before = scorer.spikes(SERIES, SPIKE, CALM + SPIKE, NOON)
    assert scorer.spikes(SERIES, late, CALM + late, NOON) == before
    scorer.forget("company:other")
    assert scorer.spikes(SERIES, late, CALM + late, NOON) == before
    scorer.forget(SERIES)
    after = scorer.spikes(SERIES, late, CALM + late, NOON)
    assert after[0].surprise < before[0].surprise


def test_a_backlog_after_a_feed_outage_is_no_spike():
    """Twenty stories an hour, a quarter of them negative: none for nine hours, then those of nine hours in five minutes."""
    at = np.arange(NOON - 20 * DAY_S, NOON - 9 * HOUR_S, 180)
    usual = StoryCounts.of(at, np.arange(len(at)) % 4 == 0)
    backlog = StoryCounts.of(NOON - 2 * np.arange(1, 151), np.arange(150) % 4 == 0)
    found = strongest(usual + backlog, market=EMPTY)
    assert found is None or found.surprise < 2
    worse = StoryCounts.of(NOON - 2 * np.arange(1, 151), np.ones(150))
    found = strongest(usual + worse, market=EMPTY)
    assert found is not None and found.surprise > 4
