"""A deadline for whole requests. The timeouts of httpx apply to single reads, so a slowly sent response would never time out.

Parser of the HTTP header Retry-After: seconds or a date (RFC 9110, 10.2.3).
"""

from __future__ import annotations

import email.utils
import threading
import time
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import httpcore


class Deadline:
    """A deadline that starts at construction; `with deadline:` applies it to the connections of this thread.

    Args:
        seconds: the time
        error: type of the exception that is raised after it
    """

    def __init__(self, seconds: float, error: type[Exception] = TimeoutError) -> None:
        self._seconds, self._error = seconds, error
        self._end = time.monotonic() + seconds

    def restart(self) -> None:
        """Restart the full time."""
        self._end = time.monotonic() + self._seconds

    def left_s(self) -> float:
        """Seconds left, more than 0. Raises the error when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise self._error(f"took longer than {self._seconds:g} s")
        return left

    def __enter__(self) -> None:
        _current.deadline = self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _current.deadline = None


class _Current(threading.local):
    deadline: Deadline | None = None


_current = _Current()


def within(timeout: float | None) -> float | None:
    """`timeout`, reduced to the time left until the thread's deadline. Raises its error after the deadline."""
    if _current.deadline is None:
        return timeout
    left = _current.deadline.left_s()
    return left if timeout is None else min(timeout, left)


class Bounded(httpcore.NetworkStream):
    """A connection whose reads and writes observe the thread's deadline."""

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
    """Opens such connections."""

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        """As NetworkBackend.connect_tcp."""
        return Bounded(super().connect_tcp(host, port, within(timeout), *args, **kwargs))


MAX_RETRY_AFTER_S = 24 * 3600.0


def retry_after_s(value: str, date: str = "") -> float | None:
    """Seconds to wait, in [0, MAX_RETRY_AFTER_S]; None if the header is missing or malformed.

    Args:
        value: the header Retry-After
        date: the header Date, as a date in Retry-After is relative to the server's clock
    """
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:12]), MAX_RETRY_AFTER_S)
    until, now = _http_date(value), _http_date(date) or datetime.now(UTC)
    return None if until is None else min(max((until - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)


def _http_date(value: str) -> datetime | None:
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
