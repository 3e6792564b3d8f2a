from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats.minute_counts import EMPTY, MINUTE_S, StoryCounts
from tests.helpers.strategies import examples

NOON = 1_795_176_000
"""2026-11-20 12:00 UTC."""
stories = st.lists(st.tuples(st.integers(NOON - 7_200, NOON + 7_200), st.booleans()), max_size=40)
"""(moment, whether it is negative)."""
spans = st.tuples(st.integers(-150, 150), st.integers(-150, 150)).map(lambda pair: sorted(NOON + MINUTE_S * step for step in pair))


def counts_of(some: list[tuple[int, bool]]) -> StoryCounts:
    return StoryCounts.of([at for at, _ in some], [int(bad) for _, bad in some])


def same(one: StoryCounts, other: StoryCounts) -> bool:
    return all(getattr(one, name).tolist() == getattr(other, name).tolist() for name in ("at", "negative", "total"))


@examples(60)
@given(stories, st.randoms(use_true_random=False))
def test_counts_do_not_depend_on_the_order_of_stories(some: list[tuple[int, bool]], chance: random.Random):
    counts = counts_of(some)
    chance.shuffle(some)
    assert same(counts_of(some), counts)
    cut = chance.randint(0, len(some))
    assert same(counts_of(some[:cut]) + counts_of(some[cut:]), counts)
    assert counts.at.tolist() == sorted({at // MINUTE_S * MINUTE_S for at, _ in some})


@examples(100)
@given(stories, spans)
def test_counts_of_an_interval_equal_a_plain_loop(some: list[tuple[int, bool]], span: list[int]):
    since, until = span
    counts = counts_of(some)
    inside = [bad for at, bad in some if since <= at < until]
    assert int(counts.count(since, until)) == sum(inside)
    assert int(counts.count_all(since, until)) == len(inside)
    part = counts.between(since, until)
    assert (int(part.negative.sum()), int(part.total.sum())) == (sum(inside), len(inside))
    assert same(counts.between(0, since).then(part).then(counts.between(until, 2**40)), counts)


@examples(60)
@given(stories, st.sampled_from([900, 3_600]))
def test_each_story_is_in_exactly_one_bin(some: list[tuple[int, bool]], width_s: int):
    first, last = (NOON - 7_200) // width_s, (NOON + 3_600) // width_s
    negative, total = counts_of(some).binned(first, last, width_s)
    for number in range(last - first):
        inside = [bad for at, bad in some if at // width_s == first + number]
        assert (negative[number], total[number]) == (sum(inside), len(inside))


def test_counts_can_be_built_from_counted_minutes():
    counts = StoryCounts.of([NOON, NOON + 60], [2, 0], [5, 1])
    assert counts.count([NOON, NOON, NOON + 1], [NOON + 60, NOON + 120, NOON + 60]).tolist() == [2, 2, 0]
    assert counts.count_all(NOON, NOON + 120) == 6


@pytest.mark.parametrize("counts", [EMPTY, StoryCounts.of([], [])])
def test_empty_counts_are_zero_and_neutral(counts: StoryCounts):
    assert (len(counts), int(counts.count(0, 2**40)), int(counts.count_all(0, 2**40))) == (0, 0, 0)
    assert same(counts.then(StoryCounts.of([NOON], [1])), StoryCounts.of([NOON], [1]))
    assert same(StoryCounts.of([NOON], [1]).then(counts), StoryCounts.of([NOON], [1]))
    assert counts.binned(0, 3, 900)[0].tolist() == [0, 0, 0]
