"""What is silenced, spoken for or in quiet hours waits, with its reason, and goes out once; a real store and a real server."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import structlog

from core import log
from core.errors import UserError
from core.records import Alert, Severity, alert_id
from core.settings import Settings, Webhook
from domain.alert_lifecycle import event, silence
from storage.store import Store
from stream.delivery.delivery_scheduler import DeliveryScheduler
from stream.delivery.suppression import Suppressor, SuppressionPolicy
from stream.delivery.webhooks import Webhooks
from stream.detection.auto_resolve import AutoResolver
from tests.helpers.webhook_server import WebhookServer

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
"""A Friday; 20:00 in Shanghai."""


class Desk:
    """Two endpoints, a clock, and a courier that a restart replaces."""

    def __init__(self, store: Store, receiver: WebhookServer, **changes: object) -> None:
        hooks = (
            Webhook(url=receiver.url + "/risk", allow_private=True, name="risk"),
            Webhook(url=receiver.url + "/night", allow_private=True, name="night", quiet_hours="none"),
        )
        self.now, self.store, self.receiver = NOON, store, receiver
        self.settings = Settings(webhooks=hooks, **changes)  # type: ignore[arg-type]
        self.doors: list[Webhooks] = []
        self.restart()

    def restart(self) -> None:
        self.doors.append(Webhooks(self.settings.webhooks, timeout_s=5.0, clock=lambda: self.now))
        gate = Suppressor(self.store, SuppressionPolicy.from_settings(self.settings, self.doors[-1].labels))
        self.courier = DeliveryScheduler(self.doors[-1], self.store.alerts, gate, lambda: self.now)
        self.resolver = AutoResolver(self.store, self.settings.alert_resolve_after_s)

    def raised(self, series: str, severity: Severity = "warning") -> Alert:
        """An alert that is new now, told of at once."""
        alert = Alert(
            id=alert_id("r", series, self.now),
            rule="r",
            series=series,
            window_start=self.now,
            window_s=900,
            detected_at=self.now,
            severity=severity,
            observed=12,
            expected=0.3,
            surprise=8.1,
            total=15,
            sources=4,
        )
        self.store.alerts.insert([alert])
        self.courier.notify(alert)
        return alert

    def after(self, **time: float) -> list[tuple[str, str]]:
        """(endpoint, series) of what went out when this time had passed, minute by minute at its end."""
        self.now += timedelta(**time)
        self.resolver.resolve(self.now)
        made = self.courier.due(self.now)
        found = [self.store.alerts.get(each.alert_id) for each in made]
        return sorted((each.endpoint, alert.series) for each, alert in zip(made, found, strict=True) if alert)

    def told(self, alert: Alert) -> list[str]:
        """The paths at which it arrived."""
        return sorted(each.path.rpartition("/")[2] for each in self.receiver.requests if each.headers["webhook-id"] == f"alert_{alert.id}")

    def close(self) -> None:
        for door in self.doors:
            door.close()

    def why(self, alert: Alert) -> dict[str, list[str]]:
        """Endpoint to the causes for which it was withheld."""
        found: dict[str, list[str]] = {}
        for each in self.store.alert_lifecycle.suppressed([alert.id]):
            found.setdefault(each.endpoint, []).append(each.cause)
        return found


@pytest.fixture
def desk(alert_store: Store, receiver: WebhookServer) -> Iterator[Callable[..., Desk]]:
    with contextlib.ExitStack() as stack:

        def make(**changes: object) -> Desk:
            return stack.enter_context(contextlib.closing(Desk(alert_store, receiver, **changes)))

        yield make


def test_a_silenced_alert_is_stored_and_goes_out_once_when_the_silence_is_over(desk: Callable[..., Desk]):
    on = desk()
    hush = silence(series=["topic:*"], author="王芳", comment="系统维护", starts_at=NOON, ends_at=NOON + timedelta(hours=2), now=NOON)
    on.store.silences.add([hush])
    alert, other = on.raised("topic:credit"), on.raised("company:AAPL")
    assert (on.told(alert), on.told(other)) == ([], ["night", "risk"])
    assert on.store.alerts.get(alert.id) == alert
    (why, _) = on.store.alert_lifecycle.suppressed([alert.id])
    assert why.text == "silenced by 王芳 until 2026-11-20 14:00 UTC: 系统维护"
    assert why.owner == hush.id
    on.restart()
    assert on.after(minutes=2) == []
    assert on.courier.notify(alert) == [], "a replay"
    on.store.silences.end([hush.id], on.now, "bob")
    assert on.after(minutes=2) == [("night", "topic:credit"), ("risk", "topic:credit")]
    on.restart()
    assert (on.after(minutes=2), on.courier.notify(alert)) == ([], [])
    assert on.told(alert) == ["night", "risk"]
    assert on.why(alert) == {"night": ["silence"], "risk": ["silence"]}


def test_what_is_over_before_the_silence_is_not_told_of_any_more(desk: Callable[..., Desk]):
    on = desk()
    on.store.silences.add([silence(series=["*"], author="bob", comment="x", starts_at=NOON, ends_at=NOON + timedelta(hours=9), now=NOON)])
    alert, lasting = on.raised("topic:credit"), on.raised("topic:banks")
    for hours in range(9):
        on.store.alert_lifecycle.record_breach([lasting.id], on.now + timedelta(hours=1))
        assert on.after(hours=1) == ([] if hours < 8 else [("night", "topic:banks"), ("risk", "topic:banks")])
    assert on.why(alert) == {"night": ["silence", "resolved"], "risk": ["silence", "resolved"]}
    assert [each.actor for each in on.store.alert_lifecycle.events([alert.id, lasting.id])] == ["tocsin"]
    assert on.told(alert) == []


def test_the_market_speaks_for_its_members_but_not_for_the_most_severe(desk: Callable[..., Desk]):
    on = desk()
    market = on.raised("market:all")
    member, severe = on.raised("topic:credit"), on.raised("topic:banks", "critical")
    assert (on.told(market), on.told(member), on.told(severe)) == (["night", "risk"], [], ["night", "risk"])
    assert [each.owner for each in on.store.alert_lifecycle.suppressed([member.id])] == [market.id, market.id]
    on.store.alert_lifecycle.add([event(market.id, "resolved", "王芳", on.now)])
    assert on.after(minutes=1) == [("night", "topic:credit"), ("risk", "topic:credit")]
    alone = desk(alert_inhibit="")
    alone.raised("market:all")
    assert alone.told(alone.raised("topic:energy")) == ["night", "risk"]


def test_what_comes_in_quiet_hours_is_told_when_they_end_though_it_is_over(desk: Callable[..., Desk]):
    on = desk(quiet_hours="22:00-07:00 Asia/Shanghai")
    assert on.told(on.raised("topic:early")) == ["night", "risk"]
    on.now += timedelta(hours=3)
    alert, handled, flash = on.raised("topic:credit"), on.raised("topic:banks"), on.raised("topic:energy", "critical")
    assert (on.told(alert), on.told(flash)) == (["night"], ["night", "risk"]), "one endpoint has no quiet hours"
    assert on.after(hours=2) == []
    on.store.alert_lifecycle.add([event(handled.id, "resolved", "王芳", on.now)])
    on.restart()
    assert on.after(hours=5, minutes=59) == []
    assert on.after(minutes=2) == [("risk", "topic:credit")]
    assert on.why(handled) == {"risk": ["quiet hours", "resolved"]}
    assert on.after(minutes=2) == []
    strict = desk(quiet_hours="22:00-07:00 Asia/Shanghai", quiet_hours_except="none")
    strict.now += timedelta(hours=3)
    assert strict.told(strict.raised("topic:oil", "critical")) == ["night"]


def test_an_attempt_that_failed_waits_for_the_silence_too_and_goes_on_after_it(desk: Callable[..., Desk], receiver: WebhookServer):
    on = desk()
    receiver.responses = [500, 500]
    alert = on.raised("topic:credit")
    hush = silence(series=["*"], author="bob", comment="x", starts_at=NOON, ends_at=NOON + timedelta(minutes=30), now=NOON)
    on.store.silences.add([hush])
    assert on.after(minutes=2) == on.after(minutes=20) == []
    assert on.after(minutes=10) == [("night", "topic:credit"), ("risk", "topic:credit")]
    assert [each.attempt for each in on.store.alerts.deliveries([alert.id])] == [1, 2, 1, 2]


def test_that_a_silence_ends_soon_is_said_once(desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "stream.delivery.suppression._log", log.get_logger("stream.delivery.suppression")
    )  # the one before may hold on to processors of other tests
    on = desk()
    hush = silence(series=["topic:*"], author="王芳", comment="维护", starts_at=NOON, ends_at=NOON + timedelta(minutes=30), now=NOON)
    on.store.silences.add([hush])
    with structlog.testing.capture_logs() as said:
        for _ in range(12):
            on.after(minutes=2)
    warned = [line for line in said if line["event"] == "silence ends soon"]
    assert [(line["author"], line["log_level"]) for line in warned] == [("王芳", "warning")]


@pytest.mark.parametrize("wrong", [{"quiet_hours": "always"}, {"alert_inhibit": "topic > company"}])
def test_settings_that_cannot_be_are_refused_at_the_start(wrong: dict[str, str]):
    with pytest.raises(UserError):
        SuppressionPolicy.from_settings(msgspec.structs.replace(Settings(), **wrong), ())
