"""An HTTP transport that connects only to permitted addresses, observes deadlines and can be aborted from another thread.

A name is resolved once, all its addresses are checked, and the connection goes to one of exactly these. If the connection were made by
name after the check, the name could resolve to another address (DNS rebinding).

`abort` works from any thread: pending reads and writes fail, and no new connection is opened. It only shuts sockets down; they are
closed by the thread that uses them, because the file descriptor of a closed socket may be reused at once.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import httpcore
import httpx

from core.errors import SourceError
from core.log import get_logger
from net.address_policy import kind_of
from net.timeouts import Bounded, BoundedBackend, within

log = get_logger(__name__)
NO_ADDRESS = "has no address"
Resolver = Callable[[str, int], list[str]]
"""(host, port) -> IP addresses; raises OSError if there are none."""


class ForbiddenSource(SourceError):
    """The address of a source is forbidden."""


class _Abort:
    """Aborts all connections of one transport."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[_Stream] = weakref.WeakSet()
        self._done = False

    def watch(self, stream: _Stream) -> None:
        """Include a connection. If aborted already, closes it and raises httpcore.ConnectError."""
        with self._lock:
            if not self._done:
                self._open.add(stream)
                return
        stream.close()
        raise httpcore.ConnectError("the transport is closed")

    def __call__(self) -> None:
        with self._lock:
            self._done = True
            for stream in self._open:
                stream.shut_down()


class _Stream(Bounded):
    def __init__(self, inner: httpcore.NetworkStream, abort: _Abort) -> None:
        super().__init__(inner)
        self._abort = abort
        abort.watch(self)

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> httpcore.NetworkStream:
        """As NetworkStream.start_tls."""
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, within(timeout)), self._abort)

    def shut_down(self) -> None:
        """Make pending reads return the end and writes fail, from another thread."""
        with contextlib.suppress(OSError):  # already closed
            socket.socket.shutdown(
                self.get_extra_info("socket"), socket.SHUT_RDWR
            )  # the method of the TLS socket would interfere with its reader


class _Backend(httpcore.NetworkBackend):
    def __init__(self, resolver: Resolver, allow_private: bool) -> None:
        self._resolver = resolver
        self._allow_private = allow_private
        self._inner = BoundedBackend()
        self.abort = _Abort()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            addresses = self._resolver(host.strip("[]"), port)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} {NO_ADDRESS} ({error})") from error
        for address in addresses:
            kind = kind_of(address)
            if kind == "special" or (kind == "private" and not self._allow_private):
                hint = "; a source in your own network needs allow_private = true" if kind == "private" else ""
                log.info("address_refused", host=host, address=address)  # the message is for users, who must not query our name server
                raise ForbiddenSource(f"{host}: its address is not a public address{hint}")
        failure: Exception = httpcore.ConnectError(f"{host} {NO_ADDRESS}")
        for address in addresses[:4]:
            try:
                return _Stream(self._inner.connect_tcp(address, port, timeout, local_address, socket_options), self.abort)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


class GuardedTransport(httpx.HTTPTransport):
    """The transport for httpx. Proxies of the environment are not used, as they would connect without the check."""

    def __init__(self, resolver: Resolver, context: ssl.SSLContext, *, allow_private: bool) -> None:
        super().__init__(context, trust_env=False)
        self.close()
        backend = _Backend(resolver, allow_private)
        self.abort = backend.abort
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=64,
            max_keepalive_connections=16,
            keepalive_expiry=15.0,
            network_backend=backend,
        )
