"""Connections that only go where they may, and end when their time is over. Part of the door in fetch.py.

The address is vetted where it is used: the name is resolved once, all its addresses are checked, and the connection
goes to one of exactly these. Checking first and connecting by name would let the name change its mind in between.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

import httpcore
import httpx

from spine.errors import SourceError

Resolver = Callable[[str, int], list[str]]
"""(host, port) -> its IP addresses; raises OSError when there are none."""

_FORBIDDEN = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
        "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24",
        "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
        "::/128", "::1/128", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001:db8::/32",
        "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip
"""Everything that is no public host: RFC 6890 and its successors, and a cloud's own address. Several count as global for Python."""


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name. The system also reads '2130706433' and '0x7f.1' as one: what comes out is vetted, not what went in."""
    return list(dict.fromkeys(str(row[4][0]) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


def forbidden(address: str) -> bool:
    """Whether an IP address is not a public host; an IPv4 address inside an IPv6 one is judged as IPv4."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return True
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return any(ip in network for network in _FORBIDDEN if network.version == ip.version)


class Refused(SourceError):
    """The address is not one that we may connect to."""


class Deadline:
    """A moment after which nothing more is read. `with deadline:` makes it count for this thread's connections."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def restart(self) -> None:
        """The full time again."""
        self._end = time.monotonic() + self._seconds

    def left_s(self) -> float:
        """Seconds left, more than 0. Raises SourceError when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise SourceError(f"took longer than {self._seconds:g} s")
        return left

    def __enter__(self) -> None:
        _current.deadline = self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _current.deadline = None


class _Current(threading.local):
    deadline: Deadline | None = None


_current = _Current()


def _within(timeout: float | None) -> float | None:
    """`timeout`, or what the thread's deadline leaves of it."""
    if _current.deadline is None:
        return timeout
    left = _current.deadline.left_s()
    return left if timeout is None else min(timeout, left)


class _Stream(httpcore.NetworkStream):
    """A connection whose every read is bounded by the deadline: a header that drips byte by byte ends too."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _within(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _within(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> httpcore.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, _within(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    def __init__(self, resolver: Resolver, allow_private: bool) -> None:
        self._resolver = resolver
        self._allow_private = allow_private
        self._inner = httpcore.SyncBackend()

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
        if not self._allow_private and (wrong := next((address for address in addresses if forbidden(address)), "")):
            raise Refused(f"{host} lies at {wrong}, which is not a public address; a source of your own network needs allow_private = true")
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses[:4]:
            try:
                return _Stream(self._inner.connect_tcp(address, port, _within(timeout), local_address, socket_options))
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
