"""Archives into the store the shortest way: read, scored and stored in this process, without a broker.

    files.read ─▶ batches ─▶ Pipeline.draft ─▶ Pipeline.keep (a thread of its own) ─▶ the line reached, in the outbox

It is the worker's own pipeline, so rows and stories are the same. Nothing watches what it stores: history rings no bell. An article
must not be scored in two places at once: not for use beside workers that get the same articles.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime

from ingest.backfill import Report, backfill, identities
from ingest.files import Reading, count_rows
from ingest.outbox import ArchiveState, Outbox
from spine.errors import SettingsError, StoreError
from spine.records import Article, encode, sha
from spine.settings import Settings
from stream.batches import Raw
from stream.pipeline import Drafts, Pipeline
from tocsin import wiring
from tocsin.archives import Show
from tocsin.embedded import sole_owner

SUMS_AT_ONCE = 20


class _Scoring:
    """A sink that scores and stores. One batch is stored while the next is classified; how far a file is done is noted after that."""

    def __init__(self, pipeline: Pipeline, outbox: Outbox) -> None:
        self._pipeline, self._outbox = pipeline, outbox
        self._pool = ThreadPoolExecutor(1, "keep")
        self._began = datetime.now(UTC).isoformat()
        self._before: Future[None] | None = None
        self.waiting = 0

    def archive(self, key: str) -> ArchiveState:
        """As ingest.backfill.Sink.archive."""
        return self._outbox.archive(key)

    def put(self, articles: Sequence[Article], path: str, key: str, state: ArchiveState) -> None:
        """As ingest.backfill.Sink.put. Raises TocsinError, also for the batch before."""
        place = f"{path}@{sha(key or self._began)[:8]}"  # no topic: what dead letters of this archive are named by
        messages = [Raw(place, 0, state.line - len(articles) + n, a.id.encode(), encode(a)) for n, a in enumerate(articles)]
        drafts = self._pipeline.draft(messages, datetime.now(UTC))
        self.settle()
        self.waiting = len(articles)
        self._before = self._pool.submit(self._keep, drafts, key, state)

    def _keep(self, drafts: Drafts, key: str, state: ArchiveState) -> None:
        self._pipeline.keep(drafts, datetime.now(UTC))
        if key:
            self._outbox.put([], archive=key, archive_state=state)

    def settle(self) -> None:
        """Wait until all that was put is stored. Raises TocsinError."""
        if self._before is not None:
            self._before.result()
        self._before, self.waiting = None, 0

    def has_room(self) -> bool:
        """As ingest.backfill.Sink.has_room: `put` waits itself."""
        return True

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown()


def load(files: Sequence[str], settings: Settings, reading: Reading, stop: threading.Event, show: Show) -> Report:
    """Score and store all rows of `files`. Raises TocsinError."""
    identities(files)  # a file that is not there is told before a model is loaded
    folder = wiring.data_dir(settings)
    with contextlib.ExitStack() as stack:
        stack.enter_context(sole_owner(folder))
        outbox = stack.enter_context(contextlib.closing(Outbox(folder / "outbox.sqlite", durable_broker=settings.broker != "embedded")))
        counts = outbox.counts()
        if counts.pending or (counts.sent and settings.broker == "embedded"):
            raise SettingsError(
                f"{counts.unsettled} articles of an earlier run wait to be scored: end that with `tocsin up` or `tocsin backfill`"
            )
        store = stack.enter_context(contextlib.closing(wiring.make_store(settings)))
        classifier = stack.enter_context(wiring.following_classifier(settings))
        pipeline = stack.enter_context(contextlib.closing(wiring.make_pipeline(settings, store, classifier)))
        sink = stack.enter_context(contextlib.closing(_Scoring(pipeline, outbox)))
        gazetteer, total = wiring.make_gazetteer(settings), count_rows(files)

        def progress(report: Report) -> None:
            show(report, total, sink.waiting)

        report = backfill(files, sink, reading=reading, gazetteer=gazetteer, now=datetime.now(UTC), progress=progress, stop=stop)
        sink.settle()
        show(report, total, 0)
        with contextlib.suppress(StoreError):  # what is not summed up here the scheduler sums up
            while not stop.is_set() and store.moods.refresh(datetime.now(UTC), SUMS_AT_ONCE):
                pass
        return report
