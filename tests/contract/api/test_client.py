"""The Python client against a real server over a real store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api import requests, types
from api.client import ApiError, Client
from api.event_stream import StreamedEvent
from core.records import Alert, sha
from dashboard.web.server import RunningServer, serve
from domain.tokens import SCOPES
from storage.store import Store
from tests.helpers.api import ApiHarness, new_alert, new_article
from tests.helpers.stores import NOON, alert, save, scored


@pytest.fixture
def harness(store: Store) -> ApiHarness:
    made = ApiHarness(store)
    made.service.feed._poll_s = 0.05
    return made


@pytest.fixture
def running(harness: ApiHarness) -> Iterator[RunningServer]:
    with serve(harness.app, "127.0.0.1", 0) as made:
        yield made


@pytest.fixture
def client(harness: ApiHarness, running: RunningServer) -> Iterator[Client]:
    with Client(running.url, harness.create_token(*SCOPES, name="夜班")) as made:
        yield made


def test_the_client_iterates_over_pages_and_reads_one_article(harness: ApiHarness, client: Client):
    save(harness.store, *(scored(str(number), minutes=number, title="涨停" if number == 3 else "") for number in range(7)))
    found = list(client.articles(page=3, since=NOON))
    assert [article.id for article in found] == [sha(str(number)) for number in range(6, -1, -1)]
    assert client.article(sha("3")).title == "涨停"
    assert [article.id for article in client.articles(until=NOON + timedelta(minutes=1), text="full")] == [sha("0")]
    span = {"since": NOON - timedelta(hours=1), "until": NOON + timedelta(hours=1)}
    assert "company:ACME" in {series.series for series in client.series(page=2, **span)}  # type: ignore[arg-type]
    assert sum(point.stories for point in client.series_history("company:ACME", **span).points) == 7  # type: ignore[arg-type, misc]
    assert list(client.articles(as_of=NOON - timedelta(days=900))) == []


def test_the_client_performs_every_write(harness: ApiHarness, client: Client):
    one = alert()
    harness.store.alerts.insert([one])
    save(harness.store, scored("a"))
    assert client.add_alert_event(one.id, "assigned", "王芳").lifecycle.assignee == "王芳"
    assert client.add_alert_event(one.id, "acknowledged").lifecycle.state == "acknowledged"
    assert [found.id for found in client.alerts(state="acknowledged")] == [one.id]
    assert [event.actor for event in client.alert(one.id).events] == ["夜班", "夜班"]
    made = client.add_silence(requests.SilenceIn(series=("topic:*",), ends_at=datetime(2099, 1, 1, tzinfo=UTC), comment="维护"))
    assert [each.id for each in client.silences()] == [made.id]
    assert client.expire_silence(made.id).status == "ended"
    assert list(client.silences()) == []
    assert client.add_labels([requests.LabelIn(id=sha("a"), task="sentiment", labels=("negative",))]) == 1
    assert next(client.labels()).author == "夜班"
    assert len(client.classify(["某公司债券违约", "Acme"]).items) == 2
    pushed = client.push([requests.ArticleIn(source="wire", title="某公司债券违约"), requests.ArticleIn(source="wire", title="Acme")])
    assert (pushed.accepted, [article.title for article in harness.pushed]) == (2, ["某公司债券违约", "Acme"])
    assert client.rules()[0].name == "negative-spike"
    assert client.watchlists()[0].series == "watchlist:desk"


def test_an_error_response_raises_api_error_with_status_and_fields(harness: ApiHarness, running: RunningServer, client: Client):
    with pytest.raises(ApiError, match="there is no article 'nobody'") as missing:
        client.article("nobody")
    assert missing.value.status == 404
    with pytest.raises(ApiError) as wrong:
        client.add_labels([requests.LabelIn(id=sha("x"), task="sentiment", labels=("bad",))])
    assert (wrong.value.status, wrong.value.errors[0].field) == (422, "labels[0].id")
    with Client(running.url, "tocsin_wrong") as stranger, pytest.raises(ApiError, match="is unknown"):
        next(iter(stranger.articles()))
    running.close()
    with pytest.raises(ApiError, match="no response from http"):
        client.article("a")


def test_reads_are_retried_after_retry_after(store: Store):
    harness, slept = ApiHarness(store, per_minute=2), list[float]()
    with serve(harness.app, "127.0.0.1", 0) as running, Client(running.url, harness.secrets["read"], sleep=slept.append) as client:
        assert len(client.rules()) == len(client.rules()) == 1
        with pytest.raises(ApiError, match="requests per minute") as refused:
            client.rules()
    assert refused.value.status == 429
    assert len(slept) == 3
    assert all(1 <= seconds <= 30 for seconds in slept)


def test_the_stream_continues_without_loss_after_a_server_restart(store: Store):
    """The second server sends the last seconds again; the client drops the duplicates."""
    harness = ApiHarness(store)
    harness.service.feed._poll_s = 0.05
    secret = harness.secrets["read"]
    received: list[Any] = []
    connected, first, third = threading.Event(), threading.Event(), threading.Event()
    servers: list[RunningServer] = [serve(harness.app, "127.0.0.1", 0)]
    began, port = threading.Event(), servers[0].port

    def sleep(_: float) -> None:
        began.wait(20)

    def receive() -> None:
        with Client(f"http://127.0.0.1:{port}", secret, sleep=sleep) as client:
            for event in client.stream(on_open=connected.set):
                received.append(event.data)
                (first if len(received) == 1 else third if len(received) == 4 else threading.Event()).set()
                if len(received) == 4:
                    return

    thread = threading.Thread(target=receive)
    thread.start()
    assert connected.wait(20)
    save(store, new_article("a"))
    assert first.wait(20)
    servers[0].close()
    save(store, new_article("b"), new_article("c"))
    last = new_alert("ACME")
    store.alerts.insert([last])
    again = ApiHarness(store, truncate=False)
    again.service.feed._poll_s = 0.05
    with serve(again.app, "127.0.0.1", port):
        began.set()
        assert third.wait(30)
        thread.join()
    ids = [item.article.id if isinstance(item, types.ScoreEvent) else item.id for item in received]
    assert ids == [sha("a"), *sorted([sha("b"), sha("c")]), last.id]
    assert isinstance(received[-1], Alert)


def test_event_data_with_line_separators_arrives_unchanged(harness: ApiHarness, client: Client):
    """A title may contain any character; an event is one line."""
    save(harness.store, new_article("a", title='line\nbreak\r\n\ndata: {"x": 1}\u2028\u2029\x85 🔔'))
    stream = client.stream(last_event_id=f"{int(datetime.now(UTC).timestamp() * 1e6) - 10**7:x}-s-x-y")
    event = next(stream)
    assert isinstance(event.data, types.ScoreEvent)
    assert event.data.article.title == 'line\nbreak\r\n\ndata: {"x": 1}\u2028\u2029\x85 🔔'
    assert isinstance(harness.service.feed._events[0], StreamedEvent)
    stream.close()  # type: ignore[attr-defined]
