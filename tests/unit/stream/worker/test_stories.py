from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from core.records import Article, sha
from stream.worker.batches import assign_stories, ambiguous_stories

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def article(name: str, minute: int, *bands: int) -> Article:
    moment = NOON + timedelta(minutes=minute)
    return Article(id=sha(name), source="wire", language="en", title=name, published_at=moment, fetched_at=moment, lsh_bands=bands)


def test_copies_in_a_batch_belong_to_the_first_published():
    first, copy, chained, other = article("a", 0, 1, 2), article("b", 5, 2, 3), article("c", 9, 3, 4), article("d", 1, 9)
    stories = assign_stories([chained, other, copy, first], {}, {})
    assert stories == {first.id: first.id, copy.id: first.id, chained.id: first.id, other.id: other.id}


def test_a_stored_story_comes_before_one_of_the_batch():
    first, copy = article("a", 0, 1), article("b", 5, 1, 7)
    assert assign_stories([first, copy], {7: "old"}, {}) == {first.id: first.id, copy.id: "old"}
    assert assign_stories([copy], {7: "old"}, {}) == {copy.id: "old"}


def test_of_two_stored_stories_the_earlier_one_is_taken():
    copy = article("b", 5, 1, 7)
    stored = {1: "young", 7: "old"}
    assert ambiguous_stories([copy, article("c", 0, 1)], stored) == {"young", "old"}
    began = {"old": NOON - timedelta(hours=9), "young": NOON - timedelta(hours=1)}
    assert assign_stories([copy], stored, began) == {copy.id: "old"}


def test_an_article_without_bands_is_its_own_story():
    lone = article("a", 0)
    assert assign_stories([lone], {}, {}) == {lone.id: lone.id}
    assert assign_stories([], {}, {}) == {}


@given(st.lists(st.tuples(st.integers(0, 3), st.sets(st.integers(0, 12), max_size=4)), max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_nothing(shapes: list[tuple[int, set[int]]], rng: random.Random):
    articles = [article(str(n), minute, *sorted(bands)) for n, (minute, bands) in enumerate(shapes)]
    stored = {3: "old", 5: "older"}
    began = {"old": NOON - timedelta(hours=1), "older": NOON - timedelta(hours=2)}
    assert assign_stories(rng.sample(articles, len(articles)), stored, began) == assign_stories(articles, stored, began)
