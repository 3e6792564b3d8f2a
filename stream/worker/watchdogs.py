"""How a worker ends: in good order, or at once, before Faust can commit what was not done; and what watches that it gets anywhere.

Each watchdog is a thread of its own, as what it watches may hold up the event loop or Faust.

Are the topics there? Faust takes a topic that is missing for one without messages, calls itself ready and waits for ever.
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
from stream.worker.progress import Place, Progress

EXIT_FATAL = 70
LEAVE_S = 10.0
"""A worker that is to stop and whose batches are done has so long to commit and to leave its group. Faust may wait for ever: when
workers leave together, its consumer's thread waits for its main thread to give partitions away, and that waits for the thread."""
_log = log.get_logger(__name__)

Ends = Callable[[], Mapping[Place, tuple[int | None, int | None]]]
"""Tells each assigned partition's committed offset and end, None where unknown."""


def fatal(what: str, error: BaseException | None = None) -> None:
    """Say why in one line, and end the process now. No clean-up runs: Faust's would commit what was not done."""
    _exit(EXIT_FATAL, partial(_log.critical, "worker ends", reason=what, error=said(error), exit_code=EXIT_FATAL))


def leave(why: str) -> None:
    """End a worker that was to stop, without Faust's consent: what is not committed is done again by the next, as after a crash."""
    _exit(0, partial(_log.warning, "worker stopped without its last commit", error=why))


def _exit(code: int, say: Callable[[], None]) -> None:
    """End the process now, after `say`, whatever becomes of that."""
    with contextlib.suppress(Exception):
        say()
        sys.stderr.flush()
    os._exit(code)


def said(error: BaseException | None) -> str:
    """An error in one line; "" for none."""
    return f"{type(error).__name__}: {error}" if error else ""


@contextlib.contextmanager
def bounded_stop(progress: Progress, stop_s: float) -> Iterator[None]:
    """While inside, the process is ended when its batches are done and Faust is not, or when they do not get done."""

    def late(over: threading.Event) -> None:
        busy = time.monotonic()  # when any agent last was
        deadline = busy + stop_s
        while not over.wait(0.1):
            now = time.monotonic()
            if progress.busy():
                busy = now
            if now - busy > LEAVE_S:
                leave(f"Faust did not end within {LEAVE_S:.0f} s of the last batch")
            if now > deadline:
                fatal(f"the worker did not stop within {stop_s:.0f} s")

    with _beside(late, "stop"):
        yield


@contextlib.contextmanager
def watched_progress(progress: Progress, ends: Ends, stuck_s: float) -> Iterator[None]:
    """While inside, the process is ended when nothing moves for `stuck_s` although there is work."""

    def look(over: threading.Event) -> None:
        while not over.wait(min(5.0, stuck_s / 4)):
            stuck = progress.stuck(ends(), stuck_s)
            if stuck:
                fatal(stuck)

    with _beside(look, "progress"):
        yield


@contextlib.contextmanager
def watched_loop(loop: asyncio.AbstractEventLoop, stall_s: float) -> Iterator[None]:
    """While inside, the process is ended when the event loop does not get to a call for `stall_s`: nothing is committed then either.

    Looks that found no answer are counted, not seconds: a process that was stopped and goes on has missed one.
    """
    looks = 10

    def look(over: threading.Event) -> None:
        answered, missed = threading.Event(), 0
        while not over.wait(stall_s / looks):
            missed = 0 if answered.is_set() else missed + 1
            if missed > looks:
                fatal(f"the event loop has stood still for {stall_s:.0f} s")
            answered.clear()
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(answered.set)

    with _beside(look, "loop"):
        yield


@contextlib.contextmanager
def _beside(run: Callable[[threading.Event], None], name: str) -> Iterator[None]:
    """While inside, `run` has a thread; the event tells it that it is over."""
    over = threading.Event()
    thread = threading.Thread(target=run, args=[over], name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


REQUEST_TIMEOUT_S = 10.0


async def missing(broker: str, topics: Sequence[str]) -> list[str]:
    """Those of `topics` that Kafka does not have. broker: "host:port,host:port". Raises KafkaError, OSError where nobody answers."""
    servers = [place.strip() for place in broker.split(",")]
    client = AIOKafkaClient(bootstrap_servers=servers, client_id="tocsin", request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000))
    try:
        await client.bootstrap()
        known = (await client.fetch_all_metadata()).topics()
    finally:
        await client.close()
    return [topic for topic in topics if topic not in known]


def refuse(broker: str, gone: Sequence[str]) -> None:
    """End the process if any topic is gone, with what a person has to do."""
    if gone:
        fatal(
            f"Kafka at {broker} has no topic {', '.join(gone)}: run `tocsin migrate` to make what is missing, then start the worker again"
        )


async def watch(broker: str, topics: Sequence[str], look_s: float) -> None:
    """Look every `look_s` until cancelled; a topic that is missing twice in a row ends the process. An outage is Faust's to wait out."""
    before: set[str] = set()
    while True:
        await asyncio.sleep(look_s)
        with contextlib.suppress(Exception):
            gone = await missing(broker, topics)
            refuse(broker, [topic for topic in gone if topic in before])
            before = set(gone)
