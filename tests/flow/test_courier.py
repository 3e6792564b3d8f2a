"""Alerts reach endpoints that are away for hours, over restarts, on the schedule of Standard Webhooks; a real store and a real server."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.records import Alert, Evidence, alert_id
from core.settings import Webhook
from storage.store import Delivery, Store, open_store
from stream.delivery.delivery_scheduler import JITTER, MAX_DELIVERY_AGE, RETRY_SCHEDULE_S, DeliveryScheduler, next_attempt
from stream.delivery.formats.generic import make_test_alert
from stream.delivery.formats.base import is_rate_limited
from stream.delivery.webhooks import Job, Webhooks
from tests.helpers.chat_servers import WeCom
from tests.helpers.webhook_server import WebhookServer
from tests.helpers.servers import ClickHouseServer

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


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
def courier(store: Store, receiver: WebhookServer, clock: Clock) -> Iterator[Callable[[], DeliveryScheduler]]:
    """A new courier over the same store: what a restart would make."""
    opened: list[Webhooks] = []

    def make() -> DeliveryScheduler:
        opened.append(Webhooks([Webhook(url=receiver.url, allow_private=True, name="desk")], timeout_s=5.0, clock=clock))
        return DeliveryScheduler(opened[-1], store.alerts)

    yield make
    for door in opened:
        door.close()


def alert(name: str = "energy", at: datetime = NOON) -> Alert:
    return Alert(
        id=alert_id("r", f"topic:{name}", at),
        rule="r",
        series=f"topic:{name}",
        window_start=at,
        window_s=900,
        detected_at=at,
        severity="warning",
        observed=12,
        expected=0.3,
        surprise=8.1,
        total=15,
        sources=4,
    )


def attempt(number: int, status: int = 500, error: str = "HTTP 500", **more: Any) -> Delivery:
    return Delivery(alert_id="a", endpoint="desk", attempt=number, sent_at=NOON, status=status, error=error, **more)


def test_the_schedule_is_that_of_the_specification_with_a_jitter_that_a_restart_does_not_change():
    for number, wait_s in enumerate(RETRY_SCHEDULE_S[1:], 1):
        due = next_attempt(attempt(number))
        assert due is not None
        assert wait_s <= (due - NOON).total_seconds() <= wait_s * (1 + JITTER)
        assert next_attempt(attempt(number)) == due
    assert next_attempt(attempt(len(RETRY_SCHEDULE_S))) is None
    assert sum(RETRY_SCHEDULE_S) > 3 * 86_400


@pytest.mark.parametrize(
    "last",
    [
        attempt(1, 204, ""),
        attempt(1, 410, "HTTP 410"),
        attempt(1, 302, "HTTP 302: redirects are not followed"),
        attempt(1, 0, "not sent: 10.0.0.1 is a private address"),
    ],
)
def test_what_was_taken_or_can_never_be_is_not_tried_again(last: Delivery):
    assert next_attempt(last) is None


def test_an_endpoint_may_ask_for_a_longer_wait():
    due = next_attempt(attempt(1, 429, "HTTP 429", retry_after_s=120.0))
    assert due == NOON + timedelta(seconds=120)


def test_an_alert_reaches_an_endpoint_that_was_away_for_hours_over_a_restart(
    store: Store, receiver: WebhookServer, clock: Clock, courier: Callable[[], DeliveryScheduler]
):
    store.alerts.insert([alert()])
    receiver.responses = [500, 503, 500, 500]
    first = courier()
    assert [(d.attempt, d.status) for d in first.notify(alert())] == [(1, 500)]
    assert first.due(clock()) == []
    for number in (2, 3):
        clock.now += timedelta(seconds=RETRY_SCHEDULE_S[number - 1] * (1 + JITTER) + 1)
        assert [d.attempt for d in first.due(clock())] == [number]
    second = courier()
    assert second.notify(alert()) == []  # handed on again after the restart: the schedule goes on, it does not begin anew
    assert second.due(clock()) == []
    for number, status in ((4, 500), (5, 204)):
        clock.now += timedelta(seconds=RETRY_SCHEDULE_S[number - 1] * (1 + JITTER) + 1)
        assert [(d.attempt, d.status) for d in second.due(clock())] == [(number, status)]
    clock.now += timedelta(days=2)
    assert second.due(clock()) == courier().due(clock()) == []
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert len({request.headers["webhook-timestamp"] for request in receiver.requests}) == 5
    assert len({request.body for request in receiver.requests}) == 1


def test_after_the_last_attempt_it_is_given_up_and_the_log_has_them_all(
    store: Store, receiver: WebhookServer, clock: Clock, courier: Callable[[], DeliveryScheduler]
):
    store.alerts.insert([alert()])
    receiver.responses = [500] * 20
    sender = courier()
    sender.notify(alert())
    for wait_s in RETRY_SCHEDULE_S[1:]:
        clock.now += timedelta(seconds=wait_s * (1 + JITTER) + 1)
        assert len(sender.due(clock())) == 1
    clock.now += timedelta(days=1)
    assert sender.due(clock()) == []
    assert [d.attempt for d in store.alerts.deliveries([alert().id])] == list(range(1, len(RETRY_SCHEDULE_S) + 1))
    assert clock.now - NOON > MAX_DELIVERY_AGE


def test_an_endpoint_that_is_gone_gets_nothing_until_a_test_is_taken(
    store: Store, receiver: WebhookServer, clock: Clock, courier: Callable[[], DeliveryScheduler]
):
    store.alerts.insert([alert(), alert("banks")])
    receiver.responses = [410]
    sender = courier()
    assert [d.status for d in sender.notify(alert())] == [410]
    assert sender.notify(alert("banks")) == []
    restarted = courier()
    restarted.due(clock())
    assert restarted.notify(alert("banks")) == []
    clock.now += timedelta(minutes=2)
    door = Webhooks([Webhook(url=receiver.url, allow_private=True, name="desk")], clock=clock)
    (tried,) = door.send([Job("desk", make_test_alert(clock()), 1)])
    door.close()
    store.alerts.log([tried])
    restarted.due(clock())
    assert [d.status for d in restarted.notify(alert("banks"))] == [204]


def test_a_chat_that_takes_so_many_a_minute_gets_all_of_them_over_a_restart_and_no_attempt_is_used_up(store: Store, clock: Clock):
    """Thirty alerts at once to WeCom, which takes twenty messages a minute and silences who sends more."""
    alerts = [alert(f"t{n}") for n in range(30)]
    store.alerts.insert(alerts)
    with WeCom("", lambda: clock().timestamp()) as chat:
        hook = Webhook(url=chat.url, format="wecom", allow_private=True, name="chat")
        door = Webhooks([hook], clock=clock)
        first = DeliveryScheduler(door, store.alerts)
        made = [delivery for each in alerts for delivery in first.notify(each)]
        assert sum(delivery.delivered for delivery in made) == 20
        assert sum(map(is_rate_limited, made)) == 10
        door.close()
        door = Webhooks([hook], clock=clock)
        second = DeliveryScheduler(door, store.alerts)
        assert second.notify(alerts[-1]) == []  # it is in the log that it waits
        clock.now += timedelta(seconds=61)  # what was sent before the restart is not known after it; the chat would say so
        assert [delivery.delivered for delivery in second.due(clock())] == [True] * 10
        assert second.due(clock()) == []
        door.close()
        assert chat.rejections == [] and len(set(chat.ids)) == len(chat.ids) == 30
    assert {delivery.attempt for each in alerts for delivery in store.alerts.deliveries([each.id])} == {1}


def test_an_alert_of_several_messages_goes_on_after_those_that_were_taken_over_a_restart(store: Store, clock: Clock):
    words = [Evidence(id=f"{n}", title="好" * 1000, url="", source="s", published_at=NOON, p_negative=0.9) for n in range(30)]
    long = msgspec.structs.replace(alert(), evidence=tuple(words))
    store.alerts.insert([long])
    with WeCom("", lambda: clock().timestamp()) as chat:
        hook = Webhook(url=chat.url, format="wecom", allow_private=True, name="chat")
        for restart in range(3):
            door = Webhooks([hook], clock=clock)
            courier = DeliveryScheduler(door, store.alerts)
            made = courier.due(clock()) if restart else courier.notify(long)
            clock.now += timedelta(seconds=61)
            door.close()
            if made[-1].delivered:
                break
            assert is_rate_limited(made[-1]) and made[-1].parts_delivered == len(chat.messages) == 20
        assert made[-1].delivered and restart == 1
        assert len(set(chat.ids)) == len(chat.ids) == made[-1].parts_delivered > 20
        assert chat.rejections == []
    (row,) = store.alerts.deliveries([long.id])
    assert (row.attempt, row.parts_delivered, row.delivered) == (1, len(chat.ids), True)


def test_what_an_endpoint_does_not_want_is_neither_sent_nor_logged(store: Store, receiver: WebhookServer, clock: Clock):
    filters: dict[str, dict[str, Any]] = {
        "all": {}, "critical": {"min_severity": "critical"}, "companies": {"series": ("company:*",)}, "paused": {"paused": True},
        "rule": {"rules": ("r", "s")}, "other": {"rules": ("s",)},
    }  # fmt: skip
    door = Webhooks([Webhook(url=receiver.url, allow_private=True, name=name, **given) for name, given in filters.items()], clock=clock)
    store.alerts.insert([alert()])
    courier = DeliveryScheduler(door, store.alerts)
    assert sorted(delivery.endpoint for delivery in courier.notify(alert())) == ["all", "rule"]
    assert sorted(delivery.endpoint for delivery in store.alerts.deliveries([alert().id])) == ["all", "rule"]
    assert courier.notify(alert()) == courier.due(clock()) == []
    door.close()


def test_an_endpoint_that_is_paused_while_an_alert_waits_goes_on_with_it_afterwards(store: Store, receiver: WebhookServer, clock: Clock):
    store.alerts.insert([alert()])
    receiver.responses = [500]
    for paused, statuses in ((False, [500]), (True, []), (False, [204])):
        door = Webhooks([Webhook(url=receiver.url, allow_private=True, name="desk", paused=paused)], clock=clock)
        courier = DeliveryScheduler(door, store.alerts)
        assert [delivery.status for delivery in (courier.notify(alert()) or courier.due(clock()))] == statuses
        clock.now += timedelta(seconds=10)
        door.close()
