"""What is true of every batch, every window and every search for a bad item."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from spine.records import Article, encode, sha
from spine.store import WindowCount
from stream.batches import Raw, latest_versions, read
from stream.resilience import isolate
from stream.windows import Window, align, fill, history_start, touched, window_of
from tests.strategies import articles, examples

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
widths = st.sampled_from([60, 300, 900, 3_600, 86_400])
near = st.floats(-200_000, 1_000).map(lambda seconds: NOON + timedelta(seconds=seconds))
"""Moments of two days and a bit of the future, seen from noon."""


@examples(100)
@given(near, st.integers(1, 100_000))
def test_every_moment_lies_in_one_step_of_the_grid_and_grids_nest(moment: datetime, step_s: int):
    start = align(moment, step_s)
    assert start <= moment < start + timedelta(seconds=step_s)
    assert start.timestamp() % step_s == 0
    assert align(start, step_s) == start
    assert align(align(moment, step_s), 2 * step_s) == align(moment, 2 * step_s)


@examples(100)
@given(st.lists(near, max_size=15), widths, st.integers(60, 200_000), st.randoms())
def test_every_story_that_is_no_history_lies_in_a_window_that_is_judged(
    moments: list[datetime], width_s: int, max_age_s: int, chance: random.Random
):
    windows = touched(moments, width_s, NOON, max_age_s)
    fresh = [min(moment, NOON) for moment in moments if min(moment, NOON) >= NOON - timedelta(seconds=max_age_s)]
    for moment in fresh:
        assert any(window.start <= moment < window.end for window in windows)
    assert windows == sorted(set(windows))
    assert len(windows) == len({align(moment, width_s) for moment in fresh})
    assert all(window.end <= align(NOON, 60) + timedelta(seconds=60) for window in windows)
    chance.shuffle(moments)
    assert touched(moments + moments, width_s, NOON, max_age_s) == windows


@examples(100)
@given(near, widths, st.integers(0, 30 * 86_400), st.none() | near, st.integers(0, 10**6))
def test_the_past_of_a_window_is_cut_into_windows_without_gaps(
    moment: datetime, width_s: int, history_s: int, first_seen: datetime | None, place: int
):
    window = window_of(moment, width_s)
    width = window.end - window.start
    since = history_start(window, history_s, first_seen)
    reach = timedelta(seconds=history_s) if first_seen is None else min(timedelta(seconds=history_s), window.start - first_seen)
    assert since <= window.start
    assert (window.start - since) % width == timedelta()
    assert window.start - since <= max(reach, timedelta())
    assert reach < window.start - since + width, "one window more would fit"

    filled = fill([], since, window.end, width_s)
    starts = [count.start for count in filled]
    assert starts == [since + number * width for number in range(len(filled))]
    assert starts[-1] == window.start
    then = since + timedelta(microseconds=place * ((window.end - since) // timedelta(microseconds=1)) // (10**6 + 1))
    assert sum(start <= then < start + width for start in starts) == 1


@examples(60)
@given(st.dictionaries(st.integers(0, 199), st.integers(1, 99), max_size=20), st.integers(0, 200), widths, st.randoms())
def test_windows_that_were_counted_keep_their_counts(stories: dict[int, int], number: int, width_s: int, chance: random.Random):
    width = timedelta(seconds=width_s)
    counts = [WindowCount(NOON + at * width, width_s, n, n) for at, n in stories.items()]
    chance.shuffle(counts)
    filled = fill(counts, NOON, NOON + number * width, width_s)
    assert [count.negative for count in filled] == [stories.get(at, 0) for at in range(number)]


messages = st.lists(st.one_of(articles.map(encode), st.binary(max_size=30), st.none(), st.just(b"{}")), max_size=8)


@examples(60)
@given(messages)
def test_every_message_ends_as_a_record_or_a_dead_letter_and_none_twice(values: list[bytes | None]):
    raws = [Raw("articles", number % 3, number, b"key", value) for number, value in enumerate(values)]
    good, dead = read(raws, Article, NOON)
    assert sorted([raw.offset for raw, _ in good] + [letter.offset for letter in dead]) == list(range(len(raws)))
    assert [raw.offset for raw, _ in good] == sorted(raw.offset for raw, _ in good)
    for raw, record in good:
        assert encode(record) == raw.value
    for letter in dead:
        assert letter.reason.startswith(("not a valid Article: ", "empty message"))
        assert (letter.stage, letter.value, letter.partition) == ("decode", values[letter.offset] or b"", letter.offset % 3)


@examples(60)
@given(st.lists(st.tuples(st.integers(0, 4), articles), max_size=10))
def test_of_all_versions_in_a_batch_the_last_one_counts_at_the_time_of_the_first(versions: list[tuple[int, Article]]):
    named = [msgspec.structs.replace(article, id=sha(str(name))) for name, article in versions]
    kept = latest_versions([(Raw("articles", 0, number, b"", None), article) for number, article in enumerate(named)])
    assert [article.id for _, article in kept] == list(dict.fromkeys(article.id for article in named))
    for raw, article in kept:
        own = [(number, version) for number, version in enumerate(named) if version.id == article.id]
        assert raw.offset == own[-1][0]
        assert article == msgspec.structs.replace(own[-1][1], published_at=own[0][1].published_at)


@examples(100)
@given(st.integers(0, 200), st.sets(st.integers(0, 199), max_size=12))
def test_bad_items_cost_few_calls_and_good_ones_are_done_once(number: int, bad: set[int]):
    bad = {item for item in bad if item < number}
    done: list[int] = []
    calls = 0

    def act(some: Sequence[int]) -> list[int]:
        nonlocal calls
        calls += 1
        if wrong := sorted(bad.intersection(some)):
            raise ValueError(wrong[0])
        done.extend(some)
        return [-item for item in some]

    good, blamed = isolate(range(number), act, lambda error: isinstance(error, ValueError))
    assert good == [(item, -item) for item in range(number) if item not in bad]
    assert [(item, error.args[0]) for item, error in blamed] == [(item, item) for item in sorted(bad)]
    assert sorted(done) == [item for item in range(number) if item not in bad]
    deep = math.ceil(math.log2(number)) if number > 1 else 0
    assert calls <= (1 + 2 * min(len(bad) * deep, number - 1) if number else 0)


def test_a_window_of_one_step_is_the_step():
    assert window_of(NOON, 60) == Window(NOON, NOON + timedelta(seconds=60))
