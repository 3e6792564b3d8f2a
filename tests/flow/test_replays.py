"""Replays are sent once, across restarts, with a real store and a local server."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from core.settings import Webhook
from domain.alert_lifecycle import silence
from storage.store import Replay, Store, open_store
from stream.delivery.delivery_scheduler import RETRY_SCHEDULE_S, DeliveryScheduler
from stream.delivery.formats.generic import TEST
from stream.delivery.suppression import SuppressionPolicy, Suppressor
from stream.delivery.webhooks import Webhooks
from tests.helpers.alerts import NOON, topic_alert
from tests.helpers.chat_endpoint import SettableClock
from tests.helpers.servers import ClickHouseServer
from tests.helpers.webhook_server import WebhookServer

NewScheduler = Callable[..., DeliveryScheduler]


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def store(clickhouse_server: ClickHouseServer, tmp_path: Path) -> Iterator[Store]:
    made = open_store(f"{clickhouse_server.address}/c{uuid.uuid4().hex[:8]}", tmp_path)
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def new_scheduler(store: Store, receiver: WebhookServer, clock: SettableClock) -> Iterator[NewScheduler]:
    """Makes a new scheduler over the same store, as a restart does."""
    opened: list[Webhooks] = []

    def make(paused: bool = False, suppressed: bool = False) -> DeliveryScheduler:
        opened.append(Webhooks([Webhook(url=receiver.url, allow_private=True, name="risk", paused=paused)], timeout_s=5.0, clock=clock))
        suppressor = Suppressor(store, SuppressionPolicy()) if suppressed else None
        return DeliveryScheduler(opened[-1], store.alerts, suppressor, clock, replays=store.replays)

    yield make
    for webhooks in opened:
        webhooks.close()


def request_replay(store: Store, after: int, clock: SettableClock, subject: str = "") -> None:
    store.replays.insert([Replay(subject or topic_alert().id, "risk", after, clock(), "Ann")])


def attempts(store: Store) -> list[tuple[int, int]]:
    return [(each.attempt, each.status) for each in store.alerts.deliveries([topic_alert().id])]


@pytest.mark.parametrize("restart", [False, True])
def test_a_replay_of_a_delivered_alert_is_sent_once(
    store: Store,
    receiver: WebhookServer,
    clock: SettableClock,
    new_scheduler: NewScheduler,
    restart: bool,
):
    store.alerts.insert([topic_alert()])
    first = new_scheduler()
    first.notify(topic_alert())
    assert first.send_due(clock()) == []
    clock.now += timedelta(seconds=6)
    request_replay(store, 1, clock)
    request_replay(store, 1, clock)
    second = new_scheduler() if restart else first
    assert [(d.attempt, d.status) for d in second.send_due(clock())] == [(2, 204)]
    clock.now += timedelta(minutes=2)
    assert second.send_due(clock()) == new_scheduler().send_due(clock()) == []
    assert attempts(store) == [(1, 204), (2, 204)]
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1, "receivers can recognise the duplicate"


def test_a_replay_of_an_abandoned_delivery_is_retried(
    store: Store, receiver: WebhookServer, clock: SettableClock, new_scheduler: NewScheduler
):
    store.alerts.insert([topic_alert()])
    receiver.responses = [302, 500, 204]
    scheduler = new_scheduler()
    scheduler.notify(topic_alert())
    clock.now += timedelta(minutes=2)
    assert scheduler.send_due(clock()) == []
    request_replay(store, 1, clock)
    clock.now += timedelta(seconds=6)
    assert [(d.attempt, d.status) for d in scheduler.send_due(clock())] == [(2, 500)]
    clock.now += timedelta(seconds=2 * RETRY_SCHEDULE_S[2])
    assert [(d.attempt, d.status) for d in scheduler.send_due(clock())] == [(3, 204)], "retries follow the schedule"


def test_a_replay_of_a_waiting_delivery_is_sent_once(
    store: Store, receiver: WebhookServer, clock: SettableClock, new_scheduler: NewScheduler
):
    store.alerts.insert([topic_alert()])
    receiver.responses = [500, 500]
    scheduler = new_scheduler()
    scheduler.notify(topic_alert())
    clock.now += timedelta(seconds=6)
    assert [d.attempt for d in scheduler.send_due(clock())] == [2]
    request_replay(store, 2, clock)
    clock.now += timedelta(seconds=6)
    assert [(d.attempt, d.status) for d in scheduler.send_due(clock())] == [(3, 204)]
    clock.now += timedelta(hours=1)
    assert scheduler.send_due(clock()) == []


def test_a_replay_of_a_silenced_alert_waits_for_the_end_of_the_silence(
    store: Store, receiver: WebhookServer, clock: SettableClock, new_scheduler: NewScheduler
):
    store.alerts.insert([topic_alert()])
    scheduler = new_scheduler(suppressed=True)
    scheduler.notify(topic_alert())
    clock.now += timedelta(minutes=1)
    made = silence(
        series=["topic:*"], author="Ann", comment="maintenance", starts_at=clock(), ends_at=clock() + timedelta(minutes=30), now=clock()
    )
    store.silences.add([made])
    request_replay(store, 1, clock)
    assert scheduler.send_due(clock()) == []
    clock.now += timedelta(minutes=31)
    assert [(d.attempt, d.status) for d in scheduler.send_due(clock())] == [(2, 204)]
    clock.now += timedelta(minutes=2)
    assert scheduler.send_due(clock()) == []


def test_a_test_message_reaches_a_paused_endpoint_and_no_removed_one(
    store: Store,
    receiver: WebhookServer,
    clock: SettableClock,
    new_scheduler: NewScheduler,
):
    scheduler = new_scheduler(paused=True)
    assert scheduler.send_due(clock()) == []
    request_replay(store, 0, clock, TEST)
    store.replays.insert([Replay(TEST, "former", 0, NOON, "Ann")])
    clock.now += timedelta(seconds=6)
    assert [(d.alert_id, d.endpoint, d.attempt, d.status) for d in scheduler.send_due(clock())] == [(TEST, "risk", 1, 204)]
    assert b"alert.test" in receiver.requests[0].body
    clock.now += timedelta(minutes=2)
    assert scheduler.send_due(clock()) == new_scheduler(paused=True).send_due(clock()) == []


def test_a_successful_test_enables_an_endpoint_that_was_gone(
    store: Store, receiver: WebhookServer, clock: SettableClock, new_scheduler: NewScheduler
):
    store.alerts.insert([topic_alert(), topic_alert("banks")])
    receiver.responses = [410]
    scheduler = new_scheduler()
    scheduler.notify(topic_alert())
    assert scheduler.notify(topic_alert("banks")) == []
    clock.now += timedelta(seconds=6)
    request_replay(store, 0, clock, TEST)
    assert [d.status for d in scheduler.send_due(clock())] == [204]
    clock.now += timedelta(minutes=2)
    scheduler.send_due(clock())
    assert [d.status for d in scheduler.notify(topic_alert("banks"))] == [204]
