"""Silences, inhibition and quiet hours delay deliveries, with a real store and a local server."""

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
from stream.delivery.suppression import SuppressionPolicy, Suppressor
from stream.delivery.webhooks import Webhooks
from stream.detection.auto_resolve import AutoResolver
from tests.helpers.webhook_server import WebhookServer

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
"""A Friday; 20:00 in Shanghai."""


class Harness:
    """Two endpoints, a clock, and a scheduler that `restart` replaces."""

    def __init__(self, store: Store, receiver: WebhookServer, **changes: object) -> None:
        hooks = (
            Webhook(url=receiver.url + "/risk", allow_private=True, name="risk"),
            Webhook(url=receiver.url + "/night", allow_private=True, name="night", quiet_hours="none"),
        )
        self.now, self.store, self.receiver = NOON, store, receiver
        self.settings = Settings(webhooks=hooks, **changes)  # type: ignore[arg-type]
        self.webhooks: list[Webhooks] = []
        self.restart()

    def restart(self) -> None:
        self.webhooks.append(Webhooks(self.settings.webhooks, timeout_s=5.0, clock=lambda: self.now))
        suppressor = Suppressor(self.store, SuppressionPolicy.from_settings(self.settings, self.webhooks[-1].labels))
        self.scheduler = DeliveryScheduler(self.webhooks[-1], self.store.alerts, suppressor, lambda: self.now)
        self.resolver = AutoResolver(self.store, self.settings.alert_resolve_after_s)

    def raise_alert(self, series: str, severity: Severity = "warning") -> Alert:
        """Stores a new alert and notifies the endpoints."""
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
        self.scheduler.notify(alert)
        return alert

    def after(self, **time: float) -> list[tuple[str, str]]:
        """Advances the clock; returns (endpoint, series) of what was sent."""
        self.now += timedelta(**time)
        self.resolver.resolve(self.now)
        made = self.scheduler.send_due(self.now)
        found = [self.store.alerts.get(each.alert_id) for each in made]
        return sorted((each.endpoint, alert.series) for each, alert in zip(made, found, strict=True) if alert)

    def received(self, alert: Alert) -> list[str]:
        """The endpoints that received it."""
        return sorted(each.path.rpartition("/")[2] for each in self.receiver.requests if each.headers["webhook-id"] == f"alert_{alert.id}")

    def close(self) -> None:
        for webhooks in self.webhooks:
            webhooks.close()

    def causes(self, alert: Alert) -> dict[str, list[str]]:
        """From endpoint to the causes of suppression."""
        found: dict[str, list[str]] = {}
        for each in self.store.alert_lifecycle.suppressed([alert.id]):
            found.setdefault(each.endpoint, []).append(each.cause)
        return found


@pytest.fixture
def new_harness(alert_store: Store, receiver: WebhookServer) -> Iterator[Callable[..., Harness]]:
    with contextlib.ExitStack() as stack:

        def make(**changes: object) -> Harness:
            return stack.enter_context(contextlib.closing(Harness(alert_store, receiver, **changes)))

        yield make


def test_a_silenced_alert_is_sent_once_after_the_silence(new_harness: Callable[..., Harness]):
    harness = new_harness()
    mute = silence(series=["topic:*"], author="王芳", comment="系统维护", starts_at=NOON, ends_at=NOON + timedelta(hours=2), now=NOON)
    harness.store.silences.add([mute])
    alert, other = harness.raise_alert("topic:credit"), harness.raise_alert("company:AAPL")
    assert (harness.received(alert), harness.received(other)) == ([], ["night", "risk"])
    assert harness.store.alerts.get(alert.id) == alert
    (why, _) = harness.store.alert_lifecycle.suppressed([alert.id])
    assert why.text == "silenced by 王芳 until 2026-11-20 14:00 UTC: 系统维护"
    assert why.owner == mute.id
    harness.restart()
    assert harness.after(minutes=2) == []
    assert harness.scheduler.notify(alert) == [], "received again"
    harness.store.silences.end([mute.id], harness.now, "bob")
    assert harness.after(minutes=2) == [("night", "topic:credit"), ("risk", "topic:credit")]
    harness.restart()
    assert (harness.after(minutes=2), harness.scheduler.notify(alert)) == ([], [])
    assert harness.received(alert) == ["night", "risk"]
    assert harness.causes(alert) == {"night": ["silence"], "risk": ["silence"]}


def test_an_alert_resolved_during_a_silence_is_not_sent(new_harness: Callable[..., Harness]):
    harness = new_harness()
    harness.store.silences.add(
        [silence(series=["*"], author="bob", comment="x", starts_at=NOON, ends_at=NOON + timedelta(hours=9), now=NOON)]
    )
    alert, ongoing = harness.raise_alert("topic:credit"), harness.raise_alert("topic:banks")
    for hours in range(9):
        harness.store.alert_lifecycle.record_breach([ongoing.id], harness.now + timedelta(hours=1))
        assert harness.after(hours=1) == ([] if hours < 8 else [("night", "topic:banks"), ("risk", "topic:banks")])
    assert harness.causes(alert) == {"night": ["silence", "resolved"], "risk": ["silence", "resolved"]}
    assert [each.actor for each in harness.store.alert_lifecycle.events([alert.id, ongoing.id])] == ["tocsin"]
    assert harness.received(alert) == []


def fire_again(harness: Harness, alert: Alert) -> None:
    """The detector sees the series over its threshold."""
    harness.store.alert_lifecycle.record_breach([alert.id], harness.now)


def test_an_alert_that_fires_again_is_sent_again_once(new_harness: Callable[..., Harness]):
    """Resolved by itself twice; each refiring is sent once, with an id of its own, across restarts and with two schedulers."""
    harness = new_harness()
    alert, both = harness.raise_alert("topic:credit"), [("night", "topic:credit"), ("risk", "topic:credit")]
    assert harness.after(minutes=70) == [], "it is resolved"
    for number in (2, 3):
        fire_again(harness, alert)
        other = harness.scheduler
        other.send_due(harness.now)
        harness.restart()
        found = harness.after(minutes=1)
        assert found + harness.after(minutes=1) + harness.after(minutes=1) == both
        harness.restart()
        assert harness.after(minutes=1) == []
        assert other.send_due(harness.now) == []
        made = [each for each in harness.store.alerts.deliveries([alert.id]) if each.endpoint == "risk"]
        assert [(each.attempt, each.first_attempt) for each in made] == [(n, n) for n in range(1, number + 1)]
        assert harness.after(minutes=70) == []
    ids = [each.headers["webhook-id"] for each in harness.receiver.requests if each.path.endswith("/risk")]
    assert ids == [f"alert_{alert.id}", f"alert_{alert.id}_2", f"alert_{alert.id}_3"]


def test_a_failed_delivery_of_an_alert_that_fires_again_is_retried_with_the_same_id(
    new_harness: Callable[..., Harness], receiver: WebhookServer
):
    harness = new_harness()
    alert = harness.raise_alert("topic:credit")
    harness.after(minutes=70)
    fire_again(harness, alert)
    receiver.responses = [500, 500]
    assert len(harness.after(minutes=1)) == 2
    harness.restart()
    assert len(harness.after(seconds=10)) == 2, "the first retry follows after five seconds, as for a new alert"
    assert harness.after(minutes=30) == []
    made = [each for each in harness.store.alerts.deliveries([alert.id]) if each.endpoint == "risk"]
    assert [(each.attempt, each.first_attempt, each.delivered) for each in made] == [(1, 1, True), (2, 2, False), (3, 2, True)]
    ids = [each.headers["webhook-id"] for each in receiver.requests if each.path.endswith("/risk")]
    assert ids == [f"alert_{alert.id}", f"alert_{alert.id}_2", f"alert_{alert.id}_2"]


def test_a_silence_holds_back_an_alert_that_fires_again(new_harness: Callable[..., Harness]):
    harness = new_harness()
    alert = harness.raise_alert("topic:credit")
    harness.after(minutes=70)
    end = harness.now + timedelta(minutes=20)
    mute = silence(series=["topic:*"], author="bob", comment="x", starts_at=harness.now, ends_at=end, now=harness.now)
    harness.store.silences.add([mute])
    fire_again(harness, alert)
    assert harness.after(minutes=5) == []
    assert harness.causes(alert) == {"night": ["silence"], "risk": ["silence"]}
    assert harness.after(minutes=16) == [("night", "topic:credit"), ("risk", "topic:credit")]
    assert harness.after(minutes=5) == []


def test_an_alert_that_was_resolved_during_a_silence_is_sent_when_it_fires_again(new_harness: Callable[..., Harness]):
    harness = new_harness()
    mute = silence(series=["topic:*"], author="bob", comment="x", starts_at=NOON, ends_at=NOON + timedelta(hours=2), now=NOON)
    harness.store.silences.add([mute])
    alert = harness.raise_alert("topic:credit")
    assert harness.after(minutes=70) == []
    assert harness.after(minutes=60) == []
    assert harness.causes(alert)["risk"] == ["silence", "resolved"]
    fire_again(harness, alert)
    assert harness.after(minutes=2) == [("night", "topic:credit"), ("risk", "topic:credit")]
    assert harness.after(minutes=2) == []


def test_an_alert_that_a_person_reopened_is_sent_again(new_harness: Callable[..., Harness]):
    harness = new_harness()
    alert = harness.raise_alert("topic:credit")
    harness.after(minutes=5)
    harness.store.alert_lifecycle.add([event(alert.id, "resolved", "ann", harness.now)])
    assert harness.after(minutes=5) == []
    harness.store.alert_lifecycle.add([event(alert.id, "reopened", "ann", harness.now)])
    assert harness.after(minutes=2) == [("night", "topic:credit"), ("risk", "topic:credit")]
    assert harness.after(minutes=2) == []


def test_a_market_alert_inhibits_its_members_except_critical_ones(new_harness: Callable[..., Harness]):
    harness = new_harness()
    market = harness.raise_alert("market:all")
    member, severe = harness.raise_alert("topic:credit"), harness.raise_alert("topic:banks", "critical")
    assert (harness.received(market), harness.received(member), harness.received(severe)) == (["night", "risk"], [], ["night", "risk"])
    assert [each.owner for each in harness.store.alert_lifecycle.suppressed([member.id])] == [market.id, market.id]
    harness.store.alert_lifecycle.add([event(market.id, "resolved", "王芳", harness.now)])
    assert harness.after(minutes=1) == [("night", "topic:credit"), ("risk", "topic:credit")]
    alone = new_harness(alert_inhibit="")
    alone.raise_alert("market:all")
    assert alone.received(alone.raise_alert("topic:energy")) == ["night", "risk"]


def test_alerts_of_quiet_hours_are_sent_at_their_end_even_if_resolved_automatically(new_harness: Callable[..., Harness]):
    harness = new_harness(quiet_hours="22:00-07:00 Asia/Shanghai")
    assert harness.received(harness.raise_alert("topic:early")) == ["night", "risk"]
    harness.now += timedelta(hours=3)
    alert, handled, severe_alert = (
        harness.raise_alert("topic:credit"),
        harness.raise_alert("topic:banks"),
        harness.raise_alert("topic:energy", "critical"),
    )
    assert (harness.received(alert), harness.received(severe_alert)) == (["night"], ["night", "risk"]), "one endpoint has no quiet hours"
    assert harness.after(hours=2) == []
    harness.store.alert_lifecycle.add([event(handled.id, "resolved", "王芳", harness.now)])
    harness.restart()
    assert harness.after(hours=5, minutes=59) == []
    assert harness.after(minutes=2) == [("risk", "topic:credit")]
    assert harness.causes(handled) == {"risk": ["quiet hours", "resolved"]}
    assert harness.after(minutes=2) == []
    strict = new_harness(quiet_hours="22:00-07:00 Asia/Shanghai", quiet_hours_except="none")
    strict.now += timedelta(hours=3)
    assert strict.received(strict.raise_alert("topic:oil", "critical")) == ["night"]


def test_retries_wait_for_the_end_of_a_silence(new_harness: Callable[..., Harness], receiver: WebhookServer):
    harness = new_harness()
    receiver.responses = [500, 500]
    alert = harness.raise_alert("topic:credit")
    mute = silence(series=["*"], author="bob", comment="x", starts_at=NOON, ends_at=NOON + timedelta(minutes=30), now=NOON)
    harness.store.silences.add([mute])
    assert harness.after(minutes=2) == harness.after(minutes=20) == []
    assert harness.after(minutes=10) == [("night", "topic:credit"), ("risk", "topic:credit")]
    assert [each.attempt for each in harness.store.alerts.deliveries([alert.id])] == [1, 2, 1, 2]


def test_the_end_of_a_silence_is_logged_once_in_advance(new_harness: Callable[..., Harness], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "stream.delivery.suppression._log", log.get_logger("stream.delivery.suppression")
    )  # the old logger may use processors of other tests
    harness = new_harness()
    mute = silence(series=["topic:*"], author="王芳", comment="维护", starts_at=NOON, ends_at=NOON + timedelta(minutes=30), now=NOON)
    harness.store.silences.add([mute])
    with structlog.testing.capture_logs() as lines:
        for _ in range(12):
            harness.after(minutes=2)
    warned = [line for line in lines if line["event"] == "silence_ends_soon"]
    assert [(line["author"], line["log_level"]) for line in warned] == [("王芳", "warning")]


@pytest.mark.parametrize("wrong", [{"quiet_hours": "always"}, {"alert_inhibit": "topic > company"}])
def test_invalid_settings_are_rejected(wrong: dict[str, str]):
    with pytest.raises(UserError):
        SuppressionPolicy.from_settings(msgspec.structs.replace(Settings(), **wrong), ())
