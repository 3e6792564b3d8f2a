"""What people want sent once more is sent by the courier, once, over restarts; a real store and a real server."""

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
from stream.delivery.suppression import Suppressor, SuppressionPolicy
from stream.delivery.webhooks import Webhooks
from tests.flow.test_courier import NOON, Clock, alert
from tests.helpers.webhook_server import WebhookServer
from tests.helpers.servers import ClickHouseServer

Made = Callable[..., DeliveryScheduler]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clickhouse_server: ClickHouseServer, tmp_path: Path) -> Iterator[Store]:
    made = open_store(f"{clickhouse_server.address}/c{uuid.uuid4().hex[:8]}", tmp_path)
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def courier(store: Store, receiver: WebhookServer, clock: Clock) -> Iterator[Made]:
    """A new courier over the same store: what a restart would make."""
    opened: list[Webhooks] = []

    def make(paused: bool = False, gate: bool = False) -> DeliveryScheduler:
        opened.append(Webhooks([Webhook(url=receiver.url, allow_private=True, name="desk", paused=paused)], timeout_s=5.0, clock=clock))
        kept = Suppressor(store, SuppressionPolicy()) if gate else None
        return DeliveryScheduler(opened[-1], store.alerts, kept, clock, replays=store.replays)

    yield make
    for door in opened:
        door.close()


def ask(store: Store, after: int, clock: Clock, subject: str = "") -> None:
    store.replays.ask([Replay(subject or alert().id, "desk", after, clock(), "Ann")])


def attempts(store: Store) -> list[tuple[int, int]]:
    return [(each.attempt, each.status) for each in store.alerts.deliveries([alert().id])]


@pytest.mark.parametrize("restart", [False, True])
def test_what_was_taken_is_sent_once_more_and_only_once(
    store: Store,
    receiver: WebhookServer,
    clock: Clock,
    courier: Made,
    restart: bool,
):
    store.alerts.insert([alert()])
    first = courier()
    first.notify(alert())
    assert first.due(clock()) == []
    clock.now += timedelta(seconds=6)
    ask(store, 1, clock)
    ask(store, 1, clock)
    second = courier() if restart else first
    assert [(d.attempt, d.status) for d in second.due(clock())] == [(2, 204)]
    clock.now += timedelta(minutes=2)
    assert second.due(clock()) == courier().due(clock()) == []
    assert attempts(store) == [(1, 204), (2, 204)]
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1, "who took it can tell that it is the same"


def test_what_was_given_up_is_tried_once_more(store: Store, receiver: WebhookServer, clock: Clock, courier: Made):
    store.alerts.insert([alert()])
    receiver.responses = [302, 500, 204]
    sender = courier()
    sender.notify(alert())
    clock.now += timedelta(minutes=2)
    assert sender.due(clock()) == []
    ask(store, 1, clock)
    clock.now += timedelta(seconds=6)
    assert [(d.attempt, d.status) for d in sender.due(clock())] == [(2, 500)]
    clock.now += timedelta(seconds=2 * RETRY_SCHEDULE_S[2])
    assert [(d.attempt, d.status) for d in sender.due(clock())] == [(3, 204)], "it goes on by the schedule"


def test_what_is_due_later_is_sent_now_and_not_twice(store: Store, receiver: WebhookServer, clock: Clock, courier: Made):
    store.alerts.insert([alert()])
    receiver.responses = [500, 500]
    sender = courier()
    sender.notify(alert())
    clock.now += timedelta(seconds=6)
    assert [d.attempt for d in sender.due(clock())] == [2]
    ask(store, 2, clock)
    clock.now += timedelta(seconds=6)
    assert [(d.attempt, d.status) for d in sender.due(clock())] == [(3, 204)]
    clock.now += timedelta(hours=1)
    assert sender.due(clock()) == []


def test_what_is_silenced_waits_until_it_is_not(store: Store, receiver: WebhookServer, clock: Clock, courier: Made):
    store.alerts.insert([alert()])
    sender = courier(gate=True)
    sender.notify(alert())
    clock.now += timedelta(minutes=1)
    made = silence(
        series=["topic:*"], author="Ann", comment="maintenance", starts_at=clock(), ends_at=clock() + timedelta(minutes=30), now=clock()
    )
    store.silences.add([made])
    ask(store, 1, clock)
    assert sender.due(clock()) == []
    clock.now += timedelta(minutes=31)
    assert [(d.attempt, d.status) for d in sender.due(clock())] == [(2, 204)]
    clock.now += timedelta(minutes=2)
    assert sender.due(clock()) == []


def test_a_test_reaches_what_is_paused_and_what_is_not_in_the_settings_gets_nothing(
    store: Store,
    receiver: WebhookServer,
    clock: Clock,
    courier: Made,
):
    sender = courier(paused=True)
    assert sender.due(clock()) == []
    ask(store, 0, clock, TEST)
    store.replays.ask([Replay(TEST, "former", 0, NOON, "Ann")])
    clock.now += timedelta(seconds=6)
    assert [(d.alert_id, d.endpoint, d.attempt, d.status) for d in sender.due(clock())] == [(TEST, "desk", 1, 204)]
    assert b"alert.test" in receiver.requests[0].body
    clock.now += timedelta(minutes=2)
    assert sender.due(clock()) == courier(paused=True).due(clock()) == []


def test_a_test_that_is_taken_opens_what_was_gone(store: Store, receiver: WebhookServer, clock: Clock, courier: Made):
    store.alerts.insert([alert(), alert("banks")])
    receiver.responses = [410]
    sender = courier()
    sender.notify(alert())
    assert sender.notify(alert("banks")) == []
    clock.now += timedelta(seconds=6)
    ask(store, 0, clock, TEST)
    assert [d.status for d in sender.due(clock())] == [204]
    clock.now += timedelta(minutes=2)
    sender.due(clock())
    assert [d.status for d in sender.notify(alert("banks"))] == [204]
