"""The pulse over the real server, a real store and real logins: what it costs with fifty open dashboards, and when a line ends."""

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
from tests.helpers.stores import migrated_store
from tests.contract.test_alert_life_store import alert
from tests.contract.test_store import NOON, save, scored
from tests.helpers.waiting import until
from tests.unit.dashboard.reads.test_queries import Hands
from tests.unit.dashboard.test_app import CALLBACK, body

PASSWORD = "一二三四五六七八九十甲乙"
PAGES = ("ov-problem", "mv-table", "in-problem", "al-problem", "ac-life", "se-problem", "fd-problem")
"""What one open dashboard of this test shows, all at once: every page that refreshes itself but an article's."""
VIEWS = (("en", "Asia/Shanghai"), ("zh", "America/New_York"))
BY_THE_CLOCK = re.compile(r"max_block_number|FROM (sessions|accounts|login_failures)\b")
"""Asked every second or every five, whoever looks: counted apart."""


class Counting:
    """A ClickHouse that writes down what it is asked. between_looks: hold it, and nobody looks for what is new meanwhile"""

    def __init__(self, client: ClickHouse) -> None:
        self._client, self.asked = client, list[str]()
        self.between_looks = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def query(self, sql: str, **values: Any) -> Any:
        self.asked.append(sql)
        with self.between_looks if "max_block_number" in sql else nullcontext():
            return self._client.query(sql, **values)

    def reads(self) -> int:
        return sum(1 for sql in self.asked if not BY_THE_CLOCK.search(sql))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with migrated_store(tmp_path_factory.mktemp("pulses")) as made:
        people = AccountService(made, lambda: datetime.now(UTC))
        people.add(people.make("王芳", "viewer", PASSWORD, must_change=False), actor="root")
        people.add(people.make("Li", "viewer", PASSWORD, must_change=False), actor="root")
        save(made, *(scored(str(number), minutes=minutes_ago(number), negative=0.9) for number in range(1, 40)))
        yield made


def minutes_ago(minutes: int) -> int:
    return int((datetime.now(UTC) - NOON).total_seconds() // 60) - minutes


def ring(store: Store, name: str) -> str:
    rang = alert(f"company:{name}", at=datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=2))
    store.alerts.insert([rang])
    return rang.id


class Desk:
    """A dashboard that is served over a store whose questions are counted."""

    def __init__(self, store: Store, **settings: Any) -> None:
        self.far_side = Counting(store.client)
        self.hands = Hands()  # of the cache: what is kept for its time is moved by hand, what changed is told by the wall clock
        self.app = create_app(Store(self.far_side), Settings(**settings), cache=Cache(self.hands))
        self.live = self.app.server.extensions[CHANGE_FEED]
        self.live.poll_s = 0.05

    @contextmanager
    def served(self) -> Iterator[RunningServer]:
        with serve(self.app, "127.0.0.1", 0) as running:
            yield running

    def marks(self) -> dict[str, str]:
        return dict(self.live.hear(-1, 0)[1].marks)

    def polled(self) -> int:
        return sum(1 for sql in self.far_side.asked if "max_block_number" in sql)

    def pass_time(self, seconds: float) -> None:
        """Let everything that is kept for its time grow old, and wait until it is told again what changed."""
        self.hands.time += seconds
        before = self.polled()
        until(lambda: self.polled() >= before + 2, "the next look at the store", 300)


def connect(running: RunningServer) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", running.port, timeout=120)


def log_in(running: RunningServer, name: str = "王芳") -> str:
    line = connect(running)
    line.request("POST", "/login", urlencode({"name": name, "password": PASSWORD}), {"Content-Type": "application/x-www-form-urlencoded"})
    cookie = str(line.getresponse().headers["Set-Cookie"]).partition(";")[0]
    line.close()
    return cookie


class Stream:
    """One line of GET /live."""

    def __init__(self, running: RunningServer, cookie: str = "", **headers: str) -> None:
        self.line = connect(running)
        self.line.request("GET", "/live", headers={"Accept": "text/event-stream", "Cookie": cookie, **headers})
        self.answer = self.line.getresponse()

    def events(self) -> Iterator[tuple[str, Any]]:
        kind = ""
        while line := self.answer.readline():
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                yield kind, json.loads(value)

    def close(self) -> None:
        self.answer.close()
        self.line.close()


class Dashboard(threading.Thread):
    """An open dashboard as assets/live.js has it: it listens, and refreshes its pages when marks changed. drawn: by these marks"""

    def __init__(self, desk: Desk, running: RunningServer, cookie: str, alert_id: str, view: tuple[str, str]) -> None:
        super().__init__(daemon=True)
        self.desk, self.cookie, self.key, (self.lang, self.zone) = desk, cookie, alert_id, view
        self.line, self.stream = connect(running), Stream(running, cookie)
        self.drawn: dict[str, str] = {}
        self.seen: dict[str, Any] = {}
        self.asked = 0
        self.start()

    def run(self) -> None:
        for kind, pulse in self.stream.events():
            assert kind == "pulse"
            if pulse["marks"] != self.drawn:
                for page in PAGES:
                    self.refresh(page)
                self.drawn = pulse["marks"]

    def leave(self) -> None:
        self.join(60)
        self.stream.close()
        self.line.close()

    def refresh(self, page: str) -> None:
        view = {"range": "24h", "lang": self.lang, "zone": self.zone, "state": "open"}
        prefix = page.partition("-")[0]
        given = {"view_data": view, "al_key_data": self.key, "se_key_data": "company:ACME", f"{prefix}_seen_data": self.seen.get(prefix)}
        self.line.request(
            "POST", CALLBACK, json.dumps(body(self.desk.app, page, **given)), {"Content-Type": "application/json", "Cookie": self.cookie}
        )
        answer = self.line.getresponse()
        found = json.loads(answer.read())["response"]
        assert answer.status == 200
        assert not (found.get(f"{prefix}-problem") or {}).get("children"), found
        self.seen[prefix] = found[f"{prefix}-seen"]["data"]
        self.asked += 1


def cost(store: Store, viewers: Sequence[tuple[str, str]], tag: str) -> tuple[int, int]:
    """Reads of the store while the same things happen before these viewers; how often the viewers asked."""
    desk = Desk(store, dashboard_viewers=len(viewers))
    with desk.served() as running:
        cookie = log_in(running)
        key = ring(store, f"{tag}0")
        open_pages = [Dashboard(desk, running, cookie, key, view) for view in viewers]

        def caught_up() -> None:
            desk.pass_time(0)
            until(lambda: all(each.drawn == desk.marks() for each in open_pages), "every page is drawn by the last marks", 300)

        caught_up()
        before, asked = desk.far_side.reads(), sum(each.asked for each in open_pages)
        for number in (1, 2):
            desk.pass_time(60)
            with desk.far_side.between_looks:  # an article is stored in two steps, and must not be news twice for some and once for others
                if number == 2:
                    ring(store, f"{tag}{number}")
                else:
                    save(store, scored(f"{tag}{number}", minutes=minutes_ago(0), negative=0.9))
            desk.pass_time(0)
            until(lambda: not desk.live._waiting, "it was told", 300)
            caught_up()
        total = desk.far_side.reads() - before, sum(each.asked for each in open_pages) - asked
        began = time.monotonic()
        desk.pass_time(0)
        until(lambda: time.monotonic() - began > 0.5, "a while in which nothing happens", 300)
        assert desk.far_side.reads() - before == total[0], "nothing is read while nothing changes"
        desk.live.close()
        for each in open_pages:
            each.leave()
        return total


def test_fifty_open_dashboards_cost_the_store_as_much_as_one(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(change_feed, "SAFETY_S", 1e9)  # all this takes longer with fifty, and nothing may be read for that
    monkeypatch.setattr(change_feed, "SETTLED_S", 1e9)
    one, _ = cost(store, VIEWS[:1], "one")
    assert one >= 2 * 4, "there is something to read"
    fifty, asked_by_fifty = cost(store, VIEWS * 25, "fifty")
    assert asked_by_fifty >= 50 * 2 * len(PAGES), "and all fifty were shown it"
    assert fifty <= 1.2 * one, f"{fifty} reads for 50 viewers, {one} for one"


def test_a_line_says_what_is_new_and_is_not_for_strangers_nor_for_other_sites(store: Store):
    desk = Desk(store, dashboard_viewers=2)
    with desk.served() as running:
        cookie = log_in(running)
        refused = Stream(running)
        assert refused.answer.status == 401
        foreign = Stream(running, cookie, **{"Sec-Fetch-Site": "cross-site"})
        assert foreign.answer.status == 403
        first, second = Stream(running, cookie), Stream(running, cookie)
        assert first.answer.headers["Content-Type"] == "text/event-stream"
        assert first.answer.headers["Cache-Control"] == "no-store"
        heard, also = first.events(), second.events()
        (_, now), _ = next(heard), next(also)
        id_ = ring(store, "TOLD")
        kind, pulse = next(heard)
        assert (kind, pulse["rang"][0]["id"], pulse["open"]) == ("pulse", id_, now["open"] + 1)
        assert {name for name, mark in pulse["marks"].items() if mark != now["marks"][name]} == {"alerts"}
        full = Stream(running, cookie)
        assert (full.answer.status, full.answer.headers["Retry-After"]) == (503, "60")
        line = connect(running)
        line.request("GET", sse.STATE_PATH, headers={"Cookie": cookie})  # who has no seat asks
        assert json.loads(line.getresponse().read())["marks"] == pulse["marks"]
        line.request("HEAD", "/live", headers={"Cookie": cookie})
        assert line.getresponse().read() == b""
        save(store, scored("later", minutes=minutes_ago(0)))
        assert next(heard)[1]["rang"] is None, "what is as before is not sent again"
        for each in (refused, foreign, first, second, full):
            each.close()
        line.close()


def test_a_line_ends_with_its_login_and_with_the_server(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sse, "GLANCE_S", 0.05)
    monkeypatch.setattr("dashboard.web.sessions.TTL_S", 0.05)
    desk = Desk(store)
    with desk.served() as running:
        ended, stays = Stream(running, log_in(running, "Li")), Stream(running, log_in(running))
        next(ended.events()), next(stays.events())
        AccountService(store, lambda: datetime.now(UTC)).log_out("Li", actor="root")
        assert [kind for kind, _ in ended.events()][-1] == "end"
        began = time.monotonic()
        running.close()
        assert time.monotonic() - began < 5
        assert "end" not in [kind for kind, _ in stays.events()], "the page will come back"
        assert desk.live._viewers == 0
        ended.close()
        stays.close()


def test_a_page_that_goes_gives_its_seat_back(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sse, "GLANCE_S", 0.02)
    monkeypatch.setattr(sse, "BEAT_S", 0.05)
    desk = Desk(store, dashboard_login="none")
    with desk.served() as running:
        gone = Stream(running)
        events = gone.events()
        assert [next(events)[0] for _ in range(3)] == ["pulse"] * 3, "a sign of life while nothing happens"
        gone.close()
        until(lambda: desk.live._viewers == 0, "the seat is free", 300)
