"""The worker as a child process: started with its plan, asked how it is over HTTP, ended in order; and why it ended."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from core import log
from tocsin.runtime.worker_process import NodePlan

_log = log.get_logger(__name__)

STOP_TIMEOUT_S = 40.0
"""Longer than the worker's own shutdown watchdog (30 s)."""


class Node:
    """The child process. make_plan: what it runs, asked at each start."""

    def __init__(self, make_plan: Callable[[], NodePlan], log_file: Path | None) -> None:
        self._make_plan = make_plan
        self._metrics = ""
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, again if it ended; it is not ready yet."""
        self._close_stdin()
        plan = self._make_plan()
        host = plan.settings.metrics_host
        self._metrics = f"{'127.0.0.1' if host == '0.0.0.0' else host}:{plan.settings.metrics_port}"  # noqa: S104
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(self._log_file.open("ab")) if self._log_file else None
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tocsin.runtime.worker_process"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        stdin = self._process.stdin
        if stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it ended already: `returncode` tells
                stdin.write(msgspec.json.encode(plan) + b"\n")
                stdin.flush()

    @property
    def returncode(self) -> int | None:
        """Its exit status once it has ended."""
        return self._process.poll() if self._process else None

    @property
    def pid(self) -> int | None:
        """Its process id."""
        return self._process.pid if self._process else None

    def ready(self) -> bool:
        """Whether it is in the consumer group, with its model loaded."""
        return _get(self._metrics, "/healthz") == "ok"

    def metrics(self) -> dict[str, float]:
        """Its counters summed over their labels; empty while it does not answer."""
        return counters(_get(self._metrics, "/metrics"))

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Ask it to end, and wait; by force after `timeout_s`."""
        if self._process is None:
            return
        self._close_stdin()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                _log.warning("node had to be killed", timeout_s=timeout_s)
                self._process.kill()
                self._process.wait()

    def _close_stdin(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()


def counters(exposition: str) -> dict[str, float]:
    """Prometheus text to {metric: sum over its labels}."""
    totals: dict[str, float] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if not sample.name.endswith(("_created", "_bucket")):
                totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
    return totals


def _get(place: str, path: str) -> str:
    with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(f"http://{place}{path}", timeout=2) as answer:
        return str(answer.read().decode())
    return ""


def last_reason(log_file: Path) -> str:
    """The last error that the worker logged, for a message to a person."""
    with contextlib.suppress(OSError):
        for line in reversed(log_file.read_text(errors="replace").splitlines()[-200:]):
            with contextlib.suppress(msgspec.DecodeError):
                entry = msgspec.json.decode(line, type=dict[str, object])
                if entry.get("level") in ("error", "critical") and entry.get("reason"):
                    return " ".join(str(entry[part]) for part in ("reason", "error") if entry.get(part))
    return f"see {log_file}"
