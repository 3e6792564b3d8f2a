"""Parses feeds and pages in processes of their own: a hostile document costs its source, and nobody else.

    crawler thread ─▶ free process ─▶ request, MessagePack on a pipe ─▶ feeds.read or pages.extract ─▶ answer
                                  └▶ over its processor time, memory or wall time: killed, SourceError; the next document gets a new one

The processes run this module. They start with the first document and hold the parsing libraries, 60 to 120 MB each.
"""

from __future__ import annotations

import contextlib
import math
import queue
import resource
import subprocess
import sys
import threading
import time
from typing import IO, Protocol

import msgspec

from core.errors import SourceError
from ingest.crawl import feeds, pages

CPU_S = 10.0
"""Processor time for one document; an ordinary feed takes some milliseconds."""
WALL_S = 60.0
MEMORY_BYTES = 2 * 1024**3
"""Address space of a process."""
PROCESSES = 2
DOCUMENTS = 500
"""A process is replaced after so many documents, as the libraries keep memory."""


class Parsers(Protocol):
    """Parses what was fetched. Both methods raise SourceError."""

    def feed(self, data: bytes, *, url: str, content_type: str = "", kind: str = "auto") -> feeds.ParsedFeed:
        """As feeds.read."""

    def page(self, data: bytes, *, url: str, content_type: str = "") -> pages.Page:
        """As pages.extract."""


class InProcess:
    """Parses in the calling thread."""

    def feed(self, data: bytes, *, url: str, content_type: str = "", kind: str = "auto") -> feeds.ParsedFeed:
        """As feeds.read."""
        return feeds.read(data, url=url, content_type=content_type, kind=kind)

    def page(self, data: bytes, *, url: str, content_type: str = "") -> pages.Page:
        """As pages.extract."""
        return pages.extract(data, url=url, content_type=content_type)


class _Request(msgspec.Struct, array_like=True):
    """what: "feed" or "page"; cpu_s: budget"""

    what: str
    data: bytes
    url: str
    content_type: str
    kind: str
    cpu_s: float


class _Answer(msgspec.Struct, array_like=True):
    """One of the three; error: of a SourceError"""

    feed: feeds.ParsedFeed | None = None
    page: pages.Page | None = None
    error: str = ""


class ParserPool:
    """Parses in up to PROCESSES processes. Thread safe; `close` ends them."""

    def __init__(self, *, processes: int = PROCESSES, cpu_s: float = CPU_S, wall_s: float = WALL_S) -> None:
        self._cpu_s, self._wall_s = cpu_s, wall_s
        self._free: queue.SimpleQueue[_Process | None] = queue.SimpleQueue()
        for _ in range(processes):
            self._free.put(None)
        self._closed = False

    def feed(self, data: bytes, *, url: str, content_type: str = "", kind: str = "auto") -> feeds.ParsedFeed:
        """As feeds.read."""
        answer = self._ask(_Request("feed", data, url, content_type, kind, self._cpu_s))
        if answer.feed is None:
            raise SourceError(answer.error)
        return answer.feed

    def page(self, data: bytes, *, url: str, content_type: str = "") -> pages.Page:
        """As pages.extract."""
        answer = self._ask(_Request("page", data, url, content_type, "", self._cpu_s))
        if answer.page is None:
            raise SourceError(answer.error)
        return answer.page

    def close(self) -> None:
        """End the free processes; those at work end with their document. Later calls raise SourceError."""
        self._closed = True
        free: list[_Process | None] = []
        with contextlib.suppress(queue.Empty):
            while True:
                free.append(self._free.get_nowait())
        for process in free:
            if process is not None:
                process.end()
            self._free.put(None)  # whoever waits for it is refused

    def _ask(self, request: _Request) -> _Answer:
        process = self._free.get()
        try:
            if self._closed:
                raise SourceError(f"{request.url}: the parsers are closed")
            if process is not None and process.has_ended():
                process.end()
                process = None
            if process is None:
                process = _Process()
            answer = process.ask(request, self._wall_s)
            if answer is None:
                process.end()
                process = None
                raise SourceError(
                    f"{request.url}: the document takes more than {self._cpu_s:g} s of processor time or {MEMORY_BYTES >> 20} MB to parse"
                )
            if self._closed or process.documents >= DOCUMENTS:
                process.end()
                process = None
        finally:
            self._free.put(process)
        return answer


class _Process:
    """One process that parses. documents: how many it was given"""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        command = [sys.executable, "-P", "-m", "ingest.crawl.parsers"]  # -P: no module of the current folder
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, start_new_session=True)
        self.documents = 0

    def ask(self, request: _Request, wall_s: float) -> _Answer | None:
        """The answer; None if the process ended over it."""
        self.documents += 1
        timer = threading.Timer(wall_s, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            if self._process.stdin is None or self._process.stdout is None:
                return None
            _write(self._process.stdin, msgspec.msgpack.encode(request))
            body = _read(self._process.stdout)
            return None if body is None else msgspec.msgpack.decode(body, type=_Answer)
        except (OSError, msgspec.MsgspecError):
            return None
        finally:
            timer.cancel()

    def has_ended(self) -> bool:
        """Whether it ended while it was not used."""
        return self._process.poll() is not None

    def end(self) -> None:
        """Kill it; it holds nothing that is needed."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _write(pipe: IO[bytes], body: bytes) -> None:
    pipe.write(len(body).to_bytes(8, "big") + body)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes | None:
    """The next message; None at the end of the pipe."""
    size = pipe.read(8)
    if len(size) < 8:
        return None
    body = pipe.read(length := int.from_bytes(size, "big"))
    return body if len(body) == length else None


def _answer(request: _Request) -> _Answer:
    try:
        if request.what == "feed":
            return _Answer(feed=feeds.read(request.data, url=request.url, content_type=request.content_type, kind=request.kind))
        return _Answer(page=pages.extract(request.data, url=request.url, content_type=request.content_type))
    except SourceError as error:
        return _Answer(error=str(error))


def serve() -> None:
    """Answer the requests on stdin until it is closed. The kernel ends this process at its limits."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while (body := _read(sys.stdin.buffer)) is not None:
        request = msgspec.msgpack.decode(body, type=_Request)
        until = math.ceil(time.process_time() + request.cpu_s)
        resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))
        _write(sys.stdout.buffer, msgspec.msgpack.encode(_answer(request)))


if __name__ == "__main__":
    serve()
