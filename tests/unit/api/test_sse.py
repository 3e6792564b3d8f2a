"""The stream over the real server and a real store: what comes, who comes back, who is slow, and what many listeners cost."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from api import event_feed, sse
from api.event_feed import Event
from api.types import GapEvent, ScoreEvent
from core.records import Alert, sha
from dashboard.web.server import Running, serve
from storage.store import Store
from tests.api_desk import Desk, real_store
from tests.contract.test_alert_life_store import alert
from tests.contract.test_store import NOON, save, scored
from tests.helpers.waiting import until

SEATS = 50


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with real_store(tmp_path_factory.mktemp("api")) as made:
        yield made


@contextmanager
def served(store: Store, *, fresh: bool = True, stuck_s: float = 60.0) -> Iterator[tuple[Desk, Running]]:
    desk = Desk(store, fresh=fresh, streams=SEATS)
    desk.api.feed._poll_s = 0.05
    with serve(desk.app, "127.0.0.1", 0, stuck_s=stuck_s) as running:
        yield desk, running


@pytest.fixture
def desk_and_server(store: Store) -> Iterator[tuple[Desk, Running]]:
    with served(store) as both:
        yield both


class Ear:
    """One client that listens."""

    def __init__(self, running: Running, secret: str, *, last_id: str = "", query: str = "") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
        headers = {"Authorization": f"Bearer {secret}"} | ({"Last-Event-ID": last_id} if last_id else {})
        self.connection.request("GET", f"/api/v1/stream{query}", headers=headers)
        self.answer = self.connection.getresponse()

    def lines(self) -> Iterator[str]:
        while line := self.answer.readline():
            yield line.decode().rstrip("\n")

    def events(self, count: int) -> list[dict[str, Any]]:
        """The next events, each with its id, kind and data."""
        found: list[dict[str, Any]] = []
        event: dict[str, Any] = {}
        for line in self.lines():
            if not line:
                found += [event] if "data" in event else []
                event = {}
                if len(found) == count:
                    break
            elif line and not line.startswith((":", "retry")):
                name, _, value = line.partition(": ")
                event[name] = json.loads(value) if name == "data" else value
        return found

    def began(self) -> str:
        """The id of the place from which it listens."""
        assert self.answer.status == 200
        head = list(itertools.takewhile(bool, self.lines()))
        return next(line for line in head if line.startswith("id: ")).removeprefix("id: ")

    def close(self) -> None:
        self.answer.close()
        self.connection.close()


def now_minutes() -> int:
    return int((datetime.now(UTC) - NOON).total_seconds() // 60)


def news(name: str, **more: Any) -> Any:
    return scored(name, minutes=now_minutes(), **more)


def ring(name: str) -> Alert:
    return alert(f"company:{name}", at=datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5))


def test_scores_and_alerts_come_as_they_are_stored(desk_and_server: tuple[Desk, Running]):
    desk, running = desk_and_server
    ear = Ear(running, desk.secrets["read"])
    ear.began()
    save(desk.store, news("a", title="某公司债券违约", negative=0.9), scored("old"))
    rang = ring("ACME")
    first = ear.events(1)[0]
    desk.store.alerts.insert([rang])
    second = ear.events(1)[0]
    assert (first["event"], first["data"]["article"]["title"]) == ("score", "某公司债券违约")
    assert {"market:all", "company:ACME", "topic:earnings"} <= set(first["data"]["series"])
    assert msgspec.convert(first["data"], ScoreEvent).article.id == sha("a")
    assert (second["event"], msgspec.convert(second["data"], Alert)) == ("alert", rang)
    assert ear.answer.headers["Content-Type"] == "text/event-stream"
    assert ear.answer.headers["Cache-Control"] == "no-store"
    ear.close()


def test_who_comes_back_goes_on_where_they_were(desk_and_server: tuple[Desk, Running], store: Store):
    desk, running = desk_and_server
    ear = Ear(running, desk.secrets["read"])
    ear.began()
    save(store, *(news(str(number)) for number in range(5)))
    heard = ear.events(3)
    ear.close()
    save(store, news("meanwhile"))
    again = Ear(running, desk.secrets["read"], last_id=heard[-1]["id"])
    rest = again.events(3)
    again.close()
    ids = [event["data"]["article"]["id"] for event in (*heard, *rest)]
    assert ids[:5] == sorted(sha(str(number)) for number in range(5))
    assert ids[5] == sha("meanwhile")
    with served(store, fresh=False) as (other, elsewhere):  # another process, or this one after a restart
        back = Ear(elsewhere, other.secrets["read"], last_id=heard[-1]["id"])
        later = [event["data"]["article"]["id"] for event in back.events(6)]
        assert sorted(later) == sorted(ids), "the last seconds once more: none is missed"
        back.close()


def test_who_heard_nothing_before_the_line_broke_misses_nothing(desk_and_server: tuple[Desk, Running], store: Store):
    desk, running = desk_and_server
    save(store, news("before"))
    ear = Ear(running, desk.secrets["read"])
    place = ear.began()
    ear.close()
    save(store, news("a"), news("b"))
    until(lambda: len(desk.api.feed._events) >= 2, "both are held", 20)
    again = Ear(running, desk.secrets["read"], last_id=place)
    assert [event["data"]["article"]["id"] for event in again.events(2)] == sorted([sha("a"), sha("b")])
    again.close()
    with served(store, fresh=False) as (other, elsewhere):  # another process, or this one after a restart
        back = Ear(elsewhere, other.secrets["read"], last_id=place)
        assert {sha("a"), sha("b")} <= {event["data"]["article"]["id"] for event in back.events(3)}, "the last seconds once more"
        back.close()


def test_who_comes_back_after_long_is_told_of_the_gap(desk_and_server: tuple[Desk, Running]):
    desk, running = desk_and_server
    save(desk.store, news("a"))
    then = datetime.now(UTC) - timedelta(hours=1)
    ear = Ear(running, desk.secrets["read"], last_id=f"{int(then.timestamp() * 1e6):x}-s-{sha('x')}")
    gap, score = ear.events(2)
    found = msgspec.convert(gap["data"], GapEvent)
    assert (gap["event"], "id" in gap, score["event"]) == ("gap", False, "score")
    assert abs(found.since - then) < timedelta(seconds=2)
    assert timedelta(minutes=9) < datetime.now(UTC) - found.until < timedelta(minutes=11)
    ear.close()
    for wrong in ("x", "zz-s-a", "ffffffffffffffffffff-s-a", "-1-s-a"):
        refused = Ear(running, desk.secrets["read"], last_id=wrong)
        assert refused.answer.status == 422
        assert json.loads(refused.answer.read())["errors"][0]["field"] == "Last-Event-ID"
        refused.close()


def test_only_what_is_asked_for(desk_and_server: tuple[Desk, Running]):
    desk, running = desk_and_server
    alerts = Ear(running, desk.secrets["read"], query="?events=alert")
    energy = Ear(running, desk.secrets["read"], query="?series=topic:en*")
    alerts.began()
    energy.began()
    other = news("energy")
    save(desk.store, news("a"), msgspec.structs.replace(other, score=msgspec.structs.replace(other.score, topics={"energy": 0.8})))
    rang = ring("A")
    desk.store.alerts.insert([rang])
    assert alerts.events(1)[0]["data"]["id"] == rang.id
    assert energy.events(1)[0]["data"]["article"]["id"] == sha("energy")
    alerts.close()
    energy.close()


def test_fifty_listeners_cost_the_store_what_one_does_and_pages_are_served(desk_and_server: tuple[Desk, Running]):
    desk, running = desk_and_server
    desk.api.feed._poll_s = 0.2
    read, asked = desk.store.past.written, []

    def counted(*given: Any) -> Any:
        asked.append(time.monotonic())
        return read(*given)

    desk.store.past.written = counted  # type: ignore[method-assign, assignment]
    ears = [Ear(running, desk.secrets["read"]) for _ in range(SEATS)]
    for ear in ears:
        ear.began()
    refused = Ear(running, desk.secrets["read"])
    assert (refused.answer.status, refused.answer.headers["Retry-After"]) == (503, "10")
    refused.close()
    page = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
    for _ in range(20):
        page.request("GET", "/healthz")
        assert page.getresponse().read() == b"ok\n"
    page.close()
    save(desk.store, news("for all"))
    assert {ear.events(1)[0]["data"]["article"]["id"] for ear in ears} == {sha("for all")}
    assert len(asked) <= (asked[-1] - asked[0]) / 0.2 + 2, "one poll after the other, however many listen"
    for ear in ears:
        ear.close()
    desk.store.past.written = read  # type: ignore[method-assign]


def test_a_slow_client_delays_nobody_and_is_let_go(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.2)
    monkeypatch.setattr(sse, "GLANCE_S", 0.1)
    with served(store, stuck_s=1.0) as (desk, running):
        slow, quick = Ear(running, desk.secrets["read"]), Ear(running, desk.secrets["read"])
        quick.began()
        flood = b"event: score\ndata: " + b'"' + b"x" * 500_000 + b'"\n\n'
        read = threading.Thread(target=lambda: quick.events(50))
        read.start()
        for number in range(50):
            desk.api.feed._take([Event(number, f"{number:x}-s-a", "score", ("market:all",), flood)])
        read.join(20)
        assert not read.is_alive()
        until(lambda: desk.api.feed._listening == 1, "one listens", 20)  # 25 MB that it does not take
        slow.close()
        quick.close()


def test_who_falls_behind_what_is_remembered_is_told_of_the_gap(desk_and_server: tuple[Desk, Running], monkeypatch: pytest.MonkeyPatch):
    desk, _ = desk_and_server
    monkeypatch.setattr(event_feed, "MOST_EVENTS", 3)
    here = desk.api.feed.join("")
    began = int(time.time() * 1e6)
    desk.api.feed._take([Event(began + number, str(number), "score", (), b"") for number in range(5)])
    heard = desk.api.feed.hear(here, 1.0)
    assert heard is not None
    assert heard.gap is not None
    assert heard.gap.since == here.moment
    assert [event.id for event in heard.events] == ["2", "3", "4"]
    later = desk.api.feed.hear(heard, 0.0)
    assert later is not None
    assert (later.gap, later.events) == (None, [])
    desk.api.feed.leave()


def test_a_stream_ends_with_its_token_and_with_the_server(desk_and_server: tuple[Desk, Running], monkeypatch: pytest.MonkeyPatch):
    desk, running = desk_and_server
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.2)
    monkeypatch.setattr(sse, "GLANCE_S", 0.1)
    secret = desk.grant("read", name="夜班")
    desk.look_again()
    ear, other = Ear(running, secret), Ear(running, desk.secrets["read"])
    other.began()
    assert ": still here" in {line for _, line in zip(range(6), ear.lines(), strict=False)}
    ident = next(token.id for token in desk.store.tokens.all() if token.name == "夜班")
    desk.store.tokens.revoke([ident], datetime.now(UTC), "Li")
    desk.look_again()
    assert len(list(ear.lines())) < 1_000
    began = time.monotonic()
    running.close()
    assert time.monotonic() - began < 4
    assert len(list(other.lines())) < 1_000
    assert desk.api.feed._listening == 0
    ear.close()
    other.close()


def test_a_client_that_goes_gives_its_seat_back(desk_and_server: tuple[Desk, Running], monkeypatch: pytest.MonkeyPatch):
    desk, running = desk_and_server
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(sse, "GLANCE_S", 0.05)
    monkeypatch.setattr(event_feed, "LINGER_S", 0.2)
    ear = Ear(running, desk.secrets["read"])
    ear.began()
    ear.close()
    until(lambda: desk.api.feed._listening == 0, "nobody listens", 20)
    until(lambda: desk.api.feed._thread is None, "its thread ends", 20)
    head = desk.client.head("/api/v1/stream", headers={"Authorization": f"Bearer {desk.secrets['read']}"})
    assert (head.status_code, desk.api.feed._listening) == (200, 0)
