"""The client against the real server over a real store: what it is told, it tells as typed values."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api import requests, types
from api.client import ApiError, Client
from api.event_feed import Event
from core.records import Alert, sha
from dashboard.web.server import Running, serve
from domain.tokens import SCOPES
from storage.store import Store
from tests.api_desk import Desk, real_store
from tests.contract.test_alert_life_store import alert
from tests.contract.test_store import NOON, save, scored
from tests.unit.api.test_sse import news, ring


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with real_store(tmp_path_factory.mktemp("api")) as made:
        yield made


@pytest.fixture
def desk(store: Store) -> Desk:
    made = Desk(store)
    made.api.feed._poll_s = 0.05
    return made


@pytest.fixture
def running(desk: Desk) -> Iterator[Running]:
    with serve(desk.app, "127.0.0.1", 0) as made:
        yield made


@pytest.fixture
def client(desk: Desk, running: Running) -> Iterator[Client]:
    with Client(running.url, desk.grant(*SCOPES, name="夜班")) as made:
        yield made


def test_it_walks_pages_and_reads_one(desk: Desk, client: Client):
    save(desk.store, *(scored(str(number), minutes=number, title="涨停" if number == 3 else "") for number in range(7)))
    found = list(client.articles(page=3, since=NOON))
    assert [article.id for article in found] == [sha(str(number)) for number in range(6, -1, -1)]
    assert client.article(sha("3")).title == "涨停"
    assert [article.id for article in client.articles(until=NOON + timedelta(minutes=1), text="full")] == [sha("0")]
    span = {"since": NOON - timedelta(hours=1), "until": NOON + timedelta(hours=1)}
    assert "company:ACME" in {series.series for series in client.series(page=2, **span)}  # type: ignore[arg-type]
    assert sum(point.stories for point in client.mood("company:ACME", **span).points) == 7  # type: ignore[arg-type, misc]
    assert list(client.articles(as_of=NOON - timedelta(days=900))) == []


def test_it_does_what_a_person_does(desk: Desk, client: Client):
    one = alert()
    desk.store.alerts.insert([one])
    save(desk.store, scored("a"))
    assert client.act(one.id, "assigned", "王芳").life.assignee == "王芳"
    assert client.act(one.id, "acknowledged").life.state == "acknowledged"
    assert [found.id for found in client.alerts(state="acknowledged")] == [one.id]
    assert [event.who for event in client.alert(one.id).events] == ["夜班", "夜班"]
    made = client.silence(requests.SilenceIn(series=("topic:*",), ends_at=datetime(2099, 1, 1, tzinfo=UTC), comment="维护"))
    assert [each.id for each in client.silences()] == [made.id]
    assert client.end_silence(made.id).status == "ended"
    assert list(client.silences()) == []
    assert client.label([requests.LabelIn(id=sha("a"), task="sentiment", labels=("negative",))]) == 1
    assert next(client.labels()).author == "夜班"
    assert len(client.classify(["某公司债券违约", "Acme"]).items) == 2
    pushed = client.push([requests.ArticleIn(source="wire", title="某公司债券违约"), requests.ArticleIn(source="wire", title="Acme")])
    assert (pushed.accepted, [article.title for article in desk.pushed]) == (2, ["某公司债券违约", "Acme"])
    assert client.rules()[0].name == "negative-spike"
    assert client.watchlists()[0].series == "watchlist:desk"


def test_a_refusal_says_what_is_wrong(desk: Desk, running: Running, client: Client):
    with pytest.raises(ApiError, match="there is no article 'nobody'") as gone:
        client.article("nobody")
    assert gone.value.status == 404
    with pytest.raises(ApiError) as wrong:
        client.label([requests.LabelIn(id=sha("x"), task="sentiment", labels=("bad",))])
    assert (wrong.value.status, wrong.value.errors[0].field) == (422, "labels[0].id")
    with Client(running.url, "tocsin_wrong") as stranger, pytest.raises(ApiError, match="is not known"):
        next(iter(stranger.articles()))
    running.close()
    with pytest.raises(ApiError, match="no answer from http"):
        client.article("a")


def test_it_comes_again_when_it_is_told_to(store: Store):
    desk, slept = Desk(store, per_minute=2), list[float]()
    with serve(desk.app, "127.0.0.1", 0) as running, Client(running.url, desk.secrets["read"], sleep=slept.append) as client:
        assert len(client.rules()) == len(client.rules()) == 1
        with pytest.raises(ApiError, match="requests a minute") as refused:
            client.rules()
    assert refused.value.status == 429
    assert len(slept) == 3
    assert all(1 <= seconds <= 30 for seconds in slept)


def test_it_listens_and_misses_nothing_when_the_server_is_restarted(store: Store):
    """The second server tells the last seconds once more: the client leaves out what it told already."""
    desk = Desk(store)
    desk.api.feed._poll_s = 0.05
    secret = desk.secrets["read"]
    heard: list[Any] = []
    listening, first, third = threading.Event(), threading.Event(), threading.Event()
    moved: list[Running] = [serve(desk.app, "127.0.0.1", 0)]
    began, port = threading.Event(), moved[0].port

    def nap(_: float) -> None:
        began.wait(20)

    def listen() -> None:
        with Client(f"http://127.0.0.1:{port}", secret, sleep=nap) as client:
            for event in client.stream(on_open=listening.set):
                heard.append(event.data)
                (first if len(heard) == 1 else third if len(heard) == 4 else threading.Event()).set()
                if len(heard) == 4:
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    assert listening.wait(20)
    save(store, news("a"))
    assert first.wait(20)
    moved[0].close()
    save(store, news("b"), news("c"))
    rang = ring("ACME")
    store.alerts.insert([rang])
    again = Desk(store, fresh=False)
    again.api.feed._poll_s = 0.05
    with serve(again.app, "127.0.0.1", port):
        began.set()
        assert third.wait(30)
        thread.join()
    ids = [item.article.id if isinstance(item, types.ScoreEvent) else item.id for item in heard]
    assert ids == [sha("a"), *sorted([sha("b"), sha("c")]), rang.id]
    assert isinstance(heard[-1], Alert)


def test_events_survive_what_is_written_in_them(desk: Desk, client: Client):
    """A title may hold anything; an event is one line."""
    save(desk.store, news("a", title='line\nbreak\r\n\ndata: {"x": 1}\u2028\u2029\x85 🔔'))
    stream = client.stream(last_id=f"{int(datetime.now(UTC).timestamp() * 1e6) - 10**7:x}-s-x-y")
    event = next(stream)
    assert isinstance(event.data, types.ScoreEvent)
    assert event.data.article.title == 'line\nbreak\r\n\ndata: {"x": 1}\u2028\u2029\x85 🔔'
    assert isinstance(desk.api.feed._events[0], Event)
    stream.close()  # type: ignore[attr-defined]
