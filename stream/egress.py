"""Where a webhook may be sent: its name is resolved once, every answer is looked at, and the connection goes to one of them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from spine.addresses import kind_of

Resolve = Callable[[str, int], Sequence[str]]


class Refused(Exception):
    """An endpoint must not be connected to; the message says why."""


def why_not(address: str, *, allow_private: bool) -> str:
    """Why nothing may be sent to this IP address; "" when it may."""
    kind = kind_of(address)
    if kind == "special":
        return f"{address} is a special address"
    if kind == "private" and not allow_private:
        return f"{address} is a private address; set allow_private if the endpoint is your own"
    return ""


def addresses(host: str, port: int) -> list[str]:
    """The addresses of `host`, as the system resolves it. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def vetted(host: str, port: int, *, allow_private: bool, resolve: Resolve = addresses) -> str:
    """An address of `host` to connect to. One forbidden answer among several refuses them all. Raises Refused, OSError.

    The caller connects to what is returned and does not resolve again: another answer could come.
    """
    found = resolve(host, port)
    for address in found:
        reason = why_not(address, allow_private=allow_private)
        if reason:
            raise Refused(f"{host}: {reason}")
    if not found:
        raise Refused(f"{host} has no address")
    return found[0]
