"""Faust as in its documentation, as a separate process: `python -m tests.faults.faust_program PLAN_AS_JSON`.

One agent reads a topic of numbers and fails once, as planned. It prints one line per event: "ready" when it has its partition, "done 4"
when its body has processed message 4, "committed 5" when Kafka has accepted that offset.
"""

from __future__ import annotations

import asyncio
import io
import sys
import time
from collections.abc import Sequence
from typing import Any, Literal

import faust
import msgspec

BATCH = 5
COMMIT_S = 0.3
BLOCKED_S = 3.0
"""How long a body blocks before it prints that; well over the session timeout of the test. Then it blocks a little longer."""
HELD_S = 1.0
"""How long a held body continues after the request to stop."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How the agent reads, and how it fails.

    failure: what the body does, once, at message `at`: raise an error, hold until the app stops, or block
    handed: report so when Faust has taken messages up to this one from Kafka, and three commits were due since then
    """

    broker: str
    topic: str
    group: str
    data_dir: str
    pattern: Literal["events", "take", "noack_take"] = "noack_take"
    failure: Literal["none", "raise", "hold", "block", "block a thread"] = "none"
    at: int = 0
    supervisor: str = "mode.OneForOneSupervisor"
    wait_empty: bool = True
    concurrency: int = 1
    typed: bool = False
    session_timeout_s: float = 6.0
    handed: int = -1


class Number(faust.Record, serializer="json"):  # type: ignore[misc,call-arg]
    """A message of a typed topic."""

    n: int


def report(line: str) -> None:
    print(line, flush=True)


class Commits(faust.Sensor):  # type: ignore[misc]
    """Prints committed offsets, and counts how often a commit was due."""

    def __init__(self, handed: int) -> None:
        super().__init__()
        self._handed, self._since_handed, self._last = handed, 0, 0
        self.due = 0

    def on_commit_completed(self, consumer: Any, _state: Any) -> None:
        self.due += 1
        for offset in consumer._committed_offset.values():
            if offset and offset != self._last:
                self._last = offset
                report(f"committed {offset}")
        if self._handed >= 0 and self._handed in consumer._read_offset.values():
            self._since_handed += 1
            if self._since_handed == 3:
                report("handed")


class Body:
    """The body of the agent, in each pattern."""

    def __init__(self, app: Any, plan: Plan, commits: Commits) -> None:
        self._app, self._plan, self._commits = app, plan, commits
        self._failure_pending = plan.failure != "none"

    @property
    def wait_s(self) -> float:
        """How long a batch may wait for messages. The failing batch is always full, so that every run is the same."""
        return 60.0 if self._failure_pending else 0.3

    async def do(self, values: Sequence[Any]) -> None:
        names = [_name(value) for value in values]
        if self._failure_pending and str(self._plan.at) in names:
            self._failure_pending = False
            report(f"{self._plan.failure} {' '.join(names)}")
            await self._go_wrong()
        for name in names:
            report(f"done {name}")

    async def _go_wrong(self) -> None:
        if self._plan.failure == "raise":
            raise RuntimeError("this body fails")
        if self._plan.failure == "hold":
            await self._hold()
        before = self._commits.due
        if self._plan.failure == "block":
            _block()
        if self._plan.failure == "block a thread":
            await asyncio.get_running_loop().run_in_executor(None, _block)
        report("the loop continued" if self._commits.due > before else "the loop was blocked")

    async def _hold(self) -> None:
        try:
            await self._app.wait_until_stopped()
            await asyncio.sleep(HELD_S)
        except asyncio.CancelledError:
            report("cancelled")
            raise

    async def events(self, stream: Any) -> None:
        async for value in stream:
            await self.do([value])

    async def take(self, stream: Any) -> None:
        async for values in stream.take(BATCH, within=self.wait_s):
            await self.do(values)

    async def noack_take(self, stream: Any) -> None:
        async for events in stream.noack_take(BATCH, within=self.wait_s):
            await self.do([event.value for event in events])
            for event in events:
                await stream.ack(event)


def _name(value: Any) -> str:
    if isinstance(value, Number):
        return str(value.n)
    return "None" if value is None else value.decode()


def _block() -> None:
    time.sleep(BLOCKED_S)
    report("still blocks")
    time.sleep(1.0)


def main() -> None:
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    app = faust.App(
        plan.group,
        broker=f"kafka://{plan.broker}",
        datadir=plan.data_dir,
        autodiscover=False,
        web_enabled=False,
        value_serializer="raw",
        topic_disable_leader=True,
        topic_allow_declare=False,
        consumer_auto_offset_reset="earliest",
        agent_supervisor=plan.supervisor,
        stream_wait_empty=plan.wait_empty,
        broker_session_timeout=plan.session_timeout_s,
        broker_heartbeat_interval=plan.session_timeout_s / 4,
        broker_commit_interval=COMMIT_S,
        worker_redirect_stdouts=False,
    )
    commits = Commits(plan.handed)
    app.sensors.add(commits)
    topic = app.topic(plan.topic, value_type=Number, value_serializer="json") if plan.typed else app.topic(plan.topic, value_type=bytes)
    app.agent(topic, name="agent", concurrency=plan.concurrency)(getattr(Body(app, plan, commits), plan.pattern))

    async def assigned(_app: Any, **_unused: Any) -> None:
        report("ready")

    app.on_rebalance_complete.connect(assigned)
    faust.Worker(app, loglevel="WARNING", quiet=True, stdout=io.StringIO()).execute_from_commandline()  # discards its spinner


if __name__ == "__main__":
    main()
