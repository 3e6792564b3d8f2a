"""Connections that only go where they may, and end when their time is over. Part of the door in fetch.py.

The address is vetted where it is used: the name is resolved once, all its addresses are checked, and the connection
goes to one of exactly these. Checking first and connecting by name would let the name change its mind in between.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import Any

import httpcore
import httpx

from spine.addresses import kind_of
from spine.deadline import BoundedBackend
from spine.errors import SourceError

Resolver = Callable[[str, int], list[str]]
"""(host, port) -> its IP addresses; raises OSError when there are none."""


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name. The system also reads '2130706433' and '0x7f.1' as one: what comes out is vetted, not what went in."""
    return list(dict.fromkeys(str(row[4][0]) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


class Refused(SourceError):
    """The address is not one that we may connect to."""


class _Backend(httpcore.NetworkBackend):
    def __init__(self, resolver: Resolver, allow_private: bool) -> None:
        self._resolver = resolver
        self._allow_private = allow_private
        self._inner = BoundedBackend()

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
                return self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


def guarded_transport(resolver: Resolver, *, allow_private: bool) -> httpx.BaseTransport:
    """A transport of httpx over such connections. No proxy of the environment is used: it would connect in our place, unvetted."""
    transport = httpx.HTTPTransport(trust_env=False)
    transport.close()
    transport._pool = httpcore.ConnectionPool(
        ssl_context=httpx.create_ssl_context(),  # SSL_CERT_FILE adds an authority of one's own
        max_connections=64,
        max_keepalive_connections=16,
        keepalive_expiry=15.0,
        network_backend=_Backend(resolver, allow_private),
    )
    return transport
