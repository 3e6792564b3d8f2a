"""A Kafka that asks for TLS, a password and rights: Tocsin works with the rights in docs/security.md, and nobody else does."""

from __future__ import annotations

import contextlib
import gc
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType
from kafka.admin import ACLResourcePatternType as PatternType

from bench.servers import Kafka
from core.errors import BrokerError, SettingsError
from core.kafka_address import kafka_address, place_of
from core.kafka_topics import topic_names
from ingest.kafka import client
from ingest.kafka.producer import BoundedProducer
from tests.helpers.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <(ssl.SSLS|socket.s)ocket:pytest.PytestUnraisableExceptionWarning")
"""kafka-python leaves the sockets of failed connections to the garbage collector."""
USERS = {"tocsin": "p@ss:w0rd", "neighbour": "other"}
NAMES = topic_names("tocsin.")
GRANTS = {
    ResourceType.TOPIC: ("tocsin.", ("READ", "WRITE", "DESCRIBE", "CREATE")),
    ResourceType.GROUP: ("tocsin", ("READ", "DESCRIBE")),
}


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    server = Kafka(tmp_path_factory.mktemp("kafka"), users=USERS)
    server.start()
    with client._Admin(server.bootstrap, 20) as admin:
        acls = [
            ACL(
                principal="User:tocsin",
                host="*",
                operation=ACLOperation[operation],
                permission_type=ACLPermissionType.ALLOW,
                resource_pattern=ResourcePattern(kind, prefix, PatternType.PREFIXED),
            )
            for kind, (prefix, operations) in GRANTS.items()
            for operation in operations
        ]
        admin.create_acls(acls)
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect those sockets here, not during the test of another module."""
    yield
    gc.collect()


def url(kafka: Kafka, user: str = "tocsin", password: str = "p%40ss%3Aw0rd", ca: str = "") -> str:
    return f"sasl_ssl://{user}:{password}@127.0.0.1:{kafka.secure}?ca={ca or kafka.ca}"


def sent(address: str) -> list[str]:
    """The errors of one message to `articles`; [""] if it was accepted."""
    producer = BoundedProducer(address, NAMES.articles)
    producer.send(1, b"k", b"v")
    reports = until(producer.delivery_reports, "a delivery report", 30)
    producer.close()
    return [report.error for report in reports]


def test_tocsin_creates_its_topics_and_publishes_with_its_rights(kafka: Kafka):
    client.ensure_topics(url(kafka), NAMES, partitions=2, replication=1)
    assert client.partitions(url(kafka), NAMES)[NAMES.articles] == 2
    assert sent(url(kafka)) == [""]

    def lag() -> int:
        with contextlib.suppress(BrokerError):  # Kafka first creates its topic of offsets
            return client.lag(url(kafka), "tocsin", NAMES.articles)
        return 0

    assert until(lag, "the lag of the group", 60) == 1


def test_the_worker_reads_with_its_rights(kafka: Kafka, tmp_path: Path):
    import asyncio

    from stream.worker import watchdogs
    from stream.worker.app import create_app

    client.ensure_topics(url(kafka), NAMES, partitions=2, replication=1)
    sent(url(kafka))
    assert asyncio.run(watchdogs.missing_topics(url(kafka), list(NAMES))) == []

    async def first_message() -> bytes:
        app = create_app(broker=url(kafka), group="tocsin", batch_max=4, data_dir=tmp_path)
        found: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        topic = app.topic(NAMES.articles, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

        async def read(stream: object) -> None:
            async for value in stream:  # type: ignore[attr-defined]
                if not found.done():
                    found.set_result(value)

        app.agent(topic)(read)
        app.finalize()
        await app.start()
        try:
            return await asyncio.wait_for(found, 60)
        finally:
            await app.stop()

    assert asyncio.run(first_message()) == b"v"


def test_a_user_without_rights_neither_sees_the_topics_nor_writes_to_them(kafka: Kafka):
    client.ensure_topics(url(kafka), NAMES, partitions=2, replication=1)
    neighbour = url(kafka, "neighbour", "other")
    assert set(client.partitions(neighbour, NAMES).values()) == {0}
    (error,) = sent(neighbour)
    assert "TopicAuthorizationFailed" in error


@pytest.mark.parametrize("how", ["wrong password", "no TLS", "unknown authority"])
def test_who_does_not_authenticate_is_rejected(kafka: Kafka, how: str):
    addresses = {
        "wrong password": url(kafka, password="guess"),
        "no TLS": f"127.0.0.1:{kafka.secure}",
        "unknown authority": url(kafka, ca="/etc/ssl/certs/ca-certificates.crt"),
    }
    with pytest.raises(BrokerError) as caught:
        client.partitions(addresses[how], NAMES)
    assert "guess" not in str(caught.value)
    assert "w0rd" not in str(caught.value)


FAULTS = {
    "http://a:1": "unknown scheme 'http'",
    "sasl_ssl://a:1": "needs user:password@",
    "ssl://u:s3cr3t@a:1": "a user needs sasl_ssl",
    "sasl_ssl://u:s3cr3t@a": "a server has no port",
    "sasl_ssl://u:s3cr3t@a:1?mechanism=GSSAPI": "unknown mechanism 'GSSAPI'",
    "sasl_ssl://u:s3cr3t@a:1?verify=no": "unknown or repeated option 'verify'",
    "sasl_ssl://u:s3cr3t@a:1?ca=x&ca=y": "unknown or repeated option 'ca'",
    "sasl_plaintext://u:s3cr3t@a:1?mechanism=plain": "PLAIN sends the password itself",
}


@pytest.mark.parametrize(("text", "message"), FAULTS.items(), ids=list(FAULTS))
def test_an_address_that_is_not_valid_is_refused_without_its_password(text: str, message: str):
    with pytest.raises(SettingsError, match=re.escape(message)) as caught:
        kafka_address(text)
    assert "s3cr3t" not in str(caught.value)


def test_a_place_has_no_credentials():
    assert place_of("sasl_ssl://王芳:p%40ss@kafka-1:9093,kafka-2:9093?mechanism=SCRAM-SHA-256") == "kafka-1:9093,kafka-2:9093"
    assert place_of(" a:1, b:2 ") == "a:1,b:2"


def test_certificates_that_cannot_be_read_are_named(tmp_path: Path):
    (tmp_path / "ca.pem").write_text("no certificate")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(SettingsError, match=re.escape(name)):
            _ = kafka_address(f"ssl://a:1?ca={tmp_path / name}").tls
