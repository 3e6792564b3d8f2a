"""Servers for tests and benchmarks: Apache Kafka and ClickHouse, each in a temporary folder on free loopback ports."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import textwrap
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from core.errors import TocsinError
from tocsin.runtime.embedded_broker import accepts, free_port

ROOT = Path(__file__).resolve().parents[1]
KAFKA_JARS = ROOT / ".cache" / "kafka"


class Unavailable(TocsinError):
    """A server is not installed; the message says how to install it."""


class Process:
    """A server process that can be started, paused, killed and stopped."""

    def __init__(self, name: str, command: list[str], port: int, log: Path, environment: dict[str, str] | None = None) -> None:
        self.name, self.port = name, port
        self._command, self._log, self._environment = command, log, environment
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, timeout_s: float = 180.0) -> None:
        """Start the process and wait until its port accepts connections. Raises TocsinError."""
        self.launch()
        self.wait_up(timeout_s)

    def launch(self) -> None:
        """Start the process without waiting."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env={**os.environ, **(self._environment or {})}, start_new_session=True
            )

    def wait_up(self, timeout_s: float = 180.0) -> None:
        """Wait until the port accepts connections. Raises TocsinError."""
        deadline = time.monotonic() + timeout_s
        while not accepts("127.0.0.1", self.port, 0.5):
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                raise TocsinError(f"{self.name} did not start: {self._log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)

    @property
    def pid(self) -> int:
        """Process id; 0 before the start."""
        return self._process.pid if self._process is not None else 0

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Stop the process with SIGTERM, or with SIGKILL after 20 s."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()


class Kafka(Process):
    """One Apache Kafka in KRaft mode, with broker and controller in one JVM.

    Args:
        folder: folder for its configuration, data and log.
        advertised: port of a proxy; if given, a second listener at the port `behind` advertises it to clients.
        index: index of this broker in the cluster.
        ports: (broker, controller) ports of all brokers of the cluster; empty for a single broker.
        users: names and passwords; if given, a further listener at the port `secure` admits only these, with SCRAM-SHA-512 over TLS, and
            what each may do is decided by access control lists. The client of `bootstrap` is the administrator.
    """

    def __init__(
        self,
        folder: Path,
        *,
        advertised: int = 0,
        index: int = 0,
        ports: Sequence[tuple[int, int]] = (),
        users: Mapping[str, str] | None = None,
    ) -> None:
        java = shutil.which("java")
        if java is None or not list(KAFKA_JARS.glob("kafka_2.13-*.jar")):
            raise Unavailable("Java or the Kafka jars are not installed: run tests/install")
        ports = ports or [(free_port(), free_port())]
        (port, controller), self.behind = ports[index], free_port()
        voters = ",".join(f"{number}@127.0.0.1:{each}" for number, (_, each) in enumerate(ports, 1))
        copies = min(3, len(ports))
        self.bootstrap = f"127.0.0.1:{port}"
        listeners = f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}"
        advertised_listeners = f"PLAINTEXT://127.0.0.1:{port}"
        if advertised:
            listeners, advertised_listeners = (
                f"{listeners},BEHIND://127.0.0.1:{self.behind}",
                f"{advertised_listeners},BEHIND://127.0.0.1:{advertised}",
            )
        self.secure = free_port()
        secured = ""
        if users:
            self.ca, keys = _certificate(folder)
            listeners += f",SECURE://127.0.0.1:{self.secure}"
            advertised_listeners += f",SECURE://127.0.0.1:{self.secure}"
            secured = "\n".join(
                (
                    "",
                    "sasl.enabled.mechanisms=SCRAM-SHA-512",
                    "listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;",
                    "listener.name.secure.ssl.keystore.type=PEM",
                    f"listener.name.secure.ssl.keystore.location={keys}",
                    "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                    "super.users=User:ANONYMOUS",
                    "",
                )
            )
        properties = folder / "server.properties"
        properties.write_text(
            textwrap.dedent(f"""\
                process.roles=broker,controller
                node.id={index + 1}
                controller.quorum.voters={voters}
                listeners={listeners}
                advertised.listeners={advertised_listeners}
                controller.listener.names=CONTROLLER
                listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,BEHIND:PLAINTEXT,SECURE:SASL_SSL
                log.dirs={folder / "logs"}
                offsets.topic.replication.factor={copies}
                transaction.state.log.replication.factor={copies}
                transaction.state.log.min.isr={max(1, copies - 1)}
                min.insync.replicas={max(1, copies - 1)}
                group.initial.rebalance.delay.ms=0
                offsets.topic.num.partitions=4
                num.network.threads=2
                num.io.threads=2
                auto.create.topics.enable=false
                group.min.session.timeout.ms=1000
                broker.session.timeout.ms=3000
                broker.heartbeat.interval.ms=500
                """)
            + secured
        )
        scram = [part for name, word in (users or {}).items() for part in ("-S", f"SCRAM-SHA-512=[name={name},password={word}]")]
        base = [java, "-Xmx512m", "-cp", f"{KAFKA_JARS}/*"]
        subprocess.run(
            [*base, "kafka.tools.StorageTool", "format", "-t", "dG9jc2luLXRlc3RzLTAwMA", "-c", str(properties), *scram],
            check=True,
            capture_output=True,
            timeout=60,
        )
        super().__init__("Kafka", [*base, "kafka.Kafka", str(properties)], port, folder / "kafka.out")


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate of 127.0.0.1. Returns its file, which clients trust, and the file with key and certificate."""
    certificate, key, both = folder / "ca.pem", folder / "key.pem", folder / "server.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=127.0.0.1",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    both.write_text(key.read_text() + certificate.read_text())
    return certificate, both


def kafka_cluster(folder: Path, count: int = 3) -> list[Kafka]:
    """The brokers of one cluster, not started; launch all of them before waiting for one. Topics have up to three replicas."""
    ports = [(free_port(), free_port()) for _ in range(count)]
    brokers = []
    for index in range(count):
        (folder / f"broker-{index + 1}").mkdir()
        brokers.append(Kafka(folder / f"broker-{index + 1}", index=index, ports=ports))
    return brokers


class ClickHouseServer(Process):
    """Debian's clickhouse-server with its own configuration, a read-only user `reader`, and a user `tocsin` who has a
    password and no other database than `tocsin`. `secure_address` is the address of that user over TLS, and `ca` the certificate to trust.

    Merged parts are removed after one minute instead of eight, because 18.16 has 80 files per part and reads all of them at start.

    Args:
        folder: folder for its configuration, data and log.
        disk_mb: if given, the data are on an in-memory file system of this size, which requires root.
    """

    def __init__(self, folder: Path, disk_mb: int = 0) -> None:
        binary = shutil.which("clickhouse-server") or "/usr/sbin/clickhouse-server"
        if not Path(binary).exists():
            raise Unavailable("clickhouse-server is not installed: run tests/install as root on Debian")
        port = free_port()
        self.address = f"clickhouse://default:@127.0.0.1:{port}"
        for name in ("data", "scratch", "format", "files"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.ca, keys = _certificate(folder)
        secure = free_port()
        self.secure_address = f"clickhouses://tocsin:p%40ss@127.0.0.1:{secure}/tocsin?ca={self.ca}"
        config = folder / "config.xml"
        config.write_text(
            f"""<yandex><logger><level>warning</level><log>{folder}/server.log</log><errorlog>{folder}/error.log</errorlog></logger>
            <tcp_port>{port}</tcp_port><tcp_port_secure>{secure}</tcp_port_secure>
            <openSSL><server><certificateFile>{self.ca}</certificateFile><privateKeyFile>{keys.with_name("key.pem")}</privateKeyFile>
            <verificationMode>none</verificationMode><cacheSessions>true</cacheSessions></server></openSSL><listen_host>127.0.0.1</listen_host>
            <path>{folder}/data/</path><tmp_path>{folder}/scratch/</tmp_path><user_files_path>{folder}/files/</user_files_path>
            <format_schema_path>{folder}/format/</format_schema_path><users_config>users.xml</users_config>
            <default_profile>default</default_profile><default_database>default</default_database>
            <mark_cache_size>100000000</mark_cache_size><max_concurrent_queries>100</max_concurrent_queries>
            <merge_tree><old_parts_lifetime>60</old_parts_lifetime></merge_tree></yandex>"""
        )
        (folder / "users.xml").write_text(
            """<yandex><profiles><default><max_memory_usage>2000000000</max_memory_usage></default>
            <reader><readonly>1</readonly></reader></profiles>
            <users><default><password></password><networks><ip>127.0.0.1</ip></networks>
            <profile>default</profile><quota>default</quota></default>
            <reader><password></password><networks><ip>127.0.0.1</ip></networks>
            <profile>reader</profile><quota>default</quota></reader>
            <tocsin><password>p@ss</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
            <allow_databases><database>tocsin</database></allow_databases></tocsin></users>
            <quotas><default><interval><duration>3600</duration><queries>0</queries><errors>0</errors><result_rows>0</result_rows>
            <read_rows>0</read_rows><execution_time>0</execution_time></interval></default></quotas></yandex>"""
        )
        command = [binary, f"--config-file={config}"]
        if disk_mb:
            mount = f'mount -t tmpfs -o size={disk_mb}m tmpfs "{folder}/data" && exec "$0" "$@"'
            command = ["unshare", "--mount", "sh", "-c", mount, *command]  # a private mount, which ends with the process
        super().__init__("ClickHouse", command, port, folder / "server.out")
