"""Progress of a worker: stalls, and messages lost before they were read."""

from __future__ import annotations

from stream.worker.batches import RawMessage
from stream.worker.progress import LostMessages, OffsetTracker, Progress, lost_messages


def message(offset: int, partition: int = 0) -> RawMessage:
    return RawMessage("articles", partition, offset, b"k", b"v")


class SettableClock:
    """now: seconds, set by the test"""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_batch_that_takes_too_long_is_stuck():
    clock = SettableClock()
    progress = Progress(clock)
    batch = progress.started("score")
    clock.now = 9
    assert progress.stuck({}, 10) == ""
    clock.now = 11
    assert progress.stuck({}, 10) == "score has been working on one batch for 11 s"
    progress.finished(batch, [message(4)])
    assert progress.stuck({}, 10) == ""


def test_a_partition_without_progress_is_stuck_only_if_there_is_work():
    clock = SettableClock()
    progress = Progress(clock)
    partition = ("articles", 0)
    progress.finished(progress.started("score"), [message(4)])
    for now in range(0, 100, 5):  # everything is read
        clock.now = now
        assert progress.stuck({partition: (None, 5)}, 10) == ""
    clock.now = 104
    assert progress.stuck({partition: (None, 9)}, 10) == ""
    clock.now = 106
    assert progress.stuck({partition: (None, 9)}, 10) == "articles[0] has been at offset 5 of 9 for 11 s"
    progress.finished(progress.started("score"), [message(6)])
    assert progress.stuck({partition: (None, 9)}, 10) == ""


def test_a_partition_with_an_unknown_offset_is_not_stuck():
    clock = SettableClock()
    progress = Progress(clock)
    for clock.now in (0, 100, 200):
        assert progress.stuck({("articles", 1): (None, 50)}, 10) == ""
    assert progress.stuck({("articles", 1): (20, 50)}, 10) == ""
    clock.now = 211
    assert "at offset 20 of 50" in progress.stuck({("articles", 1): (20, 50)}, 10)


def test_a_revoked_partition_is_forgotten():
    clock = SettableClock()
    progress = Progress(clock)
    progress.finished(progress.started("score"), [message(4)])
    progress.stuck({}, 10)
    clock.now = 100
    assert progress.stuck({("articles", 0): (40, 50)}, 10) == ""


def test_a_jump_in_the_offsets_is_found():
    tracker = OffsetTracker({("articles", 0): 5, ("articles", 1): None}.get)
    assert tracker.jumps([message(5), message(6), message(40, 1), message(41, 1)]) == []
    assert tracker.jumps([message(7), message(10), message(42, 1)]) == [LostMessages(("articles", 0), 8, 10)]
    assert tracker.jumps([message(11)]) == []


def test_the_first_message_is_compared_with_the_committed_offset():
    assert OffsetTracker(lambda _: 5).jumps([message(90)]) == [LostMessages(("articles", 0), 5, 90)]
    assert OffsetTracker(lambda _: None).jumps([message(90)]) == []


def test_repeated_messages_and_those_read_by_other_workers_are_no_jump():
    committed = {("articles", 0): 5}
    tracker = OffsetTracker(committed.get)
    tracker.jumps([message(5), message(6)])
    assert tracker.jumps([message(3), message(4), message(5)]) == []
    tracker.revoked([("articles", 0)])
    committed["articles", 0] = 70
    assert tracker.jumps([message(70)]) == []


def test_only_offsets_before_the_beginning_of_the_partition_are_lost():
    """Compaction and transaction markers leave jumps too, but consumers never see those messages."""
    jump = LostMessages(("articles", 0), 8, 40)
    assert lost_messages([jump], {("articles", 0): 0}) == []
    assert lost_messages([jump], {("articles", 0): 20}) == [LostMessages(("articles", 0), 8, 20)]
    assert lost_messages([jump], {("articles", 0): 60}) == [jump]
    assert lost_messages([jump], {}) == []
    assert jump.messages == 32
