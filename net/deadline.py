"""A moment after which a connection is neither read nor written. httpx bounds each read by itself, so a header that drips never ends."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any

import httpcore


class Deadline:
    """Counts from its making. `with deadline:` makes it count for the connections of this thread.

    over: what is raised when the time is over
    """

    def __init__(self, seconds: float, over: type[Exception] = TimeoutError) -> None:
        self._seconds, self._over = seconds, over
        self._end = time.monotonic() + seconds

    def restart(self) -> None:
        """The full time again."""
        self._end = time.monotonic() + self._seconds

    def left_s(self) -> float:
        """Seconds left, more than 0. Raises `over` when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise self._over(f"took longer than {self._seconds:g} s")
        return left

    def __enter__(self) -> None:
        _current.deadline = self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _current.deadline = None


class _Current(threading.local):
    deadline: Deadline | None = None


_current = _Current()


def within(timeout: float | None) -> float | None:
    """`timeout`, or what the thread's deadline leaves of it. Raises what that raises."""
    if _current.deadline is None:
        return timeout
    left = _current.deadline.left_s()
    return left if timeout is None else min(timeout, left)


class Bounded(httpcore.NetworkStream):
    """A connection whose every read and write is bounded by the thread's deadline."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """As NetworkStream.read."""
        return self._inner.read(max_bytes, within(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """As NetworkStream.write."""
        self._inner.write(buffer, within(timeout))

    def close(self) -> None:
        """As NetworkStream.close."""
        self._inner.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> httpcore.NetworkStream:
        """As NetworkStream.start_tls."""
        return Bounded(self._inner.start_tls(ssl_context, server_hostname, within(timeout)))

    def get_extra_info(self, info: str) -> Any:
        """As NetworkStream.get_extra_info."""
        return self._inner.get_extra_info(info)


class BoundedBackend(httpcore.SyncBackend):
    """Makes such connections."""

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        """As NetworkBackend.connect_tcp."""
        return Bounded(super().connect_tcp(host, port, within(timeout), *args, **kwargs))
