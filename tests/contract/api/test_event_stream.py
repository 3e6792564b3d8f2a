"""The event stream over a real server and a real store: delivery, resuming, slow clients and the cost of many."""

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

from api import event_stream
from api.event_stream import StreamedEvent
from api.types import GapEvent, ScoreEvent
from core.records import Alert, sha
from dashboard.web.server import RunningServer, serve
from storage.store import Store
from tests.helpers.api import ApiHarness, new_alert, new_article
from tests.helpers.stores import save, scored
from tests.helpers.waiting import until

MAX_STREAMS = 50
Served = tuple[ApiHarness, RunningServer]


@contextmanager
def served(store: Store, *, truncate: bool = True, client_timeout_s: float = 60.0) -> Iterator[Served]:
    harness = ApiHarness(store, truncate=truncate, streams=MAX_STREAMS)
    harness.service.feed._poll_s = 0.05
    with serve(harness.app, "127.0.0.1", 0, client_timeout_s=client_timeout_s) as running:
        yield harness, running


@pytest.fixture
def served_api(store: Store) -> Iterator[Served]:
    with served(store) as both:
        yield both


class StreamClient:
    """One client of the stream."""

    def __init__(self, running: RunningServer, secret: str, *, last_id: str = "", query: str = "") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
        headers = {"Authorization": f"Bearer {secret}"} | ({"Last-Event-ID": last_id} if last_id else {})
        self.connection.request("GET", f"/api/v1/stream{query}", headers=headers)
        self.response = self.connection.getresponse()

    def lines(self) -> Iterator[str]:
        while line := self.response.readline():
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

    def first_id(self) -> str:
        """The id of the position at which the stream begins."""
        assert self.response.status == 200
        head = list(itertools.takewhile(bool, self.lines()))
        return next(line for line in head if line.startswith("id: ")).removeprefix("id: ")

    def close(self) -> None:
        self.response.close()
        self.connection.close()


def test_scores_and_alerts_are_streamed_as_they_are_stored(served_api: Served):
    harness, running = served_api
    client = StreamClient(running, harness.secrets["read"])
    client.first_id()
    save(harness.store, new_article("a", title="某公司债券违约", negative=0.9), scored("old"))
    stored = new_alert("ACME")
    first = client.events(1)[0]
    harness.store.alerts.insert([stored])
    second = client.events(1)[0]
    assert (first["event"], first["data"]["article"]["title"]) == ("score", "某公司债券违约")
    assert {"market:all", "company:ACME", "topic:earnings"} <= set(first["data"]["series"])
    assert msgspec.convert(first["data"], ScoreEvent).article.id == sha("a")
    assert (second["event"], msgspec.convert(second["data"], Alert)) == ("alert", stored)
    assert client.response.headers["Content-Type"] == "text/event-stream"
    assert client.response.headers["Cache-Control"] == "no-store"
    client.close()


def test_a_stream_resumes_after_the_last_event_id(served_api: Served, store: Store):
    harness, running = served_api
    client = StreamClient(running, harness.secrets["read"])
    client.first_id()
    save(store, *(new_article(str(number)) for number in range(5)))
    received = client.events(3)
    client.close()
    save(store, new_article("meanwhile"))
    again = StreamClient(running, harness.secrets["read"], last_id=received[-1]["id"])
    rest = again.events(3)
    again.close()
    ids = [event["data"]["article"]["id"] for event in (*received, *rest)]
    assert ids[:5] == sorted(sha(str(number)) for number in range(5))
    assert ids[5] == sha("meanwhile")
    with served(store, truncate=False) as (other, elsewhere):  # another process, or the same one after a restart
        back = StreamClient(elsewhere, other.secrets["read"], last_id=received[-1]["id"])
        later = [event["data"]["article"]["id"] for event in back.events(6)]
        assert sorted(later) == sorted(ids), "the last seconds are sent again: none is missed"
        back.close()


def test_a_stream_resumes_from_its_first_position_before_any_event(served_api: Served, store: Store):
    harness, running = served_api
    save(store, new_article("before"))
    client = StreamClient(running, harness.secrets["read"])
    position = client.first_id()
    client.close()
    save(store, new_article("a"), new_article("b"))
    until(lambda: len(harness.service.feed._events) >= 2, "both events are in memory", 20)
    again = StreamClient(running, harness.secrets["read"], last_id=position)
    assert [event["data"]["article"]["id"] for event in again.events(2)] == sorted([sha("a"), sha("b")])
    again.close()
    with served(store, truncate=False) as (other, elsewhere):  # another process, or the same one after a restart
        back = StreamClient(elsewhere, other.secrets["read"], last_id=position)
        assert {sha("a"), sha("b")} <= {event["data"]["article"]["id"] for event in back.events(3)}, "the last seconds are sent again"
        back.close()


def test_resuming_after_too_long_yields_a_gap_event(served_api: Served):
    harness, running = served_api
    save(harness.store, new_article("a"))
    then = datetime.now(UTC) - timedelta(hours=1)
    client = StreamClient(running, harness.secrets["read"], last_id=f"{int(then.timestamp() * 1e6):x}-s-{sha('x')}")
    gap, score = client.events(2)
    found = msgspec.convert(gap["data"], GapEvent)
    assert (gap["event"], "id" in gap, score["event"]) == ("gap", False, "score")
    assert abs(found.since - then) < timedelta(seconds=2)
    assert timedelta(minutes=9) < datetime.now(UTC) - found.until < timedelta(minutes=11)
    client.close()
    for wrong in ("x", "zz-s-a", "ffffffffffffffffffff-s-a", "-1-s-a"):
        rejected = StreamClient(running, harness.secrets["read"], last_id=wrong)
        assert rejected.response.status == 422
        assert json.loads(rejected.response.read())["errors"][0]["field"] == "Last-Event-ID"
        rejected.close()


def test_a_stream_is_filtered_by_kind_and_series(served_api: Served):
    harness, running = served_api
    alerts = StreamClient(running, harness.secrets["read"], query="?events=alert")
    energy = StreamClient(running, harness.secrets["read"], query="?series=topic:en*")
    alerts.first_id()
    energy.first_id()
    other = new_article("energy")
    save(
        harness.store, new_article("a"), msgspec.structs.replace(other, score=msgspec.structs.replace(other.score, topics={"energy": 0.8}))
    )
    stored = new_alert("A")
    harness.store.alerts.insert([stored])
    assert alerts.events(1)[0]["data"]["id"] == stored.id
    assert energy.events(1)[0]["data"]["article"]["id"] == sha("energy")
    alerts.close()
    energy.close()


def test_fifty_streams_cost_the_store_one_poll_and_block_no_requests(served_api: Served):
    harness, running = served_api
    harness.service.feed._poll_s = 0.2
    read, polls = harness.store.as_of.written, []

    def counted(*given: Any) -> Any:
        polls.append(time.monotonic())
        return read(*given)

    harness.store.as_of.written = counted  # type: ignore[method-assign, assignment]
    clients = [StreamClient(running, harness.secrets["read"]) for _ in range(MAX_STREAMS)]
    for client in clients:
        client.first_id()
    rejected = StreamClient(running, harness.secrets["read"])
    assert (rejected.response.status, rejected.response.headers["Retry-After"]) == (503, "10")
    rejected.close()
    page = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
    for _ in range(20):
        page.request("GET", "/healthz")
        assert page.getresponse().read() == b"ok\n"
    page.close()
    save(harness.store, new_article("for all"))
    assert {client.events(1)[0]["data"]["article"]["id"] for client in clients} == {sha("for all")}
    assert len(polls) <= (polls[-1] - polls[0]) / 0.2 + 2, "one poll after another, however many streams are open"
    for client in clients:
        client.close()
    harness.store.as_of.written = read  # type: ignore[method-assign]


def test_a_slow_client_does_not_delay_others_and_is_disconnected(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(event_stream, "HEARTBEAT_S", 0.2)
    monkeypatch.setattr(event_stream, "TOKEN_CHECK_S", 0.1)
    with served(store, client_timeout_s=1.0) as (harness, running):
        slow, quick = StreamClient(running, harness.secrets["read"]), StreamClient(running, harness.secrets["read"])
        quick.first_id()
        large = b"event: score\ndata: " + b'"' + b"x" * 500_000 + b'"\n\n'
        read = threading.Thread(target=lambda: quick.events(50))
        read.start()
        for number in range(50):
            harness.service.feed._append([StreamedEvent(number, f"{number:x}-s-a", "score", ("market:all",), large)])
        read.join(20)
        assert not read.is_alive()
        until(lambda: harness.service.feed._subscribers == 1, "one subscriber is left", 20)  # it does not read 25 MB
        slow.close()
        quick.close()


def test_a_subscriber_that_falls_behind_receives_a_gap_event(served_api: Served, monkeypatch: pytest.MonkeyPatch):
    harness, _ = served_api
    monkeypatch.setattr(event_stream, "MAX_EVENTS", 3)
    here = harness.service.feed.subscribe("")
    began = int(time.time() * 1e6)
    harness.service.feed._append([StreamedEvent(began + number, str(number), "score", (), b"") for number in range(5)])
    received = harness.service.feed.wait_for_events(here, 1.0)
    assert received is not None
    assert received.gap is not None
    assert received.gap.since == here.time
    assert [event.id for event in received.events] == ["2", "3", "4"]
    later = harness.service.feed.wait_for_events(received, 0.0)
    assert later is not None
    assert (later.gap, later.events) == (None, [])
    harness.service.feed.unsubscribe()


def test_a_stream_ends_with_its_token_and_with_the_server(served_api: Served, monkeypatch: pytest.MonkeyPatch):
    harness, running = served_api
    monkeypatch.setattr(event_stream, "HEARTBEAT_S", 0.2)
    monkeypatch.setattr(event_stream, "TOKEN_CHECK_S", 0.1)
    secret = harness.create_token("read", name="夜班")
    harness.forget_tokens()
    client, other = StreamClient(running, secret), StreamClient(running, harness.secrets["read"])
    other.first_id()
    assert ": heartbeat" in {line for _, line in zip(range(6), client.lines(), strict=False)}
    token_id = next(token.id for token in harness.store.tokens.all() if token.name == "夜班")
    harness.store.tokens.revoke([token_id], datetime.now(UTC), "Li")
    harness.forget_tokens()
    assert len(list(client.lines())) < 1_000
    began = time.monotonic()
    running.close()
    assert time.monotonic() - began < 4
    assert len(list(other.lines())) < 1_000
    assert harness.service.feed._subscribers == 0
    client.close()
    other.close()


def test_a_disconnected_client_is_unsubscribed(served_api: Served, monkeypatch: pytest.MonkeyPatch):
    harness, running = served_api
    monkeypatch.setattr(event_stream, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(event_stream, "TOKEN_CHECK_S", 0.05)
    monkeypatch.setattr(event_stream, "LINGER_S", 0.2)
    client = StreamClient(running, harness.secrets["read"])
    client.first_id()
    client.close()
    until(lambda: harness.service.feed._subscribers == 0, "no subscriber is left", 20)
    until(lambda: harness.service.feed._thread is None, "the thread ended", 20)
    head = harness.client.head("/api/v1/stream", headers={"Authorization": f"Bearer {harness.secrets['read']}"})
    assert (head.status_code, harness.service.feed._subscribers) == (200, 0)
