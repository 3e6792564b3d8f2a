"""Which IP addresses may be connected to: one list for what is fetched and for what is sent.

Explicit, as `ipaddress.is_global` calls multicast, NAT64 and 6to4 global. Sources: RFC 6890 and its successors (the registries of
special-purpose addresses of the IANA), and the clouds' own metadata services.

Where a webhook may be sent: its name is resolved once, every answer is looked at, and the connection goes to one of them.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

Kind = Literal["public", "private", "special"]
"""private: one's own machine and network, allowed to who says so; special: nobody's, never connected to."""

PRIVATE = ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1/128", "fc00::/7")
SPECIAL = (
    "0.0.0.0/8",
    "169.254.0.0/16",  # link-local, where clouds keep their metadata service
    "100.100.100.200/32",  # Alibaba Cloud's
    "168.63.129.16/32",  # Azure's
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/96",  # IPv4-compatible; NAT64 and 6to4 below hide an IPv4 address too
    "::ffff:0:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",  # Teredo among them
    "2001:db8::/32",
    "2002::/16",
    "2620:4f:8000::/48",
    "3fff::/20",
    "5f00::/16",
    "fe80::/10",
    "fec0::/10",
    "fd00:ec2::254/128",  # Amazon's metadata service
    "ff00::/8",
)

_LISTS: tuple[tuple[tuple[str, ...], Kind], ...] = ((PRIVATE, "private"), (SPECIAL, "special"))
_NETWORKS = sorted(((ipaddress.ip_network(name), kind) for names, kind in _LISTS for name in names), key=lambda row: -row[0].prefixlen)


@lru_cache(4096)
def kind_of(address: str) -> Kind:
    """What an IP address is, by the narrowest network that holds it. An IPv4 address inside an IPv6 one is judged as IPv4.

    What is no IP address at all is "special".
    """
    try:
        ip: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "special"
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return next((kind for network, kind in _NETWORKS if network.version == ip.version and ip in network), "public")


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
