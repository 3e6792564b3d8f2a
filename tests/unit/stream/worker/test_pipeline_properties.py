"""What is true of every batch and every search for a bad item."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from core.records import Article, encode, sha
from stream.worker.batches import Raw, latest_versions, decode_batch
from stream.worker.retry import isolate
from tests.helpers.strategies import articles, examples

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
messages = st.lists(st.one_of(articles.map(encode), st.binary(max_size=30), st.none(), st.just(b"{}")), max_size=8)


@examples(60)
@given(messages)
def test_every_message_ends_as_a_record_or_a_dead_letter_and_none_twice(values: list[bytes | None]):
    raws = [Raw("articles", number % 3, number, b"key", value) for number, value in enumerate(values)]
    good, dead = decode_batch(raws, Article, NOON)
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
