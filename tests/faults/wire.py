"""A TCP proxy that drops bytes on request, between a client and a server."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import Literal, Self

Direction = Literal["to server", "to client"]
BOTH: tuple[Direction, Direction] = ("to server", "to client")
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: close() resets the connection."""


class Wire:
    """Forwards bytes between clients that connect to `port` and a server at `target`, both on this machine.

    passed: bytes forwarded in each direction so far
    """

    def __init__(self, target: int = 0) -> None:
        self.target = target
        self.passed = dict.fromkeys(BOTH, 0)
        self._left: dict[Direction, int | None] = dict.fromkeys(BOTH)  # bytes still to forward; None for no limit
        self._links: set[_Link] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, name="wire", daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def drop(self, *directions: Direction, after: int = 0) -> None:
        """Silently drops everything in these directions, from now on or after so many bytes."""
        with self._lock:
            self._left |= dict.fromkeys(directions, after)

    def heal(self) -> None:
        """Forwards everything again. Connections that lost bytes are reset, as TCP would not continue without them."""
        with self._lock:
            self._left = dict.fromkeys(BOTH)
            lossy = [link for link in self._links if link.lossy]
        for link in lossy:
            link.reset()

    def cut(self) -> None:
        """Resets every connection."""
        with self._lock:
            links = list(self._links)
        for link in links:
            link.reset()

    def close(self) -> None:
        """Resets every connection and accepts no more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread
        self._threads[0].join(5)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:  # no server: reset the client at once
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                client.close()
                continue
            server.settimeout(None)
            link = _Link(client, server)
            with self._lock:
                self._links.add(link)
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            for direction in BOTH:
                self._threads.append(threading.Thread(target=self._forward, args=(link, direction), name="wire", daemon=True))
                self._threads[-1].start()

    def _forward(self, link: _Link, direction: Direction) -> None:
        source, sink = (link.client, link.server) if direction == "to server" else (link.server, link.client)
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data[: self._through(link, direction, len(data))])
        if link.direction_ended():
            with self._lock:
                self._links.discard(link)

    def _through(self, link: _Link, direction: Direction, size: int) -> int:
        """How many of these bytes are forwarded."""
        with self._lock:
            left = self._left[direction]
            through = size if left is None else min(left, size)
            if left is not None:
                self._left[direction] = left - through
            link.lossy = link.lossy or through < size
            self.passed[direction] += through
            return through


class _Link:
    """One connection: the socket of the client and that of the server."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.lossy = False
        self._open = len(BOTH)
        self._lock = threading.Lock()

    def reset(self) -> None:
        """Both sides receive "connection reset by peer"."""
        for half in (self.client, self.server):
            with contextlib.suppress(OSError):
                half.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                half.shutdown(socket.SHUT_RD)  # wakes the reading thread without sending anything

    def direction_ended(self) -> bool:
        """Called when one direction has ended; when both have, closes the sockets and returns True."""
        with self._lock:
            self._open -= 1
            if self._open:
                for half in (self.client, self.server):
                    with contextlib.suppress(OSError):
                        half.shutdown(socket.SHUT_RD)
                return False
        self.client.close()
        self.server.close()
        return True
