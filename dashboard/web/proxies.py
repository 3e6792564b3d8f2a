"""What is known of a request that came through a proxy: whose it is, over what, and whom the proxy names. Nobody else is believed."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from core.errors import SettingsError

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class Proxies:
    """Those whose headers are believed. addresses: IP addresses and networks with commas between. Raises SettingsError."""

    def __init__(self, addresses: str = "") -> None:
        try:
            self._networks = [ipaddress.ip_network(part.strip()) for part in addresses.split(",") if part.strip()]
        except ValueError as error:
            raise SettingsError(f"dashboard_proxies: {error}; expected addresses such as 127.0.0.1, 10.0.0.0/8") from error

    def __bool__(self) -> bool:
        return bool(self._networks)

    def trusted(self, environ: Mapping[str, Any]) -> bool:
        """Whether the other end of the connection is one of them."""
        return self._ours(_parse(str(environ.get("REMOTE_ADDR", ""))))

    def client(self, environ: Mapping[str, Any]) -> str:
        """The address that a request came from: the last one in X-Forwarded-For that is no proxy of ours; "" where none can be told."""
        here = _parse(str(environ.get("REMOTE_ADDR", "")))
        hops = str(environ.get("HTTP_X_FORWARDED_FOR", "")).split(",")
        while hops and self._ours(here):
            before = _parse(hops.pop())
            if before is None:
                break
            here = before
        return str(here or "")

    def https(self, environ: Mapping[str, Any]) -> bool:
        """Whether the browser speaks TLS, with us or with our proxy."""
        if self.trusted(environ) and environ.get("HTTP_X_FORWARDED_PROTO"):
            return str(environ["HTTP_X_FORWARDED_PROTO"]).rpartition(",")[2].strip().lower() == "https"
        return environ.get("wsgi.url_scheme") == "https"

    def user(self, environ: Mapping[str, Any], header: str) -> str:
        """Whom our proxy names; "" when it names nobody, or another than our proxy does."""
        if not header or not self.trusted(environ):
            return ""
        value = str(environ.get("HTTP_" + header.upper().replace("-", "_"), ""))
        try:
            return value.encode("latin-1").decode().strip()  # WSGI hands bytes over as Latin-1
        except (UnicodeEncodeError, UnicodeDecodeError):
            return ""

    def _ours(self, address: IpAddress | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def _parse(text: str) -> IpAddress | None:
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address
