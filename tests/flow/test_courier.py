"""Alerts reach endpoints that are away for hours, over restarts, on the schedule of Standard Webhooks; a real store and a real server."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from spine.records import Alert, alert_id
from spine.settings import Webhook
from spine.store import Delivery, Store, open_store
from stream.courier import JITTER, REACH, SCHEDULE_S, Courier, next_attempt
from stream.formats.generic import trial
from stream.resilience import Patience
from stream.webhooks import Job, Webhooks
from tests.flow.worker_tools import Receiver
from tests.servers import ClickHouseServer

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
def courier(store: Store, receiver: Receiver, clock: Clock) -> Iterator[Callable[[], Courier]]:
    """A new courier over the same store: what a restart would make."""
    opened: list[Webhooks] = []

    def make() -> Courier:
        opened.append(Webhooks([Webhook(url=receiver.url, allow_private=True, name="desk")], timeout_s=5.0, clock=clock))
        return Courier(opened[-1], store.alerts, Patience())

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
        severity="urgent",
        observed=12,
        expected=0.3,
        surprise=8.1,
        total=15,
        sources=4,
    )


def attempt(number: int, status: int = 500, error: str = "HTTP 500", **more: float) -> Delivery:
    return Delivery(alert_id="a", endpoint="desk", attempt=number, sent_at=NOON, status=status, error=error, **more)


def test_the_schedule_is_that_of_the_specification_with_a_jitter_that_a_restart_does_not_change():
    for number, wait_s in enumerate(SCHEDULE_S[1:], 1):
        due = next_attempt(attempt(number))
        assert due is not None
        assert wait_s <= (due - NOON).total_seconds() <= wait_s * (1 + JITTER)
        assert next_attempt(attempt(number)) == due
    assert next_attempt(attempt(len(SCHEDULE_S))) is None
    assert sum(SCHEDULE_S) > 3 * 86_400


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
    store: Store, receiver: Receiver, clock: Clock, courier: Callable[[], Courier]
):
    store.alerts.insert([alert()])
    receiver.answers = [500, 503, 500, 500]
    first = courier()
    assert [(d.attempt, d.status) for d in first.notify(alert())] == [(1, 500)]
    assert first.due(clock()) == []
    for number in (2, 3):
        clock.now += timedelta(seconds=SCHEDULE_S[number - 1] * (1 + JITTER) + 1)
        assert [d.attempt for d in first.due(clock())] == [number]
    second = courier()
    assert second.notify(alert()) == []  # handed on again after the restart: the schedule goes on, it does not begin anew
    assert second.due(clock()) == []
    for number, status in ((4, 500), (5, 204)):
        clock.now += timedelta(seconds=SCHEDULE_S[number - 1] * (1 + JITTER) + 1)
        assert [(d.attempt, d.status) for d in second.due(clock())] == [(number, status)]
    clock.now += timedelta(days=2)
    assert second.due(clock()) == courier().due(clock()) == []
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert len({request.headers["webhook-timestamp"] for request in receiver.requests}) == 5
    assert len({request.body for request in receiver.requests}) == 1


def test_after_the_last_attempt_it_is_given_up_and_the_log_has_them_all(
    store: Store, receiver: Receiver, clock: Clock, courier: Callable[[], Courier]
):
    store.alerts.insert([alert()])
    receiver.answers = [500] * 20
    sender = courier()
    sender.notify(alert())
    for wait_s in SCHEDULE_S[1:]:
        clock.now += timedelta(seconds=wait_s * (1 + JITTER) + 1)
        assert len(sender.due(clock())) == 1
    clock.now += timedelta(days=1)
    assert sender.due(clock()) == []
    assert [d.attempt for d in store.alerts.deliveries([alert().id])] == list(range(1, len(SCHEDULE_S) + 1))
    assert clock.now - NOON > REACH


def test_an_endpoint_that_is_gone_gets_nothing_until_a_test_is_taken(
    store: Store, receiver: Receiver, clock: Clock, courier: Callable[[], Courier]
):
    store.alerts.insert([alert(), alert("banks")])
    receiver.answers = [410]
    sender = courier()
    assert [d.status for d in sender.notify(alert())] == [410]
    assert sender.notify(alert("banks")) == []
    restarted = courier()
    restarted.due(clock())
    assert restarted.notify(alert("banks")) == []
    clock.now += timedelta(minutes=2)
    door = Webhooks([Webhook(url=receiver.url, allow_private=True, name="desk")], clock=clock)
    (tried,) = door.send([Job("desk", trial(clock()), 1)])
    door.close()
    store.alerts.log([tried])
    restarted.due(clock())
    assert [d.status for d in restarted.notify(alert("banks"))] == [204]
