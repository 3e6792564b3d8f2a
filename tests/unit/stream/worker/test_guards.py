"""What guards a stream: floods of bad records, gaps in a topic, an event loop that stands still."""

from __future__ import annotations

import pytest

from core.errors import CircuitOpen
from stream.worker.batches import Raw
from stream.worker.circuit_breaker import MIN_DEAD_LETTERS, WINDOW_MESSAGES, CircuitBreaker
from stream.worker.progress import OffsetTracker, LostMessages, lost_messages


def test_single_bad_records_are_no_flood_however_many_there_are_in_time():
    flood = CircuitBreaker(0.5)
    for _ in range(200):
        flood.check("articles", 64, 16, "bad")
    for _ in range(MIN_DEAD_LETTERS - 1):
        flood.check("scores", 1, 1, "a topic that has just begun")


def test_a_flood_is_told_with_its_share_its_topic_and_the_last_reason():
    flood = CircuitBreaker(0.5)
    for _ in range(MIN_DEAD_LETTERS - 1):
        flood.check("articles", 1, 1, "bad")
    with pytest.raises(CircuitOpen, match=r"100 of the last 100 records of articles .* dead_letter_max_ratio \(0.5\) .*the last: 油价"):
        flood.check("articles", 1, 1, "油价")
    flood.check("scores", 1, 1, "another topic")


def test_a_flood_begins_after_a_long_calm_and_one_good_batch_does_not_hide_it():
    flood = CircuitBreaker(0.5)
    for _ in range(20):
        flood.check("articles", 100, 0)
    with pytest.raises(CircuitOpen):
        for _ in range(WINDOW_MESSAGES // 100):
            flood.check("articles", 100, 90, "bad")
    flood.check("articles", 100, 0)
    with pytest.raises(CircuitOpen):
        flood.check("articles", 100, 60, "bad")


def test_after_a_restart_the_first_bad_batch_is_enough_and_good_ones_calm_it():
    with pytest.raises(CircuitOpen):
        CircuitBreaker(0.5, {"articles": 400}).check("articles", 1, 1, "bad")
    calm = CircuitBreaker(0.5, {"articles": 400})
    calm.check("articles", 64, 1, "one of many")
    calm.check("articles", 64, 0)
    calm.check("articles", 1, 1, "a single one")


def test_a_share_of_one_lets_everything_pass():
    CircuitBreaker(1.0, {"articles": 5000}).check("articles", 5000, 5000, "bad")


def raw(offset: int, partition: int = 0) -> Raw:
    return Raw("articles", partition, offset, b"k", b"v")


def test_a_jump_in_the_offsets_is_a_gap_where_the_partition_begins_later():
    gaps = OffsetTracker({("articles", 0): 5, ("articles", 1): None}.get)
    assert gaps.jumps([raw(5), raw(6), raw(40, 1), raw(41, 1)]) == []
    assert gaps.jumps([raw(7), raw(10), raw(42, 1)]) == [LostMessages(("articles", 0), 8, 10)]
    assert gaps.jumps([raw(11)]) == []


def test_the_first_message_after_a_start_is_held_against_what_was_committed():
    assert OffsetTracker(lambda _: 5).jumps([raw(90)]) == [LostMessages(("articles", 0), 5, 90)]
    assert OffsetTracker(lambda _: None).jumps([raw(90)]) == []


def test_what_comes_again_is_no_gap_and_what_others_read_meanwhile_neither():
    committed = {("articles", 0): 5}
    gaps = OffsetTracker(committed.get)
    gaps.jumps([raw(5), raw(6)])
    assert gaps.jumps([raw(3), raw(4), raw(5)]) == []
    gaps.taken_away([("articles", 0)])
    committed["articles", 0] = 70
    assert gaps.jumps([raw(70)]) == []


def test_only_what_lies_before_the_beginning_of_its_partition_is_gone():
    """Compaction and a transaction's marks leave jumps too, but those messages were never to be read."""
    jump = LostMessages(("articles", 0), 8, 40)
    assert lost_messages([jump], {("articles", 0): 0}) == []
    assert lost_messages([jump], {("articles", 0): 20}) == [LostMessages(("articles", 0), 8, 20)]
    assert lost_messages([jump], {("articles", 0): 60}) == [jump]
    assert lost_messages([jump], {}) == []
    assert jump.messages == 32
