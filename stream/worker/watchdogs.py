"""Ends the worker: gracefully, or at once, before Faust can commit unfinished work. Detects stalls and missing topics.

Each watchdog has a thread of its own, as Faust or the event loop may be what is blocked. Topics are checked because Faust treats a missing
topic as an empty one, reports itself ready and waits forever.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from aiokafka.client import AIOKafkaClient

from core import log
from core.kafka_address import kafka_address, place_of
from stream.worker.progress import Progress, TopicPartition

EXIT_FATAL = 70
COMMIT_TIMEOUT_S = 10.0
"""How long a stopping worker, after its last batch, may take to commit and leave its group. Faust may hang: when workers leave together,
its consumer thread waits for the main thread to revoke partitions, which waits for the consumer thread."""
_log = log.get_logger(__name__)

Offsets = Callable[[], Mapping[TopicPartition, tuple[int | None, int | None]]]
"""Committed offset and end of each assigned partition, None where unknown."""


def fatal(reason: str, error: BaseException | None = None) -> None:
    """Logs the reason and ends the process at once. No clean-up runs: Faust's would commit unfinished work."""
    _exit(EXIT_FATAL, partial(_log.critical, "worker_failed", reason=reason, error=format_error(error), exit_code=EXIT_FATAL))


def exit_uncommitted(reason: str) -> None:
    """Ends a stopping worker without Faust's last commit: the next worker repeats what is not committed, as after a crash."""
    _exit(0, partial(_log.warning, "worker_stopped_uncommitted", reason=reason))


def _exit(code: int, write_log: Callable[[], None]) -> None:
    """Ends the process at once, after `write_log`, even if that fails."""
    with contextlib.suppress(Exception):
        write_log()
        sys.stderr.flush()
    os._exit(code)


def format_error(error: BaseException | None) -> str:
    """Type and message on one line; "" for None."""
    return f"{type(error).__name__}: {error}" if error else ""


@contextlib.contextmanager
def bounded_stop(progress: Progress, stop_s: float) -> Iterator[None]:
    """Inside, ends the process if Faust does not stop after the last batch, or if the batches are not finished in time."""

    def enforce(over: threading.Event) -> None:
        busy = time.monotonic()  # when an agent was last busy
        deadline = busy + stop_s
        while not over.wait(0.1):
            now = time.monotonic()
            if progress.busy():
                busy = now
            if now - busy > COMMIT_TIMEOUT_S:
                exit_uncommitted(f"Faust did not stop within {COMMIT_TIMEOUT_S:.0f} s of the last batch")
            if now > deadline:
                fatal(f"the worker did not stop within {stop_s:.0f} s")

    with _thread(enforce, "stop"):
        yield


@contextlib.contextmanager
def watched_progress(progress: Progress, offsets: Offsets, stuck_s: float) -> Iterator[None]:
    """Inside, ends the process if there is no progress for `stuck_s` although there is work."""

    def check(over: threading.Event) -> None:
        while not over.wait(min(5.0, stuck_s / 4)):
            stuck = progress.stuck(offsets(), stuck_s)
            if stuck:
                fatal(stuck)

    with _thread(check, "progress"):
        yield


@contextlib.contextmanager
def watched_loop(loop: asyncio.AbstractEventLoop, stall_s: float) -> Iterator[None]:
    """Inside, ends the process if the event loop does not run a callback for `stall_s`, during which nothing is committed either.

    Counts unanswered checks, not seconds: a process that was suspended and resumed has missed only one.
    """
    checks = 10

    def check(over: threading.Event) -> None:
        answered, missed = threading.Event(), 0
        while not over.wait(stall_s / checks):
            missed = 0 if answered.is_set() else missed + 1
            if missed > checks:
                fatal(f"the event loop was blocked for {stall_s:.0f} s")
            answered.clear()
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(answered.set)

    with _thread(check, "loop"):
        yield


@contextlib.contextmanager
def _thread(run: Callable[[threading.Event], None], name: str) -> Iterator[None]:
    """Inside, runs `run` in a thread; sets the event at the end."""
    over = threading.Event()
    thread = threading.Thread(target=run, args=[over], name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


REQUEST_TIMEOUT_S = 10.0


async def missing_topics(broker: str, topics: Sequence[str]) -> list[str]:
    """The topics that do not exist. broker: as in the settings. Raises KafkaError or OSError if no broker responds."""
    client = AIOKafkaClient(**kafka_address(broker).client_options(), client_id="tocsin", request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000))
    try:
        await client.bootstrap()
        known = (await client.fetch_all_metadata()).topics()
    finally:
        await client.close()
    return [topic for topic in topics if topic not in known]


def require_topics(broker: str, missing: Sequence[str]) -> None:
    """Ends the process if any topic is missing, with a message that says what to do."""
    if missing:
        fatal(
            f"Kafka at {place_of(broker)} has no topic {', '.join(missing)}: run `tocsin migrate` to create it, then start the worker again"
        )


async def watch_topics(broker: str, topics: Sequence[str], interval_s: float) -> None:
    """Checks the topics every `interval_s` until cancelled; ends the process if one is missing twice. Ignores broker outages."""
    before: set[str] = set()
    while True:
        await asyncio.sleep(interval_s)
        with contextlib.suppress(Exception):
            missing = await missing_topics(broker, topics)
            require_topics(broker, [topic for topic in missing if topic in before])
            before = set(missing)
