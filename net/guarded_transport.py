"""Connections that only go where they may, and end when their time is over. Part of the door in fetch.py.

The address is vetted where it is used: the name is resolved once, all its addresses are checked, and the connection
goes to one of exactly these. Checking first and connecting by name would let the name change its mind in between.

A transport can be cut from any thread: who reads or writes is told that the other side has gone, and no connection comes about any
more. Sockets are only shut down then, and closed by whoever uses them: the number of one that is closed under its reader may
already be that of another.
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
from net.address_policy import kind_of
from net.deadline import Bounded, BoundedBackend, within

Resolver = Callable[[str, int], list[str]]
"""(host, port) -> its IP addresses; raises OSError when there are none."""


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name. The system also reads '2130706433' and '0x7f.1' as one: what comes out is vetted, not what went in."""
    return list(dict.fromkeys(str(row[4][0]) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


class Refused(SourceError):
    """The address is not one that we may connect to."""


class _Cut:
    """All connections of one transport, to be cut at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[_Stream] = weakref.WeakSet()
        self._done = False

    def watch(self, stream: _Stream) -> None:
        """Cut this one too, when the time comes. Raises httpcore.ConnectError, and closes it, when that was before."""
        with self._lock:
            if not self._done:
                self._open.add(stream)
                return
        stream.close()
        raise httpcore.ConnectError("we are closing")

    def __call__(self) -> None:
        with self._lock:
            self._done = True
            for stream in self._open:
                stream.shut_down()


class _Stream(Bounded):
    def __init__(self, inner: httpcore.NetworkStream, cut: _Cut) -> None:
        super().__init__(inner)
        self._cut = cut
        cut.watch(self)

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> httpcore.NetworkStream:
        """As NetworkStream.start_tls."""
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, within(timeout)), self._cut)

    def shut_down(self) -> None:
        """Its reader finds the end, its writer an error; for use by another thread than theirs."""
        with contextlib.suppress(OSError):  # it is closed already
            socket.socket.shutdown(self.get_extra_info("socket"), socket.SHUT_RDWR)  # TLS's own would take its state from the reader


class _Backend(httpcore.NetworkBackend):
    def __init__(self, resolver: Resolver, allow_private: bool) -> None:
        self._resolver = resolver
        self._allow_private = allow_private
        self._inner = BoundedBackend()
        self.cut = _Cut()

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
            raise httpcore.ConnectError(f"{host} has no address ({error})") from error
        for address in addresses:
            kind = kind_of(address)
            if kind == "special" or (kind == "private" and not self._allow_private):
                way_out = "; a source of your own network needs allow_private = true" if kind == "private" else ""
                raise Refused(f"{host} lies at {address}, which is not a public address{way_out}")
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses[:4]:
            try:
                return _Stream(self._inner.connect_tcp(address, port, timeout, local_address, socket_options), self.cut)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


class Guarded(httpx.HTTPTransport):
    """A transport of httpx over such connections. No proxy of the environment is used: it would connect in our place, unvetted."""

    def __init__(self, resolver: Resolver, context: ssl.SSLContext, *, allow_private: bool) -> None:
        super().__init__(context, trust_env=False)
        self.close()
        backend = _Backend(resolver, allow_private)
        self.cut = backend.cut
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=64,
            max_keepalive_connections=16,
            keepalive_expiry=15.0,
            network_backend=backend,
        )
