"""Backfill in either mode: rows go into the outbox, the publisher drains it, and, embedded, the worker scores them here.

files.read ─▶ outbox (rows and the line reached, in one transaction) ─▶ publisher ─▶ Kafka `articles` ─▶ worker

tocsin.direct does it without the broker.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from ingest.backfill import IntoOutbox, Report, backfill, identities
from ingest.files import Reading, count_rows
from ingest.kafka import ensure_topics, lag
from ingest.outbox import Outbox
from ingest.publisher import Publisher
from ingest.sender import Sender
from spine.errors import TocsinError
from spine.settings import Settings
from tocsin import wiring
from tocsin.embedded import Stack, sole_owner

Show = Callable[[Report, int | None, int], None]
"""Told the report so far, how many rows there are in all (None while that is not known), and how many are not stored yet."""


class Backfill:
    """One backfill.

    say: told what happens, in words for a person; show: told how far it is
    """

    def __init__(self, settings: Settings, *, say: Callable[[str], None], show: Show, stack: type[Stack] = Stack) -> None:
        self._settings, self._say, self._show, self._stack = settings, say, show, stack

    def run(self, files: Sequence[str], reading: Reading, stop: threading.Event, *, wait: bool) -> Report:
        """Publish all rows; embedded, or with `wait`, return when they are stored. Raises TocsinError."""
        identities(files)  # a file that is not there is told before anything is started
        if self._settings.broker == "embedded":
            with self._stack(self._settings, dashboard=False, say=self._say) as stack:
                report = self._publish(files, reading, stack.outbox, stop, stack.check)
                self._drain(report, stop, lambda: stack.outbox.counts().unsettled, stack.check)
                return report
        return self._to_kafka(files, reading, stop, wait=wait)

    def _to_kafka(self, files: Sequence[str], reading: Reading, stop: threading.Event, *, wait: bool) -> Report:
        settings = self._settings
        ensure_topics(settings.broker, wiring.names(settings), partitions=settings.partitions, replication=settings.replication)
        folder = wiring.data_dir(settings)
        with sole_owner(folder), contextlib.closing(Outbox(folder / "outbox.sqlite", durable_broker=True)) as outbox:
            publisher = Publisher(outbox, Sender(settings.broker, wiring.names(settings).articles))
            ended = threading.Event()
            thread = threading.Thread(target=publisher.run, args=(ended,), name="publisher")
            thread.start()
            try:
                report = self._publish(files, reading, outbox, stop, lambda: None)
                self._drain(report, stop, lambda: outbox.counts().pending, lambda: None)
                if wait and not stop.is_set():
                    self._say("published; waiting for the workers")
                    self._drain(report, stop, self._lag, lambda: None)
            finally:
                ended.set()
                thread.join()
                publisher.close()
        return report

    def _publish(self, files: Sequence[str], reading: Reading, outbox: Outbox, stop: threading.Event, check: Callable[[], None]) -> Report:
        total = count_rows(files)

        def progress(report: Report) -> None:
            check()
            self._show(report, total, outbox.counts().unsettled)

        gazetteer = wiring.make_gazetteer(self._settings)
        return backfill(
            files, IntoOutbox(outbox), reading=reading, gazetteer=gazetteer, now=datetime.now(UTC), progress=progress, stop=stop
        )

    def _drain(self, report: Report, stop: threading.Event, waiting: Callable[[], int], check: Callable[[], None]) -> None:
        """Wait until nothing waits any more, or until interrupted: then it goes on at the next start."""
        total = report.read + report.resumed
        while (left := waiting()) and not stop.wait(0.25):
            check()
            self._show(report, total, left)
        report.interrupted = report.interrupted or (stop.is_set() and bool(waiting()))
        self._show(report, total, 0)

    def _lag(self) -> int:
        try:
            return lag(self._settings.broker, self._settings.consumer_group, wiring.names(self._settings).articles)
        except TocsinError as error:
            self._say(f"still waiting: {error}")
            time.sleep(1)
            return 1
