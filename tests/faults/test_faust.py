"""What Faust does with messages whose body fails, is stopped or killed: each row of the table in docs/reliability.md.

A test with `lose` in its name holds Faust to a defect. That is why we do not write it so (stream/worker/agents.py says how we do). When
one fails, Faust has changed: read docs/reliability.md again before anything is made simpler.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import KafkaAdminClient

from tests.faults.faust_program import Plan
from tests.helpers.process import Program
from tests.helpers.servers import Kafka
from tests.helpers.worker import Installation

CHANGED = "Faust has changed: read docs/reliability.md"


class Place(Installation):
    """A topic of one partition and a consumer group, for the program that reads it as Faust's documentation shows."""

    def numbers(self, start: int, stop: int) -> None:
        """Publish the messages start, ..., stop - 1."""
        self.publish([(None, str(n).encode()) for n in range(start, stop)])

    def faust(self, **changes: Any) -> Program:
        return Program(
            "tests.faults.faust_program",
            Plan(broker=self.plan.broker, topic=self.names.articles, group=self.plan.group, data_dir=self.plan.data_dir, **changes),
        )

    def members(self) -> int:
        """How many consumers the broker counts in the group."""
        admin = KafkaAdminClient(bootstrap_servers=self.plan.broker)
        try:
            return len(admin.describe_groups([self.plan.group])[self.plan.group]["members"])
        finally:
            admin.close()


@pytest.fixture
def place(kafka_server: Kafka, tmp_path: Path) -> Place:
    return Place(kafka_server.bootstrap, tmp_path, partitions=1)


def until_committed(program: Program, offset: int) -> list[str]:
    """What it says before Kafka has taken this offset."""
    try:
        return program.expect_eventually(f"committed {offset}", timeout_s=30)
    except (AssertionError, TimeoutError) as error:
        error.add_note(CHANGED)
        raise


def done(words: Sequence[str]) -> list[str]:
    """The messages whose body came to its end."""
    return [word.removeprefix("done ") for word in words if word.startswith("done ")]


def test_events_lose_the_message_whose_body_raises(place: Place):
    """It is acknowledged, its agent goes on, and the next start does not see it either."""
    place.numbers(0, 6)
    with place.faust(pattern="events", unhealthy_reason="raise", at=3) as first:
        words = until_committed(first, 6)
        assert "raise 3" in words
        assert done(words) == ["0", "1", "2", "4", "5"], CHANGED
        first.terminate()
        assert first.wait() == 0
    place.numbers(6, 7)
    with place.faust(pattern="events") as second:
        assert done([*second.expect_eventually("done 6"), "done 6"]) == ["6"], CHANGED


def test_take_loses_the_batch_whose_body_raises(place: Place):
    place.numbers(0, 12)
    with place.faust(pattern="take", unhealthy_reason="raise", at=3) as first:
        words = until_committed(first, 12)
        assert "raise 0 1 2 3 4" in words
    assert not {"0", "1", "2", "3", "4"} & set(done(words)), CHANGED
    assert place.committed() == 12, CHANGED


def test_noack_take_loses_the_batch_whose_body_raises_and_then_does_not_stop(place: Place):
    """Nobody acknowledged the batch. What comes after it is committed, over the gap; and a stop waits for it for ever (4 s here)."""
    place.numbers(0, 12)
    with place.faust(pattern="noack_take", unhealthy_reason="raise", at=3) as first:
        words = until_committed(first, 12)
        assert "raise 0 1 2 3 4" in words
        first.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            first.wait(4)
    assert not {"0", "1", "2", "3", "4"} & set(done(words)), CHANGED
    assert place.committed() == 12, CHANGED


@pytest.mark.parametrize(("pattern", "wait_empty"), [("take", True), ("noack_take", True), ("noack_take", False)])
def test_a_crashing_supervisor_ends_the_app_and_loses_the_batch_as_well(place: Place, pattern: str, wait_empty: bool):
    """Offset 6 is committed, with exit 1. But now and then (1 in 10 on a loaded machine) the crash takes the consumer's thread down
    before the last commit is asked of it. Faust waits for that commit for ever, and only a kill ends it: then this is tried again.
    """
    place.numbers(0, 12)
    plan = {"pattern": pattern, "trouble": "raise", "at": 3, "supervisor": "mode.CrashingSupervisor", "wait_empty": wait_empty}
    for _ in range(5):
        with place.faust(**plan, session_timeout_s=2.0) as first:
            first.expect_eventually("raise 0 1 2 3 4")
            with contextlib.suppress(subprocess.TimeoutExpired):
                assert first.wait(8) == 1
                assert done(first.expect_eventually("<exit>")) == []
                break
        if place.committed() > 0:
            break
    assert place.committed() > 4, CHANGED


def test_take_without_waiting_for_bodies_loses_its_batch_at_a_stop_in_good_order(place: Place):
    place.numbers(0, 12)
    with place.faust(pattern="take", unhealthy_reason="hold", wait_empty=False) as first:
        first.expect_eventually("hold 0 1 2 3 4")
        first.terminate()
        assert "cancelled" in first.expect_eventually("<exit>")
        assert first.wait() == 0
    assert place.committed() == 5, CHANGED


def test_take_that_waits_for_bodies_finishes_its_batch_at_a_stop(place: Place):
    place.numbers(0, 12)
    with place.faust(pattern="take", unhealthy_reason="hold") as first:
        first.expect_eventually("hold 0 1 2 3 4")
        first.terminate()
        words = first.expect_eventually("<exit>")
        assert first.wait() == 0
    assert "cancelled" not in words
    assert done(words) == ["0", "1", "2", "3", "4"]
    assert place.committed() == 5


def test_noack_take_without_waiting_for_bodies_commits_nothing_of_its_batch_at_a_stop(place: Place):
    place.numbers(0, 12)
    with place.faust(pattern="noack_take", unhealthy_reason="hold", wait_empty=False) as first:
        first.expect_eventually("hold 0 1 2 3 4")
        first.terminate()
        assert "cancelled" in first.expect_eventually("<exit>")
        assert first.wait() == 0
    assert place.committed() == 0


@pytest.mark.parametrize("pattern", ["take", "noack_take"])
def test_what_is_killed_in_a_batch_comes_again(place: Place, pattern: str):
    place.numbers(0, 10)
    with place.faust(pattern=pattern, unhealthy_reason="hold", session_timeout_s=2.0) as first:
        first.expect_eventually("hold 0 1 2 3 4")
        first.kill()
    assert place.committed() == 0
    with place.faust(pattern=pattern) as second:
        words = second.expect_eventually("done 9")
    assert done(words) == [str(n) for n in range(9)]


def test_two_at_a_time_lose_the_slow_one_when_they_are_killed(place: Place):
    """Offset 6 is committed while the body of message 0 is at work."""
    place.numbers(0, 6)
    with place.faust(pattern="events", unhealthy_reason="hold", concurrency=2) as first:
        words = until_committed(first, 6)
        first.kill()
    assert "hold 0" in words
    assert done(words) == ["1", "2", "3", "4", "5"]
    assert place.committed() == 6, CHANGED


@pytest.mark.parametrize("where", ["block", "block a thread"])
def test_a_blocking_body_keeps_its_place_in_the_group_but_stops_the_loop(place: Place, where: str):
    """Twice the session timeout: the consumer's own thread sends heartbeats. In a thread, all else goes on too."""
    place.numbers(0, 5)
    with place.faust(pattern="noack_take", unhealthy_reason=where, session_timeout_s=1.5) as first:
        first.expect_eventually(f"{where} 0 1 2 3 4")
        first.expect("still blocks")
        assert place.members() == 1
        first.expect("the loop stood still" if where == "block" else "the loop went on")
        assert "ready" not in until_committed(first, 5)


def test_a_message_without_a_value_is_delivered(place: Place):
    place.publish([(b"k", value) for value in (b"0", None, b"2", None, b"4")])
    with place.faust(pattern="noack_take") as first:
        assert done(until_committed(first, 5)) == ["0", "None", "2", "None", "4"]


def test_a_typed_topic_loses_its_agent_to_one_malformed_message(place: Place):
    """The process lives, logs nothing and reads on, and no message comes to its agent any more."""
    place.publish([(None, b'{"n": 0}'), (None, b"no json")])
    with place.faust(pattern="take", typed=True, handed=7) as first:
        words = until_committed(first, 2)
        place.publish([(None, b'{"n": %d}' % n) for n in range(2, 8)])
        words += first.expect_eventually("handed")
        assert done(words) == ["0"], CHANGED
        # The first group of a new Kafka waits for its coordinator, and says so.
        assert [line for line in first.errors if "oordinator" not in line] == [], CHANGED
    assert place.committed() == 2, CHANGED
