"""Between the store and the crawler, who has none: feeds that people added go to it, and what it tells goes to the store.

    store.feeds ─▶ board ─▶ crawler;   crawler ─▶ board ─▶ store.visits, store.beats

It runs wherever both can be had: in the crawler's own process beside a ClickHouse server, in the child of `tocsin up`, whose
store has one owner. While the store does not answer, the crawler goes on with what it knows.
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
from storage.store import Beat, Store, Visited
from tocsin import __version__

EVERY_S = 5.0
MAILBOX_FILE = "board.sqlite"
"""The file of the board, in data_dir."""
_log = log.get_logger(__name__)


class CrawlerBridge:
    """One step after the other, each of them cheap: what did not change is not written again. One thread at a time."""

    def __init__(self, mailbox: CrawlerMailbox, store: Store) -> None:
        self._mailbox, self._store = mailbox, store
        self._sent_visits: dict[str, Visited] = {}
        self._last_heartbeat: object = None

    def step(self) -> None:
        """Carry over what changed on either side. Raises StoreError."""
        feeds = {feed.name: feed.body.encode() for feed in self._store.feeds.all()}
        if feeds != self._mailbox.all("feed"):
            self._mailbox.put("feed", feeds, alone=True)
            _log.info("feeds handed to the crawler", feeds=sorted(feeds))
        known = read_visits(self._mailbox)
        fresh = [visit for name, visit in known.items() if self._sent_visits.get(name) != visit]
        self._store.visits.put(fresh)
        self._sent_visits = known
        heartbeat = read_heartbeat(self._mailbox)
        if heartbeat is not None and heartbeat != self._last_heartbeat:
            self._store.beats.put(
                [
                    Beat(
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
def connected(path: Path, open_store: Callable[[], contextlib.AbstractContextManager[Store]]) -> Iterator[None]:
    """While inside, a thread carries over between the board in `path` and the store; both are opened when they can be, and again."""
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            try:
                with contextlib.closing(CrawlerMailbox(path)) as mailbox, open_store() as store:
                    bridge = CrawlerBridge(mailbox, store)
                    while not over.is_set():
                        bridge.step()
                        over.wait(EVERY_S)
                    with contextlib.suppress(TocsinError):
                        bridge.step()  # the crawler's last words
            except TocsinError as error:
                _log.warning("crawler and store do not hear of each other; trying again", error=str(error))
                over.wait(EVERY_S)

    thread = threading.Thread(target=run, name="liaison", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=20)
