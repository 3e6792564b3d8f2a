"""The stream of changes over a real server with real logins: cost of fifty open pages, contents, and end of a stream."""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from actions.account_service import AccountService
from core.cache import Cache
from core.settings import Settings
from dashboard.app import create_app
from dashboard.web import change_feed, sse
from dashboard.web.server import CHANGE_FEED, RunningServer, serve
from storage.clickhouse import ClickHouse
from storage.store import Store
from tests.helpers.dashboard import CALLBACK_PATH, ManualClock, callback_body
from tests.helpers.stores import NOON, alert, save, scored
from tests.helpers.waiting import until

PASSWORD = "一二三四五六七八九十甲乙"
PAGES = ("ov-problem", "mv-table", "in-problem", "al-problem", "ac-timeline", "se-problem", "fd-problem")
"""The pages that refresh themselves, except that of an article; a Dashboard shows all of them at once."""
VIEWS = (("en", "Asia/Shanghai"), ("zh", "America/New_York"))
PERIODIC = re.compile(r"max_block_number|FROM (sessions|accounts|login_failures)\b")
"""Queries that run periodically, however many viewers there are."""


class RecordingClickHouse:
    """A ClickHouse client that records its queries. The change feed does not poll while a test holds `between_polls`."""

    def __init__(self, client: ClickHouse) -> None:
        self._client, self.queries = client, list[str]()
        self.between_polls = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def query(self, sql: str, **values: Any) -> Any:
        self.queries.append(sql)
        with self.between_polls if "max_block_number" in sql else nullcontext():
            return self._client.query(sql, **values)

    def reads(self) -> int:
        return sum(1 for sql in self.queries if not PERIODIC.search(sql))


@pytest.fixture(scope="module")
def store(embedded_store: Store) -> Store:
    people = AccountService(embedded_store, lambda: datetime.now(UTC))
    people.add(people.make("王芳", "viewer", PASSWORD, must_change=False), actor="root")
    people.add(people.make("Li", "viewer", PASSWORD, must_change=False), actor="root")
    save(embedded_store, *(scored(str(number), minutes=minutes_ago(number), negative=0.9) for number in range(1, 40)))
    return embedded_store


def minutes_ago(minutes: int) -> int:
    return int((datetime.now(UTC) - NOON).total_seconds() // 60) - minutes


def add_alert(store: Store, name: str) -> str:
    added = alert(f"company:{name}", at=datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=2))
    store.alerts.insert([added])
    return added.id


class Deployment:
    """A dashboard over a store whose queries are recorded."""

    def __init__(self, store: Store, **settings: Any) -> None:
        self.recorder = RecordingClickHouse(store.client)
        self.clock = ManualClock()  # of the cache; changes are detected by the wall clock
        self.app = create_app(Store(self.recorder), Settings(**settings), cache=Cache(self.clock))
        self.feed = self.app.server.extensions[CHANGE_FEED]
        self.feed.poll_s = 0.05

    @contextmanager
    def served(self) -> Iterator[RunningServer]:
        with serve(self.app, "127.0.0.1", 0) as running:
            yield running

    def versions(self) -> dict[str, str]:
        return dict(self.feed.wait(-1, 0)[1].versions)

    def polls(self) -> int:
        return sum(1 for sql in self.recorder.queries if "max_block_number" in sql)

    def pass_time(self, seconds: float) -> None:
        """Let cached values expire, and wait for two more polls."""
        self.clock.time += seconds
        before = self.polls()
        until(lambda: self.polls() >= before + 2, "two polls of the store", 300)


def connect(running: RunningServer) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", running.port, timeout=120)


def log_in(running: RunningServer, name: str = "王芳") -> str:
    connection = connect(running)
    connection.request(
        "POST", "/login", urlencode({"name": name, "password": PASSWORD}), {"Content-Type": "application/x-www-form-urlencoded"}
    )
    cookie = str(connection.getresponse().headers["Set-Cookie"]).partition(";")[0]
    connection.close()
    return cookie


class Stream:
    """One stream of GET /live."""

    def __init__(self, running: RunningServer, cookie: str = "", **headers: str) -> None:
        self.connection = connect(running)
        self.connection.request("GET", "/live", headers={"Accept": "text/event-stream", "Cookie": cookie, **headers})
        self.response = self.connection.getresponse()

    def events(self) -> Iterator[tuple[str, Any]]:
        kind = ""
        while line := self.response.readline():
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                yield kind, json.loads(value)

    def close(self) -> None:
        self.response.close()
        self.connection.close()


class Dashboard(threading.Thread):
    """An open dashboard that works like assets/live.js. shown: the versions at its last refresh"""

    def __init__(self, deployment: Deployment, running: RunningServer, cookie: str, alert_id: str, view: tuple[str, str]) -> None:
        super().__init__(daemon=True)
        self.deployment, self.cookie, self.key, (self.lang, self.zone) = deployment, cookie, alert_id, view
        self.connection, self.stream = connect(running), Stream(running, cookie)
        self.shown: dict[str, str] = {}
        self.seen: dict[str, Any] = {}
        self.requests = 0
        self.start()

    def run(self) -> None:
        for kind, change in self.stream.events():
            assert kind == "change"
            if change["versions"] != self.shown:
                for page in PAGES:
                    self.refresh(page)
                self.shown = change["versions"]

    def close(self) -> None:
        self.join(60)
        self.stream.close()
        self.connection.close()

    def refresh(self, page: str) -> None:
        view = {"range": "24h", "lang": self.lang, "zone": self.zone, "state": "open"}
        prefix = page.partition("-")[0]
        given = {"view_data": view, "al_key_data": self.key, "se_key_data": "company:ACME", f"{prefix}_seen_data": self.seen.get(prefix)}
        self.connection.request(
            "POST",
            CALLBACK_PATH,
            json.dumps(callback_body(self.deployment.app, page, **given)),
            {"Content-Type": "application/json", "Cookie": self.cookie},
        )
        response = self.connection.getresponse()
        found = json.loads(response.read())["response"]
        assert response.status == 200
        assert not (found.get(f"{prefix}-problem") or {}).get("children"), found
        self.seen[prefix] = found[f"{prefix}-seen"]["data"]
        self.requests += 1


def cost(store: Store, viewers: Sequence[tuple[str, str]], tag: str) -> tuple[int, int]:
    """Reads of the store, and requests of the viewers, during the same sequence of changes."""
    deployment = Deployment(store, dashboard_viewers=len(viewers))
    with deployment.served() as running:
        cookie = log_in(running)
        key = add_alert(store, f"{tag}0")
        open_pages = [Dashboard(deployment, running, cookie, key, view) for view in viewers]

        def caught_up() -> None:
            deployment.pass_time(0)
            until(lambda: all(each.shown == deployment.versions() for each in open_pages), "every page shows the last versions", 300)

        caught_up()
        before, requests = deployment.recorder.reads(), sum(each.requests for each in open_pages)
        for number in (1, 2):
            deployment.pass_time(60)
            with deployment.recorder.between_polls:  # an article is stored in two steps, which must count as one change for all
                if number == 2:
                    add_alert(store, f"{tag}{number}")
                else:
                    save(store, scored(f"{tag}{number}", minutes=minutes_ago(0), negative=0.9))
            deployment.pass_time(0)
            until(lambda: not deployment.feed._unpublished, "the change is published", 300)
            caught_up()
        total = deployment.recorder.reads() - before, sum(each.requests for each in open_pages) - requests
        began = time.monotonic()
        deployment.pass_time(0)
        until(lambda: time.monotonic() - began > 0.5, "half a second without changes", 300)
        assert deployment.recorder.reads() - before == total[0], "nothing is read while nothing changes"
        deployment.feed.close()
        for each in open_pages:
            each.close()
        return total


def test_fifty_open_dashboards_read_the_store_as_often_as_one(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(change_feed, "REFRESH_S", 1e9)  # fifty take longer, which must not cause periodic reads
    monkeypatch.setattr(change_feed, "SETTLE_S", 1e9)
    one, _ = cost(store, VIEWS[:1], "one")
    assert one >= 2 * 4, "the changes cause reads"
    fifty, requests_of_fifty = cost(store, VIEWS * 25, "fifty")
    assert requests_of_fifty >= 50 * 2 * len(PAGES), "all fifty refreshed their pages"
    assert fifty <= 1.2 * one, f"{fifty} reads for 50 viewers, {one} for one"


def test_a_stream_sends_changes_and_needs_a_login_and_the_same_origin(store: Store):
    deployment = Deployment(store, dashboard_viewers=2)
    with deployment.served() as running:
        cookie = log_in(running)
        refused = Stream(running)
        assert refused.response.status == 401
        foreign = Stream(running, cookie, **{"Sec-Fetch-Site": "cross-site"})
        assert foreign.response.status == 403
        first, second = Stream(running, cookie), Stream(running, cookie)
        assert first.response.headers["Content-Type"] == "text/event-stream"
        assert first.response.headers["Cache-Control"] == "no-store"
        events, others = first.events(), second.events()
        (_, now), _ = next(events), next(others)
        id_ = add_alert(store, "NEW")
        kind, change = next(events)
        assert (kind, change["notices"][0]["id"], change["open_alerts"]) == ("change", id_, now["open_alerts"] + 1)
        assert {name for name, version in change["versions"].items() if version != now["versions"][name]} == {"alerts"}
        full = Stream(running, cookie)
        assert (full.response.status, full.response.headers["Retry-After"]) == (503, "60")
        connection = connect(running)
        connection.request("GET", sse.STATE_PATH, headers={"Cookie": cookie})  # a page without a stream polls
        assert json.loads(connection.getresponse().read())["versions"] == change["versions"]
        connection.request("HEAD", "/live", headers={"Cookie": cookie})
        assert connection.getresponse().read() == b""
        save(store, scored("later", minutes=minutes_ago(0)))
        assert next(events)[1]["notices"] is None, "unchanged notices are not sent again"
        for each in (refused, foreign, first, second, full):
            each.close()
        connection.close()


def test_a_stream_ends_with_its_session_and_with_the_server(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sse, "SESSION_CHECK_S", 0.05)
    monkeypatch.setattr("dashboard.web.sessions.TTL_S", 0.05)
    deployment = Deployment(store)
    with deployment.served() as running:
        ended, stays = Stream(running, log_in(running, "Li")), Stream(running, log_in(running))
        next(ended.events()), next(stays.events())
        AccountService(store, lambda: datetime.now(UTC)).log_out("Li", actor="root")
        assert [kind for kind, _ in ended.events()][-1] == "end"
        began = time.monotonic()
        running.close()
        assert time.monotonic() - began < 5
        assert "end" not in [kind for kind, _ in stays.events()], "the page reconnects"
        assert deployment.feed._viewers == 0
        ended.close()
        stays.close()


def test_a_closed_page_is_unsubscribed(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sse, "SESSION_CHECK_S", 0.02)
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.05)
    deployment = Deployment(store, dashboard_login="none")
    with deployment.served() as running:
        gone = Stream(running)
        events = gone.events()
        assert [next(events)[0] for _ in range(3)] == ["change"] * 3, "heartbeats without changes"
        gone.close()
        until(lambda: deployment.feed._viewers == 0, "the page is unsubscribed", 300)
