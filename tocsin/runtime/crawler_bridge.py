"""Bridge between the store and the crawler: added feeds one way, visits and heartbeats the other.

    store.feeds ─▶ mailbox ─▶ crawler;   crawler ─▶ mailbox ─▶ store.visits, store.heartbeats

It runs where both are available: in the crawler's process beside a ClickHouse server, or in the worker process of `tocsin up`,
whose embedded store has one owner. While the store is unavailable the crawler continues with its known feeds.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from core import log
from core.errors import TocsinError
from ingest.crawl.crawler_mailbox import CrawlerMailbox, read_heartbeat
from ingest.crawl.sources import read_visits
from storage.store import Heartbeat, SourceVisit, Store
from tocsin import __version__

EVERY_S = 5.0
MAILBOX_FILE = "crawler.sqlite"
"""File name of the mailbox in data_dir."""
_log = log.get_logger(__name__)


class CrawlerBridge:
    """Copies changes between mailbox and store. Unchanged data is not written again. For one thread."""

    def __init__(self, mailbox: CrawlerMailbox, store: Store) -> None:
        self._mailbox, self._store = mailbox, store
        self._sent_visits: dict[str, SourceVisit] = {}
        self._last_heartbeat: object = None

    def step(self) -> None:
        """Copy what changed on either side. Raises StoreError."""
        feeds = {feed.name: feed.body.encode() for feed in self._store.feeds.all()}
        if feeds != self._mailbox.all("feed"):
            self._mailbox.put("feed", feeds, replace_all=True)
            _log.info("feeds_sent_to_crawler", feeds=sorted(feeds))
        known = read_visits(self._mailbox)
        changed = [visit for name, visit in known.items() if self._sent_visits.get(name) != visit]
        self._store.visits.put(changed)
        self._sent_visits = known
        heartbeat = read_heartbeat(self._mailbox)
        if heartbeat is not None and heartbeat != self._last_heartbeat:
            self._store.heartbeats.put(
                [
                    Heartbeat(
                        id=heartbeat.id,
                        roles=("crawl",),
                        host=heartbeat.host,
                        pid=heartbeat.pid,
                        version=__version__,
                        started_at=heartbeat.started_at,
                        at=heartbeat.at,
                        state=heartbeat.state,
                        waiting=heartbeat.waiting,
                    )
                ]
            )
            self._last_heartbeat = heartbeat


@contextlib.contextmanager
def running_bridge(path: Path, open_store: Callable[[], contextlib.AbstractContextManager[Store]]) -> Iterator[None]:
    """Run the bridge in a thread while inside; mailbox and store are opened, and reopened after errors, as soon as possible."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            try:
                with contextlib.closing(CrawlerMailbox(path)) as mailbox, open_store() as store:
                    bridge = CrawlerBridge(mailbox, store)
                    while not stop.is_set():
                        bridge.step()
                        stop.wait(EVERY_S)
                    with contextlib.suppress(TocsinError):
                        bridge.step()  # the crawler's last visits and heartbeat
            except TocsinError as error:
                _log.warning("crawler_bridge_retry", error=str(error))
                stop.wait(EVERY_S)

    thread = threading.Thread(target=run, name="crawler-bridge", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=20)
