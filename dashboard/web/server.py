"""The production server: waitress in its own thread."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import dash
from waitress.server import create_server
from waitress.wasyncore import close_all

from core.errors import SettingsError
from core.log import get_logger

log = get_logger("dashboard.web.server")
API = "tocsin-api"
"""Key of the api.routes.Api in the extensions of the Flask app."""
CHANGE_FEED = "tocsin-change-feed"
"""Key of the dashboard.web.change_feed.ChangeFeed."""
THREADS = 8
"""Threads for pages and the API. Each stream has another one, so that open streams never delay a page."""
CONNECTIONS = 100
PER_VIEWER = 5
"""Connections that a browser opens besides the stream: at most six to one host."""
MAX_BODY_BYTES = 8_000_000
"""Larger bodies are rejected by the server. Smaller limits of single routes answer with an explanation."""
MEMORY_BYTES = 2_000_000
"""Buffer for a response to a slow client, before waitress uses a temporary file; the largest script fits, compressed."""
CLIENT_TIMEOUT_S = 60.0
"""A client that acknowledges no data for this long is disconnected; otherwise one that vanished would hold a stream forever."""
WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]


class RunningServer:
    """A dashboard that is being served.

    Attributes:
        url: address for a browser
        port: port that it listens on
    """

    def __init__(self, server: Any, host: str, before_close: Callable[[], None] = lambda: None) -> None:
        """
        Args:
            server: the waitress server
            host: address that it listens on
            before_close: called first by `close`, to end the streams
        """
        self._before_close = before_close
        self.port = int(server.effective_port)
        shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104
        self.url = f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}/"
        self._server = server
        self._thread = threading.Thread(target=server.run, name="dashboard", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float = 5.0) -> None:
        """Stop serving and free the port. May be called twice."""
        self._before_close()
        if self._thread.is_alive():
            # The sockets belong to the thread of the loop: it has to close them, and ends when none is left.
            try:
                self._server.trigger.pull_trigger(lambda: close_all(self._server._map))
            except OSError as error:  # an embedded store that closes may close a descriptor of ours: seen once in 4,400 tests
                log.warning("server_not_stopped", error=str(error))
                return
            self._thread.join(timeout_s)
            self._server.task_dispatcher.shutdown(timeout=timeout_s)

    def __enter__(self) -> RunningServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def restrict_hosts(app: WsgiApp, names: Sequence[str]) -> WsgiApp:
    """`app` for requests with one of these Host headers, 421 for others: protects against DNS rebinding."""
    allowed = {name.lower() for name in names}

    def guarded(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        host = str(environ.get("HTTP_HOST", ""))
        name = host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]
        if name.lower().strip("[]") in allowed:
            return app(environ, start_response)
        start_response("421 Misdirected Request", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"unknown host name\n"]

    return guarded


def serve(
    app: dash.Dash, host: str = "127.0.0.1", port: int = 8050, *, hosts: Sequence[str] = (), client_timeout_s: float = CLIENT_TIMEOUT_S
) -> RunningServer:
    """Serve `app` until `close()`.

    Args:
        port: 0 for any free one
        hosts: further host names of this server, such as that of a proxy; checked only on a loopback address
        client_timeout_s: as CLIENT_TIMEOUT_S

    Raises:
        SettingsError: the address is in use or does not exist
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind, proto)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: connections inherit it from the listener
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(client_timeout_s * 1000))
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise SettingsError(
            f"the dashboard cannot listen on {host}:{port} ({error.strerror or error}): free it, or set dashboard_host and dashboard_port"
        ) from error
    wsgi: WsgiApp = app.server.wsgi_app
    if is_loopback(host):
        wsgi = restrict_hosts(wsgi, ("localhost", "127.0.0.1", "::1", host, *hosts))
    api, changes = app.server.extensions[API], app.server.extensions[CHANGE_FEED]

    def end_streams() -> None:
        changes.close()
        api.close()

    server = create_server(
        wsgi,
        sockets=[listener],
        threads=THREADS + api.backends.streams + changes.max_viewers,
        connection_limit=CONNECTIONS + api.backends.streams + (1 + PER_VIEWER) * changes.max_viewers,
        asyncore_use_poll=True,  # select() knows no descriptor above 1024
        ident=None,
        max_request_body_size=MAX_BODY_BYTES,
        outbuf_overflow=MEMORY_BYTES,
        clear_untrusted_proxy_headers=False,  # dashboard.web.authentication knows which proxies to trust
    )
    return RunningServer(server, host, end_streams)
