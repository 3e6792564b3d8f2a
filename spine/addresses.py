"""Which IP addresses may be connected to: one list for what is fetched and for what is sent.

Explicit, as `ipaddress.is_global` calls multicast, NAT64 and 6to4 global. Sources: RFC 6890 and its successors (the registries of
special-purpose addresses of the IANA), and the clouds' own metadata services.
"""

from __future__ import annotations

import ipaddress
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
