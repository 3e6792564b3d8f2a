"""The policy for outgoing connections: which IP addresses may be connected to, for the crawler and for webhooks.

The networks are listed explicitly, because `ipaddress.is_global` includes multicast, NAT64 and 6to4. Sources: the IANA registries of
special-purpose addresses (RFC 6890 and its successors), and the metadata services of cloud providers.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

Kind = Literal["public", "private", "special"]
"""private: loopback and private networks, permitted by a setting; special: never permitted."""

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
    """The kind of an IP address, by the narrowest matching network; an IPv4-mapped IPv6 address counts as IPv4.

    Anything else than an IP address is "special".
    """
    try:
        ip: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "special"
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return next((kind for network, kind in _NETWORKS if network.version == ip.version and ip in network), "public")


Resolve = Callable[[str, int], Sequence[str]]


class ForbiddenAddress(Exception):
    """An endpoint must not be connected to; the message gives the reason."""


def forbidden_reason(address: str, *, allow_private: bool) -> str:
    """Why a connection to this IP address is forbidden; "" if it is permitted."""
    kind = kind_of(address)
    if kind == "special":
        return f"{address} is a special address"
    if kind == "private" and not allow_private:
        return f"{address} is a private address; set allow_private if the endpoint is your own"
    return ""


def resolve(host: str, port: int) -> list[str]:
    """The IP addresses of a name, from the system resolver, which also accepts forms such as "2130706433". Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def permitted_address(host: str, port: int, *, allow_private: bool, resolve: Resolve = resolve) -> str:
    """An IP address of `host` to connect to.

    The caller must connect to this address instead of resolving again, as the name may resolve differently the next time.

    Raises:
        ForbiddenAddress: one of the addresses is forbidden, or there is none
        OSError: the name cannot be resolved
    """
    found = resolve(host, port)
    for address in found:
        reason = forbidden_reason(address, allow_private=allow_private)
        if reason:
            raise ForbiddenAddress(f"{host}: {reason}")
    if not found:
        raise ForbiddenAddress(f"{host} has no address")
    return found[0]
