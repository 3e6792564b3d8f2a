"""The address of Kafka: "host:port,host:port", or a URL with TLS and credentials:

sasl_ssl://USER:PASSWORD@host:port,host:port?mechanism=SCRAM-SHA-512&ca=/etc/tocsin/ca.pem
ssl://host:port?ca=/etc/tocsin/ca.pem&cert=/etc/tocsin/client.pem&key=/etc/tocsin/client.key
"""

from __future__ import annotations

import ssl
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

from core.errors import SettingsError

SCHEMES = ("ssl", "sasl_ssl", "sasl_plaintext")
MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")
_OPTIONS = ("mechanism", "ca", "cert", "key")
_FORMS = "expected host:port,host:port, or sasl_ssl://user:password@host:port?mechanism=SCRAM-SHA-512&ca=FILE (docs/security.md)"


class KafkaAddress(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Where Kafka is, and how to authenticate.

    Attributes:
        servers: "host:port" each
        protocol: "" for neither TLS nor credentials, else one of SCHEMES
        ca: PEM file of the authorities to trust; "" for those of the system
        cert, key: PEM files of a client certificate
    """

    servers: tuple[str, ...]
    protocol: str = ""
    user: str = ""
    password: str = ""
    mechanism: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""

    @property
    def place(self) -> str:
        """The servers, without credentials."""
        return ",".join(self.servers)

    @cached_property
    def tls(self) -> ssl.SSLContext | None:
        """The TLS context, which verifies certificate and host name; None without TLS. Raises SettingsError."""
        if self.protocol not in ("ssl", "sasl_ssl"):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
            if self.cert:
                context.load_cert_chain(self.cert, self.key or None)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise SettingsError(f"broker {self.place}: the certificates in {self.ca or self.cert} cannot be read ({error})") from error
        return context

    def client_options(self) -> dict[str, Any]:
        """Options of the clients of kafka-python and aiokafka. Raises SettingsError."""
        options: dict[str, Any] = {"bootstrap_servers": list(self.servers)}
        if self.protocol:
            options |= {"security_protocol": self.protocol.upper(), "ssl_context": self.tls}
        if self.user:
            options |= {"sasl_mechanism": self.mechanism, "sasl_plain_username": self.user, "sasl_plain_password": self.password}
        return options


def kafka_address(text: str) -> KafkaAddress:
    """Parse the setting `broker`. Raises SettingsError, without the password in its message."""
    scheme, found, rest = text.strip().partition("://")
    if not found:
        return KafkaAddress(servers=tuple(server.strip() for server in text.split(",")))
    rest, _, query = rest.partition("?")
    credentials, _, hosts = rest.rpartition("@")
    servers = tuple(server.strip() for server in hosts.rstrip("/").split(","))
    pairs = parse_qsl(query, keep_blank_values=True)
    options, scheme = dict(pairs), scheme.lower()
    user, _, password = credentials.partition(":")
    unknown = [name for name, _ in pairs if name not in _OPTIONS]
    sasl = scheme.startswith("sasl_")
    mechanism = options.get("mechanism", "SCRAM-SHA-512" if sasl else "").upper()
    fault = ""
    if scheme not in SCHEMES:
        fault = f"unknown scheme {scheme[:20]!r}"
    elif not all(server.rpartition(":")[2].isdecimal() for server in servers):
        fault = "a server has no port"
    elif unknown or len(options) < len(pairs):
        fault = f"unknown or repeated option {(unknown or [name for name, _ in pairs])[0][:20]!r}; there are {', '.join(_OPTIONS)}"
    elif sasl and not (user and password):
        fault = f"{scheme} needs user:password@"
    elif not sasl and (credentials or mechanism):
        fault = "a user needs sasl_ssl://"
    elif sasl and mechanism not in MECHANISMS:
        fault = f"unknown mechanism {mechanism[:20]!r}; there are {', '.join(MECHANISMS)}"
    elif scheme == "sasl_plaintext" and mechanism == "PLAIN":
        fault = "PLAIN sends the password itself: it needs sasl_ssl"
    if fault:
        raise SettingsError(f"broker: {fault}; {_FORMS}")
    files = {name: options.get(name, "") for name in ("ca", "cert", "key")}
    return KafkaAddress(servers=servers, protocol=scheme, user=unquote(user), password=unquote(password), mechanism=mechanism, **files)


def place_of(broker: str) -> str:
    """The servers of the setting `broker`, for messages: without credentials. Raises SettingsError."""
    return kafka_address(broker).place
