from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats.minute_counts import EMPTY, MINUTE_S, Tally
from tests.helpers.strategies import examples

NOON = 1_795_176_000
"""2026-11-20 12:00 UTC."""
stories = st.lists(st.tuples(st.integers(NOON - 7_200, NOON + 7_200), st.booleans()), max_size=40)
"""(moment, whether it is negative)."""
spans = st.tuples(st.integers(-150, 150), st.integers(-150, 150)).map(lambda pair: sorted(NOON + MINUTE_S * step for step in pair))


def tally_of(some: list[tuple[int, bool]]) -> Tally:
    return Tally.of([at for at, _ in some], [int(bad) for _, bad in some])


def same(one: Tally, other: Tally) -> bool:
    return all(getattr(one, name).tolist() == getattr(other, name).tolist() for name in ("at", "negative", "total"))


@examples(60)
@given(stories, st.randoms(use_true_random=False))
def test_the_order_of_what_is_counted_changes_nothing(some: list[tuple[int, bool]], chance: random.Random):
    tally = tally_of(some)
    chance.shuffle(some)
    assert same(tally_of(some), tally)
    cut = chance.randint(0, len(some))
    assert same(tally_of(some[:cut]) + tally_of(some[cut:]), tally)
    assert tally.at.tolist() == sorted({at // MINUTE_S * MINUTE_S for at, _ in some})


@examples(100)
@given(stories, spans)
def test_a_count_is_what_counting_by_hand_gives(some: list[tuple[int, bool]], span: list[int]):
    since, until = span
    tally = tally_of(some)
    inside = [bad for at, bad in some if since <= at < until]
    assert int(tally.count(since, until)) == sum(inside)
    assert int(tally.count_all(since, until)) == len(inside)
    part = tally.between(since, until)
    assert (int(part.negative.sum()), int(part.total.sum())) == (sum(inside), len(inside))
    assert same(tally.between(0, since).then(part).then(tally.between(until, 2**40)), tally)


@examples(60)
@given(stories, st.sampled_from([900, 3_600]))
def test_bins_hold_each_story_once(some: list[tuple[int, bool]], width_s: int):
    first, last = (NOON - 7_200) // width_s, (NOON + 3_600) // width_s
    negative, total = tally_of(some).binned(first, last, width_s)
    for number in range(last - first):
        inside = [bad for at, bad in some if at // width_s == first + number]
        assert (negative[number], total[number]) == (sum(inside), len(inside))


def test_minutes_that_the_store_counted_are_taken_as_they_are():
    tally = Tally.of([NOON, NOON + 60], [2, 0], [5, 1])
    assert tally.count([NOON, NOON, NOON + 1], [NOON + 60, NOON + 120, NOON + 60]).tolist() == [2, 2, 0]
    assert tally.count_all(NOON, NOON + 120) == 6


@pytest.mark.parametrize("tally", [EMPTY, Tally.of([], [])])
def test_nothing_is_counted_as_nothing(tally: Tally):
    assert (len(tally), int(tally.count(0, 2**40)), int(tally.count_all(0, 2**40))) == (0, 0, 0)
    assert same(tally.then(Tally.of([NOON], [1])), Tally.of([NOON], [1]))
    assert same(Tally.of([NOON], [1]).then(tally), Tally.of([NOON], [1]))
    assert tally.binned(0, 3, 900)[0].tolist() == [0, 0, 0]
