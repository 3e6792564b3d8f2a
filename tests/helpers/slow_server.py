"""A server that sends one byte at a time without end: every read succeeds, no response is ever complete.

with SlowServer("HTTP/1.1 200 OK\\r\\nX: ") as server:
    ... server.url ...
    server.requests                          # the request lines it responded to
"""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Self

ROBOTS = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class SlowServer:
    """start: sent at once, before the single bytes; robots: whether robots.txt is slow too, instead of a complete 404."""

    def __init__(self, start: str, *, every_s: float = 0.02, robots: bool = False) -> None:
        self._start, self._every_s, self._robots = start.encode(), every_s, robots
        self.requests: list[str] = []
        self.over = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.05)
        self._threads: list[threading.Thread] = []
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def _listen(self) -> None:
        while not self.over.is_set():
            try:
                connection, _ = self._server.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._answer, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(5)
            try:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += connection.recv(65_536)
                first = head.partition(b"\r\n")[0].decode()
                if "/robots.txt" in first and not self._robots:
                    connection.sendall(ROBOTS)
                    return
                self.requests.append(first)
                connection.sendall(self._start)
                while not self.over.wait(self._every_s):
                    connection.sendall(b"x")
            except OSError:
                pass  # the client closed the connection, as such a test expects

    def __enter__(self) -> Self:
        self._threads.append(threading.Thread(target=self._listen, daemon=True))
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join(10)
        self._server.close()
