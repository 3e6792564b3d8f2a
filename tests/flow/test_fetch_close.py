"""Closing a fetcher during requests: they end at once, and no connection leaks."""

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
from tests.helpers.http_site import Response, Site
from tests.helpers.slow_server import SlowServer
from tests.helpers.waiting import until

FEED = b'<?xml version="1.0"?><rss version="2.0"><channel><title>wire</title></channel></rss>'


class Fetching:
    """One `get` in a thread, with its result and duration."""

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
    """Fails if the garbage collector finds an unclosed socket."""
    gc.collect()
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", ResourceWarning)
        yield
        gc.collect()
    assert [str(each.message) for each in found] == []


@pytest.mark.parametrize("start", ["", "HTTP/1.1 200 OK\r\nX: "], ids=["status", "header"])
def test_a_request_without_a_response_is_cancelled(start):
    with nothing_left(), SlowServer(start, every_s=30.0) as server:
        fetcher = Fetcher(host_delay_s=0)
        fetching = Fetching(fetcher, server.url + "/feed")
        until(lambda: server.requests, "a request arrives", 5)
        fetcher.close()
        fetching.ends()
        assert fetching.fetched is None
        assert "/feed" in fetching.error
        del fetcher, fetching


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_truncated_response_is_an_error(tls, request):
    """Without a length, the end of the connection ends the response: a truncated feed would look complete."""
    sent = threading.Event()

    def halves(closing: threading.Event) -> Iterator[bytes]:
        yield FEED
        sent.set()
        closing.wait(20)

    context = request.getfixturevalue("certified") if tls else None
    with nothing_left(), Site(context) as site:
        url = f"http{'s' if tls else ''}://wire.example:{site.url.rpartition(':')[2]}/feed"
        site.pages["/feed"] = Response(chunks=halves)
        fetcher = Fetcher(host_delay_s=0, resolver=lambda *_: ["127.0.0.1"])
        fetching = Fetching(fetcher, url)
        assert sent.wait(5)
        fetcher.close()
        fetching.ends()
        assert fetching.fetched is None
        assert fetching.error
        del fetcher, fetching


def test_a_late_connection_is_closed(site):
    site.pages["/feed"] = Response(FEED)
    requested, closed = threading.Event(), threading.Event()

    def resolve(_host: str, _port: int) -> list[str]:
        requested.set()
        closed.wait(5)
        return ["127.0.0.1"]

    with nothing_left():
        fetcher = Fetcher(host_delay_s=0, resolver=resolve)
        fetching = Fetching(fetcher, site.url + "/feed")
        assert requested.wait(5)
        fetcher.close()
        closed.set()
        fetching.ends()
        assert fetching.fetched is None
        assert site.requests == []
        del fetcher, fetching


def test_kept_connections_are_closed_and_later_requests_fail(site):
    site.pages["/feed"] = Response(FEED)
    with nothing_left():
        fetcher = Fetcher(host_delay_s=0)
        assert fetcher.get(site.url + "/feed", allow_private=True).body == FEED
        fetcher.close()
        fetcher.close()
        with pytest.raises(SourceError, match="closing"):
            fetcher.get(site.url + "/feed", allow_private=True)
        assert site.request_count("/feed") == 1
        del fetcher


def test_closing_during_many_requests_leaks_nothing(site):
    """The requests are in different phases: paced, connecting, reading, between two requests."""
    site.pages["/feed"] = Response(FEED)
    for pause_s in (0.0, 0.002, 0.005, 0.01, 0.02):
        with nothing_left():
            fetcher = Fetcher(host_delay_s=0)
            before = len(site.requests)

            def fetch(fetcher: Fetcher = fetcher) -> None:
                with contextlib.suppress(SourceError):
                    while True:
                        fetcher.get(site.url + "/feed", allow_private=True)

            threads = [threading.Thread(target=fetch, daemon=True) for _ in range(8)]
            for thread in threads:
                thread.start()
            until(lambda before=before: len(site.requests) > before, "another request arrives", 5)  # type: ignore[misc]
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
