"""A fetcher that is closed while others fetch: what is under way ends at once, and no connection is left to the garbage collector."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
import warnings
from collections.abc import Iterator

import pytest

from core.errors import SourceError
from ingest.crawl.fetcher import Fetched, Fetcher
from tests.dripping import Dripping
from tests.site import Answer, Site
from tests.helpers.waiting import until

FEED = b'<?xml version="1.0"?><rss version="2.0"><channel><title>wire</title></channel></rss>'


class Fetching:
    """One `get` in a thread of its own; what came of it, and when."""

    def __init__(self, fetcher: Fetcher, url: str) -> None:
        self._fetcher, self._url = fetcher, url
        self.fetched: Fetched | None = None
        self.error = ""
        self._thread = threading.Thread(target=self._get, daemon=True)
        self._thread.start()

    def _get(self) -> None:
        try:
            self.fetched = self._fetcher.get(self._url, allow_private=True)
        except SourceError as error:
            self.error = str(error)

    def ends(self, within_s: float = 2.0) -> None:
        self._thread.join(within_s)
        assert not self._thread.is_alive(), f"it still fetches after {within_s} s"


@contextlib.contextmanager
def nothing_left() -> Iterator[None]:
    """Fails when the collector finds a socket that nobody closed."""
    gc.collect()
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", ResourceWarning)
        yield
        gc.collect()
    assert [str(each.message) for each in found] == []


@pytest.mark.parametrize("start", ["", "HTTP/1.1 200 OK\r\nX: "], ids=["status", "header"])
def test_a_request_whose_answer_has_not_begun_ends_at_once(start):
    with nothing_left(), Dripping(start, every_s=30.0) as server:
        fetcher = Fetcher(host_delay_s=0)
        fetching = Fetching(fetcher, server.url + "/feed")
        until(lambda: server.asked, "it is asked", 5)
        fetcher.close()
        fetching.ends()
        assert fetching.fetched is None
        assert "/feed" in fetching.error
        del fetcher, fetching


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_an_answer_that_is_cut_is_never_taken_for_a_whole_one(tls, request):
    """Without a length, the end of the connection is the end of the answer: a feed without its last entries, kept for the whole of it."""
    sent = threading.Event()

    def halves(closing: threading.Event) -> Iterator[bytes]:
        yield FEED
        sent.set()
        closing.wait(20)

    context = request.getfixturevalue("certified") if tls else None
    with nothing_left(), Site(context) as site:
        url = f"http{'s' if tls else ''}://wire.example:{site.url.rpartition(':')[2]}/feed"
        site.pages["/feed"] = Answer(chunks=halves)
        fetcher = Fetcher(host_delay_s=0, resolver=lambda *_: ["127.0.0.1"])
        fetching = Fetching(fetcher, url)
        assert sent.wait(5)
        fetcher.close()
        fetching.ends()
        assert fetching.fetched is None
        assert fetching.error
        del fetcher, fetching


def test_a_connection_that_comes_about_too_late_is_closed(site):
    site.pages["/feed"] = Answer(FEED)
    asked, closed = threading.Event(), threading.Event()

    def resolve(_host: str, _port: int) -> list[str]:
        asked.set()
        closed.wait(5)
        return ["127.0.0.1"]

    with nothing_left():
        fetcher = Fetcher(host_delay_s=0, resolver=resolve)
        fetching = Fetching(fetcher, site.url + "/feed")
        assert asked.wait(5)
        fetcher.close()
        closed.set()
        fetching.ends()
        assert fetching.fetched is None
        assert site.seen == []
        del fetcher, fetching


def test_what_is_kept_open_is_closed_and_nothing_is_fetched_any_more(site):
    site.pages["/feed"] = Answer(FEED)
    with nothing_left():
        fetcher = Fetcher(host_delay_s=0)
        assert fetcher.get(site.url + "/feed", allow_private=True).body == FEED
        fetcher.close()
        fetcher.close()
        with pytest.raises(SourceError, match="closing"):
            fetcher.get(site.url + "/feed", allow_private=True)
        assert site.asked("/feed") == 1
        del fetcher


def test_many_that_fetch_while_it_is_closed_leave_nothing(site):
    """Each is somewhere else then: at its turn, connecting, reading, between two requests."""
    site.pages["/feed"] = Answer(FEED)
    for pause_s in (0.0, 0.002, 0.005, 0.01, 0.02):
        with nothing_left():
            fetcher = Fetcher(host_delay_s=0)
            before = len(site.seen)

            def fetch(fetcher: Fetcher = fetcher) -> None:
                with contextlib.suppress(SourceError):
                    while True:
                        fetcher.get(site.url + "/feed", allow_private=True)

            threads = [threading.Thread(target=fetch, daemon=True) for _ in range(8)]
            for thread in threads:
                thread.start()
            until(lambda before=before: len(site.seen) > before, "it is asked again", 5)  # type: ignore[misc]
            time.sleep(pause_s)
            fetcher.close()
            for thread in threads:
                thread.join(5)
                assert not thread.is_alive()
            del fetcher, fetch, threads, thread


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as running:
        yield running
