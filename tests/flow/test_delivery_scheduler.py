"""Retries on the schedule of Standard Webhooks, across restarts, with a real store and local servers."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.records import Evidence
from core.settings import Webhook
from storage.store import Delivery, Store, open_store
from stream.delivery.delivery_scheduler import JITTER, MAX_DELIVERY_AGE, RETRY_SCHEDULE_S, DeliveryScheduler, next_attempt
from stream.delivery.formats.base import is_rate_limited
from stream.delivery.formats.generic import make_test_alert
from stream.delivery.webhooks import Job, Webhooks
from tests.helpers.alerts import topic_alert
from tests.helpers.chat_endpoint import SettableClock
from tests.helpers.chat_servers import WeCom
from tests.helpers.servers import ClickHouseServer
from tests.helpers.webhook_server import WebhookServer

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


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
def new_scheduler(store: Store, receiver: WebhookServer, clock: SettableClock) -> Iterator[Callable[[], DeliveryScheduler]]:
    """Makes a new scheduler over the same store, as a restart does."""
    opened: list[Webhooks] = []

    def make() -> DeliveryScheduler:
        opened.append(Webhooks([Webhook(url=receiver.url, allow_private=True, name="risk")], timeout_s=5.0, clock=clock))
        return DeliveryScheduler(opened[-1], store.alerts)

    yield make
    for webhooks in opened:
        webhooks.close()


def attempt(number: int, status: int = 500, error: str = "HTTP 500", **more: Any) -> Delivery:
    return Delivery(alert_id="a", endpoint="risk", attempt=number, sent_at=NOON, status=status, error=error, **more)


def test_the_retry_schedule_has_a_jitter_that_is_the_same_after_a_restart():
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
def test_deliveries_and_permanent_failures_are_not_retried(last: Delivery):
    assert next_attempt(last) is None


def test_retry_after_extends_the_wait():
    due = next_attempt(attempt(1, 429, "HTTP 429", retry_after_s=120.0))
    assert due == NOON + timedelta(seconds=120)


def test_retries_continue_for_hours_and_after_a_restart(
    store: Store, receiver: WebhookServer, clock: SettableClock, new_scheduler: Callable[[], DeliveryScheduler]
):
    store.alerts.insert([topic_alert()])
    receiver.responses = [500, 503, 500, 500]
    first = new_scheduler()
    assert [(d.attempt, d.status) for d in first.notify(topic_alert())] == [(1, 500)]
    assert first.send_due(clock()) == []
    for number in (2, 3):
        clock.now += timedelta(seconds=RETRY_SCHEDULE_S[number - 1] * (1 + JITTER) + 1)
        assert [d.attempt for d in first.send_due(clock())] == [number]
    second = new_scheduler()
    assert second.notify(topic_alert()) == []  # received again after the restart: the schedule continues
    assert second.send_due(clock()) == []
    for number, status in ((4, 500), (5, 204)):
        clock.now += timedelta(seconds=RETRY_SCHEDULE_S[number - 1] * (1 + JITTER) + 1)
        assert [(d.attempt, d.status) for d in second.send_due(clock())] == [(number, status)]
    clock.now += timedelta(days=2)
    assert second.send_due(clock()) == new_scheduler().send_due(clock()) == []
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert len({request.headers["webhook-timestamp"] for request in receiver.requests}) == 5
    assert len({request.body for request in receiver.requests}) == 1


def test_a_delivery_is_abandoned_after_the_last_attempt(
    store: Store, receiver: WebhookServer, clock: SettableClock, new_scheduler: Callable[[], DeliveryScheduler]
):
    store.alerts.insert([topic_alert()])
    receiver.responses = [500] * 20
    scheduler = new_scheduler()
    scheduler.notify(topic_alert())
    for wait_s in RETRY_SCHEDULE_S[1:]:
        clock.now += timedelta(seconds=wait_s * (1 + JITTER) + 1)
        assert len(scheduler.send_due(clock())) == 1
    clock.now += timedelta(days=1)
    assert scheduler.send_due(clock()) == []
    assert [d.attempt for d in store.alerts.deliveries([topic_alert().id])] == list(range(1, len(RETRY_SCHEDULE_S) + 1))
    assert clock.now - NOON > MAX_DELIVERY_AGE


def test_an_endpoint_that_is_gone_gets_nothing_until_a_test_succeeds(
    store: Store, receiver: WebhookServer, clock: SettableClock, new_scheduler: Callable[[], DeliveryScheduler]
):
    store.alerts.insert([topic_alert(), topic_alert("banks")])
    receiver.responses = [410]
    scheduler = new_scheduler()
    assert [d.status for d in scheduler.notify(topic_alert())] == [410]
    assert scheduler.notify(topic_alert("banks")) == []
    restarted = new_scheduler()
    restarted.send_due(clock())
    assert restarted.notify(topic_alert("banks")) == []
    clock.now += timedelta(minutes=2)
    webhooks = Webhooks([Webhook(url=receiver.url, allow_private=True, name="risk")], clock=clock)
    (tried,) = webhooks.send([Job("risk", make_test_alert(clock()), 1)])
    webhooks.close()
    store.alerts.log_deliveries([tried])
    restarted.send_due(clock())
    assert [d.status for d in restarted.notify(topic_alert("banks"))] == [204]


def test_rate_limited_alerts_are_delivered_after_a_restart_without_using_up_attempts(store: Store, clock: SettableClock):
    """Thirty alerts at once to WeCom, which accepts twenty messages a minute and blocks above that."""
    alerts = [topic_alert(f"t{n}") for n in range(30)]
    store.alerts.insert(alerts)
    with WeCom("", lambda: clock().timestamp()) as chat:
        hook = Webhook(url=chat.url, format="wecom", allow_private=True, name="chat")
        webhooks = Webhooks([hook], clock=clock)
        first = DeliveryScheduler(webhooks, store.alerts)
        made = [delivery for each in alerts for delivery in first.notify(each)]
        assert sum(delivery.delivered for delivery in made) == 20
        assert sum(map(is_rate_limited, made)) == 10
        webhooks.close()
        webhooks = Webhooks([hook], clock=clock)
        second = DeliveryScheduler(webhooks, store.alerts)
        assert second.notify(alerts[-1]) == []  # the log has it as waiting
        clock.now += timedelta(seconds=61)  # the new process does not know what was sent before the restart
        assert [delivery.delivered for delivery in second.send_due(clock())] == [True] * 10
        assert second.send_due(clock()) == []
        webhooks.close()
        assert chat.rejections == [] and len(set(chat.ids)) == len(chat.ids) == 30
    assert {delivery.attempt for each in alerts for delivery in store.alerts.deliveries([each.id])} == {1}


def test_an_alert_of_several_messages_continues_after_a_restart(store: Store, clock: SettableClock):
    articles = [Evidence(id=f"{n}", title="好" * 1000, url="", source="s", published_at=NOON, p_negative=0.9) for n in range(30)]
    long = msgspec.structs.replace(topic_alert(), evidence=tuple(articles))
    store.alerts.insert([long])
    with WeCom("", lambda: clock().timestamp()) as chat:
        hook = Webhook(url=chat.url, format="wecom", allow_private=True, name="chat")
        for restart in range(3):
            webhooks = Webhooks([hook], clock=clock)
            scheduler = DeliveryScheduler(webhooks, store.alerts)
            made = scheduler.send_due(clock()) if restart else scheduler.notify(long)
            clock.now += timedelta(seconds=61)
            webhooks.close()
            if made[-1].delivered:
                break
            assert is_rate_limited(made[-1]) and made[-1].parts_delivered == len(chat.messages) == 20
        assert made[-1].delivered and restart == 1
        assert len(set(chat.ids)) == len(chat.ids) == made[-1].parts_delivered > 20
        assert chat.rejections == []
    (row,) = store.alerts.deliveries([long.id])
    assert (row.attempt, row.parts_delivered, row.delivered) == (1, len(chat.ids), True)


def test_filtered_alerts_are_neither_sent_nor_logged(store: Store, receiver: WebhookServer, clock: SettableClock):
    filters: dict[str, dict[str, Any]] = {
        "all": {}, "critical": {"min_severity": "critical"}, "companies": {"series": ("company:*",)}, "paused": {"paused": True},
        "rule": {"rules": ("r", "s")}, "other": {"rules": ("s",)},
    }  # fmt: skip
    webhooks = Webhooks([Webhook(url=receiver.url, allow_private=True, name=name, **given) for name, given in filters.items()], clock=clock)
    store.alerts.insert([topic_alert()])
    scheduler = DeliveryScheduler(webhooks, store.alerts)
    assert sorted(delivery.endpoint for delivery in scheduler.notify(topic_alert())) == ["all", "rule"]
    assert sorted(delivery.endpoint for delivery in store.alerts.deliveries([topic_alert().id])) == ["all", "rule"]
    assert scheduler.notify(topic_alert()) == scheduler.send_due(clock()) == []
    webhooks.close()


def test_a_paused_endpoint_gets_waiting_alerts_afterwards(store: Store, receiver: WebhookServer, clock: SettableClock):
    store.alerts.insert([topic_alert()])
    receiver.responses = [500]
    for paused, statuses in ((False, [500]), (True, []), (False, [204])):
        webhooks = Webhooks([Webhook(url=receiver.url, allow_private=True, name="risk", paused=paused)], clock=clock)
        scheduler = DeliveryScheduler(webhooks, store.alerts)
        assert [delivery.status for delivery in (scheduler.notify(topic_alert()) or scheduler.send_due(clock()))] == statuses
        clock.now += timedelta(seconds=10)
        webhooks.close()
