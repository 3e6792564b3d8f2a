"""Backfill archives, through Kafka and the workers or directly into the store.

    files.read ─▶ outbox (rows and progress, in one transaction) ─▶ publisher ─▶ Kafka `articles` ─▶ worker      `Backfill`
    files.read ─▶ batches ─▶ Pipeline.classify_batch ─▶ Pipeline.store_batch (another thread) ─▶ progress        `load`

`load` uses the worker's own pipeline, so rows and stories are the same. Nothing evaluates alerts on what it stores. An article must
not be classified in two places at once, so it must not run beside workers that receive the same articles.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime

from core.errors import SettingsError, StoreError, TocsinError
from core.records import Article, encode, sha
from core.settings import Settings
from ingest.archive.backfill import BackfillReport, OutboxSink, backfill, identities
from ingest.archive.files import ReadOptions, count_rows
from ingest.kafka.client import ensure_topics, lag
from ingest.kafka.outbox import ArchiveState, Outbox
from ingest.kafka.producer import BoundedProducer
from ingest.kafka.publisher import Publisher
from stream.worker.batches import RawMessage
from stream.worker.pipeline import ClassifiedBatch, Pipeline
from tocsin import wiring
from tocsin.runtime.embedded import Stack
from tocsin.runtime.pipeline import make_pipeline
from tocsin.wiring import sole_owner

Show = Callable[[BackfillReport, int | None, int], None]
"""Called with the report so far, the total number of rows (None if unknown) and the number of rows not stored yet."""


class Backfill:
    """A backfill through the outbox and Kafka.

    Args:
        settings: of this installation.
        notify: called with progress messages for a person.
        show: called with the progress.
        stack: the embedded mode; tests pass a subclass.
    """

    def __init__(self, settings: Settings, *, notify: Callable[[str], None], show: Show, stack: type[Stack] = Stack) -> None:
        self._settings, self._notify, self._show, self._stack = settings, notify, show, stack

    def run(self, files: Sequence[str], reading: ReadOptions, stop: threading.Event, *, wait: bool) -> BackfillReport:
        """Publish all rows. In the embedded mode, or with `wait`, return when they are stored. Raises TocsinError."""
        identities(files)  # a missing file fails before anything is started
        if self._settings.broker == "embedded":
            with self._stack(self._settings, dashboard=False, notify=self._notify) as stack:
                report = self._publish(files, reading, stack.outbox, stop, stack.check)
                self._drain(report, stop, lambda: stack.outbox.counts().unsettled, stack.check)
                return report
        return self._to_kafka(files, reading, stop, wait=wait)

    def _to_kafka(self, files: Sequence[str], reading: ReadOptions, stop: threading.Event, *, wait: bool) -> BackfillReport:
        settings = self._settings
        ensure_topics(settings.broker, wiring.names(settings), partitions=settings.partitions, replication=settings.replication)
        folder = wiring.data_dir(settings)
        with sole_owner(folder), contextlib.closing(Outbox(folder / "outbox.sqlite", durable_broker=True)) as outbox:
            publisher = Publisher(outbox, BoundedProducer(settings.broker, wiring.names(settings).articles))
            ended = threading.Event()
            thread = threading.Thread(target=publisher.run, args=(ended,), name="publisher")
            thread.start()
            try:
                report = self._publish(files, reading, outbox, stop, lambda: None)
                self._drain(report, stop, lambda: outbox.counts().pending, lambda: None)
                if wait and not stop.is_set():
                    self._notify("published; waiting for the workers")
                    self._drain(report, stop, self._lag, lambda: None)
            finally:
                ended.set()
                thread.join()
                publisher.close()
        return report

    def _publish(
        self, files: Sequence[str], reading: ReadOptions, outbox: Outbox, stop: threading.Event, check: Callable[[], None]
    ) -> BackfillReport:
        total = count_rows(files)

        def progress(report: BackfillReport) -> None:
            check()
            self._show(report, total, outbox.counts().unsettled)

        gazetteer = wiring.make_gazetteer(self._settings)
        return backfill(
            files, OutboxSink(outbox), reading=reading, gazetteer=gazetteer, now=datetime.now(UTC), progress=progress, stop=stop
        )

    def _drain(self, report: BackfillReport, stop: threading.Event, waiting: Callable[[], int], check: Callable[[], None]) -> None:
        """Wait until no rows are left, or until interrupted; the next run continues."""
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
            self._notify(f"still waiting: {error}")
            time.sleep(1)
            return 1


ROLLUPS_PER_CALL = 20


class _DirectSink:
    """A sink that classifies and stores. A batch is stored while the next one is classified; then the file's progress is saved."""

    def __init__(self, pipeline: Pipeline, outbox: Outbox) -> None:
        self._pipeline, self._outbox = pipeline, outbox
        self._pool = ThreadPoolExecutor(1, "store")
        self._began = datetime.now(UTC).isoformat()
        self._previous: Future[None] | None = None
        self.waiting = 0

    def archive(self, key: str) -> ArchiveState:
        """As ingest.archive.backfill.Sink.archive."""
        return self._outbox.archive(key)

    def put(self, articles: Sequence[Article], path: str, key: str, state: ArchiveState) -> None:
        """As ingest.archive.backfill.Sink.put. Raises TocsinError, also for the previous batch."""
        source_name = f"{path}@{sha(key or self._began)[:8]}"  # not a topic: names the dead letters of this archive
        messages = [RawMessage(source_name, 0, state.line - len(articles) + n, a.id.encode(), encode(a)) for n, a in enumerate(articles)]
        classified = self._pipeline.classify_batch(messages, datetime.now(UTC))
        self.wait_stored()
        self.waiting = len(articles)
        self._previous = self._pool.submit(self._store, classified, key, state)

    def _store(self, classified: ClassifiedBatch, key: str, state: ArchiveState) -> None:
        self._pipeline.store_batch(classified, datetime.now(UTC))
        if key:
            self._outbox.put([], archive=key, archive_state=state)

    def wait_stored(self) -> None:
        """Wait until everything put so far is stored. Raises TocsinError."""
        if self._previous is not None:
            self._previous.result()
        self._previous, self.waiting = None, 0

    def has_room(self) -> bool:
        """Always: `put` itself waits."""
        return True

    def close(self) -> None:
        """Stop the thread."""
        self._pool.shutdown()


def load(files: Sequence[str], settings: Settings, reading: ReadOptions, stop: threading.Event, show: Show) -> BackfillReport:
    """Classify and store all rows of `files` without a broker. Raises TocsinError."""
    identities(files)  # a missing file fails before the model is loaded
    folder = wiring.data_dir(settings)
    with contextlib.ExitStack() as stack:
        stack.enter_context(sole_owner(folder))
        outbox = stack.enter_context(contextlib.closing(Outbox(folder / "outbox.sqlite", durable_broker=settings.broker != "embedded")))
        counts = outbox.counts()
        if counts.pending or (counts.sent and settings.broker == "embedded"):
            raise SettingsError(
                f"{counts.unsettled} articles of an earlier run are not classified yet: finish it with `tocsin up` or `tocsin backfill`"
            )
        store = stack.enter_context(contextlib.closing(wiring.make_store(settings)))
        classifier = stack.enter_context(wiring.following_classifier(settings))
        pipeline = stack.enter_context(contextlib.closing(make_pipeline(settings, store, classifier)))
        sink = stack.enter_context(contextlib.closing(_DirectSink(pipeline, outbox)))
        gazetteer, total = wiring.make_gazetteer(settings), count_rows(files)

        def progress(report: BackfillReport) -> None:
            show(report, total, sink.waiting)

        report = backfill(files, sink, reading=reading, gazetteer=gazetteer, now=datetime.now(UTC), progress=progress, stop=stop)
        sink.wait_stored()
        show(report, total, 0)
        with contextlib.suppress(StoreError):  # the scheduler computes the remaining roll-ups
            while not stop.is_set() and store.rollups.refresh(datetime.now(UTC), ROLLUPS_PER_CALL):
                pass
        return report
