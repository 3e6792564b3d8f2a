"""The production server: waitress in a thread of its own."""

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
"""The name under which the Flask app knows the API: to be closed, and to be asked how many may listen."""
LIVE = "tocsin-live"
"""The same for what tells open pages what is new."""
THREADS = 8
"""For pages and the API; each stream, of the API or to a page, has one of its own besides: no number of listeners keeps a page waiting."""
CONNECTIONS = 100
PER_VIEWER = 5
"""Connections that a browser opens beside the stream: at most six to one host."""
MAX_BODY_BYTES = 8_000_000
"""More is refused before anybody reads it; what is smaller and still too large gets an answer that says so."""
MEMORY_BYTES = 2_000_000
"""Of an answer that waits for its client, before it goes to a temporary file: the largest script, compressed, never need."""
STUCK_S = 60.0
"""A client that takes nothing for so long while something waits for it is let go: else one that is gone would hold a stream for ever."""
WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Running:
    """A dashboard that is being served.

    url: where a person finds it; port: the one it got
    before_close: called first when it is closed, to end what holds its threads
    """

    def __init__(self, server: Any, host: str, before_close: Callable[[], None] = lambda: None) -> None:
        self._before_close = before_close
        self.port = int(server.effective_port)
        shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104
        self.url = f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}/"
        self._server = server
        self._thread = threading.Thread(target=server.run, name="dashboard", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float = 5.0) -> None:
        """Stop serving and free the port; calling it twice is fine."""
        self._before_close()
        if self._thread.is_alive():
            # The sockets belong to the loop's thread: it closes them itself, and ends as none is left.
            try:
                self._server.trigger.pull_trigger(lambda: close_all(self._server._map))
            except OSError as error:  # a store in process that closes may take a descriptor of ours along: seen once in 4,400 tests
                log.warning("the dashboard's server could not be told to stop; it ends with the process", error=str(error))
                return
            self._thread.join(timeout_s)
            self._server.task_dispatcher.shutdown(timeout=timeout_s)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def only_hosts(app: WsgiApp, names: Sequence[str]) -> WsgiApp:
    """`app` for requests to one of these hosts, 421 for others: a foreign site whose name is made to mean 127.0.0.1 reads nothing."""
    allowed = {name.lower() for name in names}

    def guarded(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        host = str(environ.get("HTTP_HOST", ""))
        name = host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]
        if name.lower().strip("[]") in allowed:
            return app(environ, start_response)
        start_response("421 Misdirected Request", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"this server does not go by that name\n"]

    return guarded


def serve(app: dash.Dash, host: str = "127.0.0.1", port: int = 8050, *, hosts: Sequence[str] = (), stuck_s: float = STUCK_S) -> Running:
    """Serve `app` until `close()`. Port 0: any free one. Raises SettingsError when the address cannot be had.

    hosts: further names that the server goes by, such as a proxy's; asked for only on a loopback address
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind, proto)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux, where connections have it of their listener
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(stuck_s * 1000))
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
        wsgi = only_hosts(wsgi, ("localhost", "127.0.0.1", "::1", host, *hosts))
    api, live = app.server.extensions[API], app.server.extensions[LIVE]

    def end_streams() -> None:
        live.close()
        api.close()

    server = create_server(
        wsgi,
        sockets=[listener],
        threads=THREADS + api.backends.streams + live.most,
        connection_limit=CONNECTIONS + api.backends.streams + (1 + PER_VIEWER) * live.most,
        asyncore_use_poll=True,  # select() knows no descriptor above 1024
        ident=None,
        max_request_body_size=MAX_BODY_BYTES,
        outbuf_overflow=MEMORY_BYTES,
        clear_untrusted_proxy_headers=False,  # dashboard.web.proxies knows whom to believe
    )
    return Running(server, host, end_streams)
