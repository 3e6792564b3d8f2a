"""Behaviour of Faust for messages whose processing fails, is stopped or is killed.

A test with `lose` in its name documents a defect of Faust that stream/worker/agents.py avoids. When one fails, Faust has changed: read
docs/reliability.md before simplifying anything.
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
    """A topic with one partition and a consumer group, for the Faust program."""

    def numbers(self, start: int, stop: int) -> None:
        """Publish the messages start, ..., stop - 1."""
        self.publish([(None, str(n).encode()) for n in range(start, stop)])

    def faust(self, **changes: Any) -> Program:
        return Program(
            "tests.faults.faust_program",
            Plan(broker=self.plan.broker, topic=self.names.articles, group=self.plan.group, data_dir=self.plan.data_dir, **changes),
        )

    def members(self) -> int:
        """Number of consumers in the group."""
        admin = KafkaAdminClient(bootstrap_servers=self.plan.broker)
        try:
            return len(admin.describe_groups([self.plan.group])[self.plan.group]["members"])
        finally:
            admin.close()


@pytest.fixture
def place(kafka_server: Kafka, tmp_path: Path) -> Place:
    return Place(kafka_server.bootstrap, tmp_path, partitions=1)


def until_committed(program: Program, offset: int) -> list[str]:
    """The lines it prints before this offset is committed."""
    try:
        return program.expect_eventually(f"committed {offset}", timeout_s=30)
    except (AssertionError, TimeoutError) as error:
        error.add_note(CHANGED)
        raise


def done(lines: Sequence[str]) -> list[str]:
    """The messages whose body finished."""
    return [line.removeprefix("done ") for line in lines if line.startswith("done ")]


def test_events_lose_the_message_whose_body_raises(place: Place):
    """The message is acknowledged, the agent continues, and the next start does not receive it either."""
    place.numbers(0, 6)
    with place.faust(pattern="events", failure="raise", at=3) as first:
        lines = until_committed(first, 6)
        assert "raise 3" in lines
        assert done(lines) == ["0", "1", "2", "4", "5"], CHANGED
        first.terminate()
        assert first.wait() == 0
    place.numbers(6, 7)
    with place.faust(pattern="events") as second:
        assert done([*second.expect_eventually("done 6"), "done 6"]) == ["6"], CHANGED


def test_take_loses_the_batch_whose_body_raises(place: Place):
    place.numbers(0, 12)
    with place.faust(pattern="take", failure="raise", at=3) as first:
        lines = until_committed(first, 12)
        assert "raise 0 1 2 3 4" in lines
    assert not {"0", "1", "2", "3", "4"} & set(done(lines)), CHANGED
    assert place.committed() == 12, CHANGED


def test_noack_take_loses_the_batch_whose_body_raises_and_then_does_not_stop(place: Place):
    """The batch is not acknowledged, but later messages are committed past it; and a stop waits for it forever (4 s here)."""
    place.numbers(0, 12)
    with place.faust(pattern="noack_take", failure="raise", at=3) as first:
        lines = until_committed(first, 12)
        assert "raise 0 1 2 3 4" in lines
        first.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            first.wait(4)
    assert not {"0", "1", "2", "3", "4"} & set(done(lines)), CHANGED
    assert place.committed() == 12, CHANGED


@pytest.mark.parametrize(("pattern", "wait_empty"), [("take", True), ("noack_take", True), ("noack_take", False)])
def test_a_crashing_supervisor_stops_the_app_and_loses_the_batch_too(place: Place, pattern: str, wait_empty: bool):
    """Offset 6 is committed, with exit code 1. But sometimes (1 in 10 on a loaded machine) the crash ends the consumer thread before the
    last commit. Faust then waits for that commit forever and must be killed; the test then tries again.
    """
    place.numbers(0, 12)
    plan = {"pattern": pattern, "failure": "raise", "at": 3, "supervisor": "mode.CrashingSupervisor", "wait_empty": wait_empty}
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


def test_take_without_waiting_for_bodies_loses_its_batch_at_a_graceful_stop(place: Place):
    place.numbers(0, 12)
    with place.faust(pattern="take", failure="hold", wait_empty=False) as first:
        first.expect_eventually("hold 0 1 2 3 4")
        first.terminate()
        assert "cancelled" in first.expect_eventually("<exit>")
        assert first.wait() == 0
    assert place.committed() == 5, CHANGED


def test_take_that_waits_for_bodies_finishes_its_batch_at_a_stop(place: Place):
    place.numbers(0, 12)
    with place.faust(pattern="take", failure="hold") as first:
        first.expect_eventually("hold 0 1 2 3 4")
        first.terminate()
        lines = first.expect_eventually("<exit>")
        assert first.wait() == 0
    assert "cancelled" not in lines
    assert done(lines) == ["0", "1", "2", "3", "4"]
    assert place.committed() == 5


def test_noack_take_without_waiting_for_bodies_commits_nothing_of_its_batch_at_a_stop(place: Place):
    place.numbers(0, 12)
    with place.faust(pattern="noack_take", failure="hold", wait_empty=False) as first:
        first.expect_eventually("hold 0 1 2 3 4")
        first.terminate()
        assert "cancelled" in first.expect_eventually("<exit>")
        assert first.wait() == 0
    assert place.committed() == 0


@pytest.mark.parametrize("pattern", ["take", "noack_take"])
def test_a_batch_interrupted_by_a_kill_is_delivered_again(place: Place, pattern: str):
    place.numbers(0, 10)
    with place.faust(pattern=pattern, failure="hold", session_timeout_s=2.0) as first:
        first.expect_eventually("hold 0 1 2 3 4")
        first.kill()
    assert place.committed() == 0
    with place.faust(pattern=pattern) as second:
        lines = second.expect_eventually("done 9")
    assert done(lines) == [str(n) for n in range(9)]


def test_a_concurrency_of_two_loses_the_slow_message_when_killed(place: Place):
    """Offset 6 is committed while the body of message 0 is still running."""
    place.numbers(0, 6)
    with place.faust(pattern="events", failure="hold", concurrency=2) as first:
        lines = until_committed(first, 6)
        first.kill()
    assert "hold 0" in lines
    assert done(lines) == ["1", "2", "3", "4", "5"]
    assert place.committed() == 6, CHANGED


@pytest.mark.parametrize("where", ["block", "block a thread"])
def test_a_blocking_body_keeps_its_group_membership_but_blocks_the_loop(place: Place, where: str):
    """For twice the session timeout: the consumer thread sends heartbeats. With the body in a thread, the loop continues too."""
    place.numbers(0, 5)
    with place.faust(pattern="noack_take", failure=where, session_timeout_s=1.5) as first:
        first.expect_eventually(f"{where} 0 1 2 3 4")
        first.expect("still blocks")
        assert place.members() == 1
        first.expect("the loop was blocked" if where == "block" else "the loop continued")
        assert "ready" not in until_committed(first, 5)


def test_a_message_without_a_value_is_delivered(place: Place):
    place.publish([(b"k", value) for value in (b"0", None, b"2", None, b"4")])
    with place.faust(pattern="noack_take") as first:
        assert done(until_committed(first, 5)) == ["0", "None", "2", "None", "4"]


def test_a_typed_topic_loses_its_agent_to_one_malformed_message(place: Place):
    """The process keeps running and reading without a log line, but its agent receives no more messages."""
    place.publish([(None, b'{"n": 0}'), (None, b"no json")])
    with place.faust(pattern="take", typed=True, handed=7) as first:
        lines = until_committed(first, 2)
        place.publish([(None, b'{"n": %d}' % n) for n in range(2, 8)])
        lines += first.expect_eventually("handed")
        assert done(lines) == ["0"], CHANGED
        # the first group of a new broker waits for its coordinator, which is logged
        assert [line for line in first.errors if "oordinator" not in line] == [], CHANGED
    assert place.committed() == 2, CHANGED
