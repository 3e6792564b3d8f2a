"""The crawler and webhooks reject the same addresses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.errors import SourceError
from ingest.crawl.fetcher import Fetcher
from net.address_policy import ForbiddenAddress, kind_of, permitted_address

PRIVATE = [
    "127.0.0.1", "127.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.127.255.255", "::1", "fc00::1",
    "fd12:3456::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:7f00:1",
]  # fmt: skip
SPECIAL = [
    "0.0.0.0", "0.1.2.3", "100.100.100.200", "169.254.169.254", "168.63.129.16", "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1",
    "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::7f00:1", "::127.0.0.1", "::a00:1",
    "::ffff:169.254.169.254", "::ffff:0.0.0.0", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::",
    "2001:0:53aa:64c:0:fffe:f5ff:fffe", "2001:db8::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fd00:ec2::254", "ff02::1", "100::1",
    "5f00::1", "::ffff:0:7f00:1", "nonsense", "", "127.0.0.1.", "0x7f.1", "2130706433",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "93.184.216.34", "100.63.255.255", "100.128.0.1", "172.32.0.1", "168.63.129.15", "2606:4700::1111", "::ffff:1.1.1.1"]


def crawl(address: str, private: bool) -> None:
    """Fetch a source whose name resolves to this address."""
    fetcher = Fetcher(host_delay_s=0, resolver=lambda *_: [address])
    try:
        fetcher.get("http://news.example/feed", allow_private=private)
    except SourceError as error:
        if "not a public address" not in str(error):
            raise
        raise ForbiddenAddress(str(error)) from error
    finally:
        fetcher.close()


def send(address: str, private: bool) -> None:
    """Send to a webhook whose host resolves to this address."""
    permitted_address("hooks.example", 443, allow_private=private, resolve=lambda *_: [address])


CLIENTS = pytest.mark.parametrize("connect", [crawl, send], ids=["crawler", "webhooks"])


@CLIENTS
@pytest.mark.parametrize("address", [*PRIVATE, *SPECIAL])
def test_private_and_special_addresses_are_forbidden_by_default(connect: Callable[[str, bool], None], address: str):
    with pytest.raises(ForbiddenAddress):
        connect(address, False)


@CLIENTS
@pytest.mark.parametrize("address", SPECIAL)
def test_special_addresses_are_always_forbidden(connect: Callable[[str, bool], None], address: str):
    """Even with private networks permitted: a cloud metadata service returns credentials."""
    with pytest.raises(ForbiddenAddress):
        connect(address, True)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_permitted(address: str):
    assert kind_of(address) == "public"
    send(address, False)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_permitted_on_request(address: str):
    assert kind_of(address) == "private"
    send(address, True)
