"""The crawler's HTTP client, on httpx: robots.txt, request spacing, address checks, size and time limits.

    get ─▶ scheme ─▶ robots.txt ─▶ per-host pacing ─▶ resolve and check every address ─▶ connect to the checked one
        ─▶ status (304, redirect: start over, 429) ─▶ body, decompressed up to a limit, before the deadline

A feed's address comes from a user, but redirects and links are untrusted: each hop is checked like a new request. Only the host and port
of the given address may be private.
"""

from __future__ import annotations

import contextlib
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import httpx

from core.errors import SourceError
from ingest.crawl.robots import Robots
from ingest.text.urls import MAX_URL_CHARS, canonical, host_of, is_same_server
from net.address_policy import resolve
from net.guarded_transport import GuardedTransport, Resolver
from net.timeouts import Deadline, retry_after_s

USER_AGENT = "Tocsin/0.1"
MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_HOPS = 5
MAX_PACING_WAIT_S = 30.0
"""If pacing would delay a request longer than this, it fails with a retry time instead."""


class Fetched(NamedTuple):
    """A response. url: after redirects; not_modified: HTTP 304, the body is empty."""

    status: int
    url: str
    body: bytes
    content_type: str = ""
    etag: str = ""
    last_modified: str = ""
    not_modified: bool = False


class Fetcher:
    """Fetches over HTTP. Thread safe; `close` cancels requests in progress.

    Args:
        user_agent: sent with each request and matched in robots.txt.
        host_delay_s: least seconds between requests to one host; a robots.txt may require more.
        deadline_s: seconds for one `get` with its redirects, from the first byte sent to the last byte read.
        idle_s: seconds without data after which a request fails.
        max_bytes: largest body, decompressed.
        resolver: host name to addresses.
    """

    def __init__(
        self,
        *,
        user_agent: str = USER_AGENT,
        host_delay_s: float = 1.0,
        deadline_s: float = 30.0,
        idle_s: float = 10.0,
        max_bytes: int = MAX_BODY_BYTES,
        resolver: Resolver = resolve,
    ) -> None:
        self.user_agent = user_agent
        self._deadline_s = deadline_s
        self._idle_s = idle_s
        self._max_bytes = max_bytes
        self._pacer = HostPacer(host_delay_s)
        self._robots = Robots(user_agent)
        context = httpx.create_ssl_context()  # SSL_CERT_FILE adds a certificate authority
        self._transports = {private: GuardedTransport(resolver, context, allow_private=private) for private in (False, True)}
        self._lock = threading.Lock()
        self._busy, self._closing = 0, threading.Event()

    def get(self, url: str, *, etag: str = "", last_modified: str = "", allow_private: bool = False, limit: int | None = None) -> Fetched:
        """Fetch `url`: status 200, or 304 if `etag` or `last_modified` still match.

        Args:
            allow_private: whether the host and port of `url` may be private; those of redirects elsewhere may not.

        Raises:
            SourceError: not allowed (address, scheme, robots.txt, size), any other status, unreachable, or the fetcher is closing.
        """
        with self._in_progress():
            fetched = self._get(url, etag, last_modified, allow_private, limit or self._max_bytes)
            if self._closing.is_set():  # a response without a length looks complete when its connection is cut
                raise SourceError(f"{url}: the fetcher is closing")
            return fetched

    def _get(self, url: str, etag: str, last_modified: str, allow_private: bool, limit: int) -> Fetched:
        deadline = Deadline(self._deadline_s, SourceError)
        headers = {"If-None-Match": etag, "If-Modified-Since": last_modified}
        conditional = {name: value for name, value in headers.items() if value and value.isascii() and value.isprintable()}
        here = url
        for _ in range(MAX_HOPS + 1):
            private = allow_private and is_same_server(here, url)
            self._permit(here, deadline, private)
            response = self._request(here, conditional, deadline, private)
            try:
                target = _redirect(response, here)
                if not target:
                    return self._answer(response, here, conditional, deadline, limit)
            finally:
                response.close()
            here = target
        raise SourceError(f"{url}: more than {MAX_HOPS} redirects, the last to {here}")

    def _permit(self, url: str, deadline: Deadline, allow_private: bool) -> None:
        """Wait for the host's pacing; raise SourceError if its robots.txt disallows the URL."""

        def read(address: str) -> tuple[int, bytes]:
            return self._read_robots(address, deadline, allow_private)

        if not canonical(url):
            raise SourceError(f"{url[:200]}: is not an http or https address")
        if not self._robots.allows(url, read):
            retry_in_s = self._robots.retry_in_s(url)
            why = f"its robots.txt does not allow {self.user_agent}" if retry_in_s is None else "its robots.txt is unavailable"
            raise SourceError(f"{url}: {why}", retry_after_s=retry_in_s)
        self._pacer.wait(host_of(url), at_least_s=self._robots.delay_s(url))
        deadline.restart()  # our own pacing does not count against the server

    def _read_robots(self, url: str, deadline: Deadline, allow_private: bool) -> tuple[int, bytes]:
        """Status and the first 512 KiB of a robots.txt, following redirects."""
        first = url
        for _ in range(MAX_HOPS + 1):
            if not canonical(url):
                return 404, b""
            response = self._request(url, {}, deadline, allow_private and is_same_server(url, first))
            try:
                target = _redirect(response, url)
                if not target:
                    body = _body(response, deadline, Robots.MAX_BYTES, truncate=True) if response.status_code == 200 else b""
                    return response.status_code, body
            finally:
                response.close()
            url = target
        return 404, b""  # RFC 9309, 2.3.1.2: after five redirects it may be taken as unavailable

    def _request(self, url: str, conditional: dict[str, str], deadline: Deadline, allow_private: bool) -> httpx.Response:
        wait_s = min(self._idle_s, deadline.left_s())
        headers = {
            "User-Agent": self.user_agent,
            "Accept": "application/rss+xml, application/atom+xml, application/xml;q=0.9, text/html;q=0.8, */*;q=0.5",
            "Accept-Encoding": "gzip",  # only what we can decompress with a limit
            **conditional,
        }
        try:
            timeout = httpx.Timeout(wait_s).as_dict()
            request = httpx.Request("GET", url, headers=headers, extensions={"timeout": timeout})
            with deadline:
                return self._transports[allow_private].handle_request(request)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise SourceError(f"{url}: {_describe_error(error)}") from error

    def _answer(self, response: httpx.Response, url: str, conditional: dict[str, str], deadline: Deadline, limit: int) -> Fetched:
        status, headers = response.status_code, response.headers
        if status == 304 and conditional:
            return Fetched(304, url, b"", "", headers.get("etag", ""), headers.get("last-modified", ""), not_modified=True)
        if status != 200:
            wait_s = retry_after_s(headers.get("retry-after", ""), headers.get("date", ""))
            if status in (429, 503):
                self._pacer.pause(host_of(url), wait_s if wait_s is not None else 60.0)
            raise SourceError(f"{url}: HTTP {status} {response.reason_phrase}", retry_after_s=wait_s)
        try:
            body = _body(response, deadline, limit)
        except (httpx.HTTPError, OSError) as error:
            raise SourceError(f"{url}: {_describe_error(error)}") from error
        except SourceError as error:
            raise SourceError(f"{url}: {error}") from error
        return Fetched(200, url, body, headers.get("content-type", ""), headers.get("etag", ""), headers.get("last-modified", ""))

    @contextlib.contextmanager
    def _in_progress(self) -> Iterator[None]:
        """The last request after `close` closes the connections: httpx leaks one that is still in use."""
        with self._lock:
            if self._closing.is_set():
                raise SourceError("the fetcher is closing")
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1
                last = self._closing.is_set() and not self._busy
            if last:
                self._release()

    def _release(self) -> None:
        for transport in self._transports.values():
            transport.close()

    def close(self) -> None:
        """Cancel requests in progress and waiting ones; later calls to `get` fail. May be called twice."""
        with self._lock:
            self._closing.set()
            idle = not self._busy
        self._pacer.close()
        for transport in self._transports.values():
            transport.abort()
        if idle:
            self._release()


def _redirect(response: httpx.Response, url: str) -> str:
    """The target of a redirect; "" if it is none. Raises SourceError for a target that is not http or https."""
    if response.status_code not in (301, 302, 303, 307, 308):
        return ""
    location = response.headers.get("location", "")
    try:
        target = str(httpx.URL(url).join(location)) if 0 < len(location) <= MAX_URL_CHARS else ""
    except (httpx.InvalidURL, ValueError):
        target = ""
    if not canonical(target):
        raise SourceError(f"{url}: redirects to {location[:200]!r}, which is not an http or https address")
    return target


def _body(response: httpx.Response, deadline: Deadline, limit: int, *, truncate: bool = False) -> bytes:
    """The decompressed body, never more than `limit` bytes in memory. Raises SourceError if it is longer, unless `truncate`."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower() or "identity"
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise SourceError(f"unsupported Content-Encoding {encoding!r}")
    unpack = _Gunzip(limit) if encoding != "identity" else _Plain(limit)
    with deadline:
        for chunk in response.iter_raw():
            unpack.feed(chunk)
            if unpack.over:
                if truncate:
                    break
                raise SourceError(f"the response is longer than {limit} bytes")
            deadline.left_s()
    if not unpack.over and not unpack.whole:
        raise SourceError("the compressed response is truncated")
    return bytes(unpack.data[:limit])


class _Plain:
    """Collects a body, at most one byte over `limit`."""

    whole = True

    def __init__(self, limit: int) -> None:
        self.data = bytearray()
        self._room = limit + 1

    @property
    def over(self) -> bool:
        return len(self.data) >= self._room

    def feed(self, chunk: bytes) -> None:
        self.data += chunk[: self._room - len(self.data)]


class _Gunzip(_Plain):
    """Decompresses gzip, with several members, to at most `limit` + 1 bytes: 2 MB can hold 2 GiB of zeros."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._inflate = zlib.decompressobj(31)
        self._begun = False

    @property
    def whole(self) -> bool:  # type: ignore[override]
        return self._inflate.eof or not self._begun

    def feed(self, chunk: bytes) -> None:
        self._begun = self._begun or bool(chunk)
        while chunk and not self.over:
            if self._inflate.eof:
                if not chunk.startswith(b"\x1f\x8b"):
                    return  # padding after the last member
                self._inflate = zlib.decompressobj(31)
            try:
                self.data += self._inflate.decompress(chunk, self._room - len(self.data))
            except zlib.error as error:
                raise SourceError(f"the response is not valid gzip ({error})") from error
            chunk = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail


class HostPacer:
    """Spaces requests to each host."""

    def __init__(self, delay_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._delay_s = delay_s
        self._clock = clock
        self._next: dict[str, float] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def wait(self, host: str, at_least_s: float = 0.0) -> None:
        """Wait until a request to the host may be sent. Raises SourceError when that is more than MAX_TURN_S away."""
        with self._lock:
            now = self._clock()
            start = max(now, self._next.get(host, 0.0))
            if start - now > MAX_PACING_WAIT_S:
                raise SourceError(f"{host}: the next request is allowed in {start - now:.0f} s", retry_after_s=start - now)
            self._next[host] = start + max(self._delay_s, at_least_s)
            if len(self._next) > 10_000:
                self._next = {name: moment for name, moment in self._next.items() if moment > now}
        if start > now and self._closed.wait(start - now):
            raise SourceError(f"{host}: the fetcher is closing")

    def pause(self, host: str, wait_s: float) -> None:
        """Send nothing to the host for `wait_s` seconds."""
        with self._lock:
            self._next[host] = max(self._next.get(host, 0.0), self._clock() + wait_s)

    def close(self) -> None:
        """Cancel all waits."""
        self._closed.set()


def _describe_error(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300] if str(error) else type(error).__name__
