"""Which addresses a webhook may be sent to. Explicit lists: `ipaddress.is_global` calls multicast, NAT64 and 6to4 global."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]

PRIVATE = tuple(
    ipaddress.ip_network(network)
    for network in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1/128", "fc00::/7")
)
"""One's own machine and network: allowed to an endpoint that says so (allow_private)."""

FORBIDDEN = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "169.254.0.0/16",  # link-local, where clouds keep their metadata service
        "100.100.100.200/32",  # Alibaba Cloud's
        "168.63.129.16/32",  # Azure's
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "64:ff9b::/96",  # NAT64 and 6to4 hide an IPv4 address
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",  # Teredo among them
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
        "5f00::/16",
        "fe80::/10",
        "fec0::/10",
        "fd00:ec2::254/128",  # Amazon's metadata service
        "ff00::/8",
    )
)


class Refused(Exception):
    """An endpoint must not be connected to; the message says why."""


def why_not(address: str, *, allow_private: bool) -> str:
    """Why nothing may be sent to this IP address; "" when it may."""
    try:
        ip: Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return f"{address!r} is not an IP address"
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if any(ip in network for network in FORBIDDEN):
        return f"{ip} is a special address"
    if not allow_private and any(ip in network for network in PRIVATE):
        return f"{ip} is a private address; set allow_private if the endpoint is your own"
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
