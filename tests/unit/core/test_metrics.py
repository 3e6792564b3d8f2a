"""The HTTP server of metrics and health."""

from __future__ import annotations

import http.client
import socket
import struct
import threading

import pytest

from core import metrics
from core.errors import SettingsError
from tocsin.runtime.embedded_broker import free_port

RESET = struct.pack("ii", 1, 0)


def test_healthz_returns_the_reason_why_the_process_is_unhealthy():
    reason = [""]
    port = free_port()
    with metrics.served("127.0.0.1", port, lambda: reason[0]):
        assert get(port, "/healthz") == (200, b"ok")
        reason[0] = "存储没有应答"
        assert get(port, "/healthz") == (503, "存储没有应答".encode())
        assert get(port, "/elsewhere")[0] == 404
        assert b"tocsin_alert_threshold" in get(port, "/metrics")[1]
        with pytest.raises(SettingsError, match=f"metrics_port {port}"), metrics.served("127.0.0.1", port, str):
            pass


def test_a_client_that_disconnects_before_the_response_is_not_logged(capfd: pytest.CaptureFixture[str]):
    asked, gone = threading.Event(), threading.Event()
    at_work: list[threading.Thread] = []

    def trouble() -> str:
        at_work.append(threading.current_thread())
        asked.set()
        gone.wait()
        return ""

    port = free_port()
    with metrics.served("127.0.0.1", port, trouble):
        with socket.create_connection(("127.0.0.1", port)) as checker:
            checker.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            asked.wait()
            checker.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        gone.set()
        at_work[0].join()
        assert get(port, "/healthz") == (200, b"ok")
    assert capfd.readouterr().err == ""


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found
