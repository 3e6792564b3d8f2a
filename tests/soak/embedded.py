"""`tocsin up` with its embedded broker and store, reading three growing feeds; killed completely and in parts."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from xml.sax.saxutils import escape

import msgspec

from tests.soak.alert_endpoint import DELIVERY_TIMEOUT_S, AlertEndpoint, stored_alerts
from tests.soak.ledger import Ledger, Query
from tests.soak.load import BAD, CALM
from tests.soak.nemesis import Fault
from tests.soak.worker import ALLOWED_EXITS, Supervised, rss_mb

FEEDS = ("alpha", "beta", "gamma")
KEPT = 1_200
"""Items in a feed; more than are added while `up` is down."""
FILLERS = ["market", "oil", "steel", "banks", "chips", "exports", "factory", "tariff", "harvest", "harbour", "市场", "原油", "钢铁"]
FILLERS += ["银行", "芯片", "出口", "工厂", "关税", "港口", "航运"]
DRAIN_S = 240.0
T = TypeVar("T")


class Feeds:
    """RSS feeds on a loopback port. items: of each feed, newest last"""

    def __init__(self) -> None:
        self.items: dict[str, list[tuple[str, str, datetime]]] = {name: [] for name in FEEDS}
        feeds = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.strip("/")
                content = feeds.page(name).encode() if name in feeds.items else b""
                self.send_response(200 if content else 404)
                self.send_header("content-type", "application/rss+xml; charset=utf-8")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="feeds", daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def page(self, name: str) -> str:
        rows = [
            f"<item><title>{escape(title)}</title><link>{link}</link><guid>{link}</guid><pubDate>{format_datetime(when)}</pubDate></item>"
            for link, title, when in self.items[name][-KEPT:]
        ]
        return f'<?xml version="1.0"?><rss version="2.0"><channel><title>{name}</title>{"".join(rows)}</channel></rss>'

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class EmbeddedUp:
    """Runs `tocsin up` and growing feeds as a context manager."""

    max_rss_mb = 2_500

    def __init__(self, folder: Path, seed: int, seconds: float, *, model: str, rate: float) -> None:
        self._folder, self._model, self._rate = folder, model, rate
        self._rng = random.Random(seed)
        self._data = folder / "data"
        self._exit = contextlib.ExitStack()
        self._stopping = threading.Event()
        self._crisis_s = seconds * 0.4
        self.ledger = Ledger()
        self.kills: list[str] = []

    def __enter__(self) -> EmbeddedUp:
        with self._exit as stack:
            self._alert_endpoint, self._feeds = AlertEndpoint(), Feeds()
            stack.callback(self._alert_endpoint.close)
            stack.callback(self._feeds.close)
            (self._folder / "tocsin.toml").write_text(self._alert_endpoint.settings)
            rest = f"interval_s = 2\nmax_items = {KEPT}\nallow_private = true\n"
            tables = [f'[[sources]]\nname = "{name}"\nurl = "{self._feeds.url}/{name}"\n{rest}' for name in FEEDS]
            sources = self._folder / "sources.toml"
            sources.write_text("".join(tables))
            for number in range(30):
                self._add(self._rng.choice(CALM), datetime.now(UTC) - timedelta(hours=1 + 5 * number))
            self._command = ["up", "--headless", "--sources", str(sources)]
            self.up = self._started()
            stack.callback(self._stop)
            self._thread = threading.Thread(target=self._grow, name="feeds", daemon=True)
            self._thread.start()
            stack.callback(self._stopping.set)
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *problem: Any) -> None:
        self._exit.__exit__(*problem)

    def _started(self) -> Supervised:
        return Supervised("up", self._command, self._environment(), self._folder)

    def _stop(self) -> None:
        self.up.stop()

    def _environment(self) -> dict[str, str]:
        return {
            "TOCSIN_CONFIG": str(self._folder / "tocsin.toml"),
            "TOCSIN_DATA_DIR": str(self._data),
            "TOCSIN_MODEL": self._model,
            "TOCSIN_ALERT_INHIBIT": "",  # so that every alert is delivered
            "TOCSIN_LOG_FORMAT": "json",
        }

    def _add(self, words: str, moment: datetime) -> None:
        name = self._rng.choice(FEEDS)
        number = len(self.ledger.sent)
        link = f"{self._feeds.url}/{name}/{number}"
        title = f"Tesla {words}: {' '.join(self._rng.sample(FILLERS, 6))} {number}"
        self.ledger.sent[link] = ""
        self._feeds.items[name].append((link, title, moment))
        self.ledger.acked.add(link)

    def _grow(self) -> None:
        began, made, crisis = time.monotonic(), 0, True
        while not self._stopping.wait(0.05):
            passed = time.monotonic() - began
            while made < passed * self._rate:
                made += 1
                self._add(self._rng.choice(CALM), datetime.now(UTC))
            if crisis and passed > self._crisis_s:
                crisis = False
                for _ in range(25):
                    self._add(self._rng.choice(BAD), datetime.now(UTC))

    def faults(self, rng: random.Random) -> dict[str, list[Fault]]:
        """A single kind, so that only one fault lasts at a time."""

        def child(word: bytes) -> list[int]:
            return [pid for pid in self.up.family()[1:] if word in _command(pid)]

        def some(name: str, pids: list[int]) -> None:
            self.kills.append(name)
            _kill(pids)

        return {
            "up": [
                Fault("all killed", lambda _s: some("all", self.up.family()), (0, 0)),
                Fault("parent killed", lambda _s: some("parent", [self.up.pid]), (0, 0)),
                Fault("worker killed", lambda _s: some("worker", child(b"tocsin.runtime.worker_process")), (0, 0)),
                Fault("broker killed", lambda _s: some("broker", child(b"tansu")), (0, 0)),
                Fault("stopped", lambda _s: self.up.signal(signal.SIGTERM if rng.random() < 0.5 else signal.SIGINT), (0, 0)),
            ]
        }

    def state(self) -> dict[str, Any]:
        """Counts for the progress line."""
        seen, waiting = self._outbox()
        return {"published": len(self.ledger.acked), "fetched": seen, "in the outbox": waiting, "rss_mb": self.memory()}

    def memory(self) -> list[int]:
        """Of all processes together, MB."""
        return [round(rss_mb(self.up.family()))]

    def _outbox(self) -> tuple[int, int]:
        """Number of entries fetched, and of articles not stored yet."""
        try:
            with contextlib.closing(sqlite3.connect(f"file:{self._data}/outbox.sqlite?mode=ro", uri=True, timeout=5)) as box:
                (seen,) = box.execute("SELECT count(*) FROM seen").fetchone()
                (waiting,) = box.execute("SELECT count(*) FROM outbox").fetchone()
                return int(seen), int(waiting)
        except sqlite3.Error:  # not created yet
            return 0, 0

    def finish(self) -> float:
        """Stop publishing. Returns the seconds until all articles and the alert of the crisis are stored."""
        self._stopping.set()
        self._thread.join()
        began = time.monotonic()
        while (self._outbox() != (len(self.ledger.acked), 0) or not self._alert_endpoint.alerts) and time.monotonic() - began < DRAIN_S:
            time.sleep(0.5)
        took = time.monotonic() - began
        self.up.stop()
        return took

    def problems(self) -> dict[str, int]:
        """Counts of problems; all zero if there are none."""
        stored = self._read(stored_alerts)
        if not self._alert_endpoint.has_received(stored):  # stopped before all alerts were delivered: the next run delivers the rest
            before, self.up = self.up, self._started()
            self._alert_endpoint.has_received(stored, within_s=DELIVERY_TIMEOUT_S)
            self.up.stop()
            self.up.exits[:0] = before.exits
            stored = self._read(stored_alerts)
        found = self._read(lambda read: self.ledger.problems(read, key="url"))
        dead = self._read(lambda read: int(read("SELECT count() FROM dead_letters FINAL")[0][0]))
        return {
            **found,
            "dead letters": dead,
            "crises without alert": int(not stored),
            **self._alert_endpoint.problems(stored),
            "unexpected exit codes": sum(code not in ALLOWED_EXITS for code in self.up.exits),
        }

    def _read(self, ask: Callable[[Query], T]) -> T:
        with contextlib.closing(_Chdb(self._data / "store")) as store:
            return ask(store.read)

    def summary(self) -> dict[str, Any]:
        """Counts for the result."""
        return {
            "published": len(self.ledger.acked),
            "alerts": len(self._alert_endpoint.alerts),
            "webhooks": sum(self._alert_endpoint.received.values()),
            "exits": self.up.exits,
        }


class _Chdb:
    def __init__(self, folder: Path) -> None:
        from chdb import session

        self._session = session.Session(str(folder))
        self._session.query("USE tocsin")

    def read(self, sql: str) -> list[tuple[Any, ...]]:
        lines = bytes(self._session.query(sql, "JSONCompactEachRow").bytes()).splitlines()
        return [tuple(msgspec.json.decode(line)) for line in lines]

    def close(self) -> None:
        self._session.close()


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
