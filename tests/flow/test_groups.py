"""Groups, repetitions, resolved notices and digests are sent once, across restarts, with a real store and a local server."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from core.records import Alert, Severity, alert_id
from core.settings import Settings, Webhook
from domain.alert_lifecycle import Silence, event, silence
from models.inference.keyword import KeywordClassifier
from storage.store import Store
from stream.delivery.delivery_scheduler import RETRY_SCHEDULE_S, DeliveryScheduler
from stream.delivery.group_planner import GroupPlanner
from stream.delivery.suppression import SuppressionPolicy, Suppressor
from stream.delivery.webhooks import Webhooks
from stream.detection.auto_resolve import AutoResolver
from stream.worker.pipeline import Pipeline
from tests.helpers.chat_servers import WeCom
from tests.helpers.webhook_server import WebhookServer

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
"""A Friday; 20:00 in Shanghai."""
GROUPED: dict[str, Any] = {"group_wait_s": 30.0, "group_interval_s": 300.0, "repeat_interval_s": 4 * 3600.0}


class Harness:
    """One endpoint, a clock, and a scheduler that `restart` replaces."""

    def __init__(self, store: Store, receiver: WebhookServer, quiet: str = "", **hook: Any) -> None:
        self.now, self.store, self.receiver = NOON, store, receiver
        given: dict[str, Any] = {"url": receiver.url, "allow_private": True, "name": "risk"} | hook
        self.quiet, self.hook = quiet, Webhook(**given)
        self.webhooks: list[Webhooks] = []
        self.restart()

    def restart(self, **changes: Any) -> None:
        self.hook = msgspec.structs.replace(self.hook, **changes)
        settings = Settings(webhooks=(self.hook,), quiet_hours=self.quiet)
        self.webhooks.append(Webhooks(settings.webhooks, clock=lambda: self.now))
        suppressor = Suppressor(self.store, SuppressionPolicy.from_settings(settings, self.webhooks[-1].labels))
        self.planner = GroupPlanner(self.store, suppressor, self.webhooks[-1].groupings)
        self.scheduler = DeliveryScheduler(self.webhooks[-1], self.store.alerts, suppressor, lambda: self.now, self.planner)
        self.resolver = AutoResolver(self.store, settings.alert_resolve_after_s)

    def raise_alert(self, series: str, severity: Severity = "warning") -> Alert:
        """Stores a new alert and notifies the endpoint."""
        alert = self.store_alert(series, severity)
        self.scheduler.notify(alert)
        return alert

    def store_alert(self, series: str, severity: Severity = "warning") -> Alert:
        given: dict[str, Any] = {"observed": 12, "expected": 0.3, "surprise": 8.1, "total": 15, "sources": 4, "rule": "r", "window_s": 900}
        ident = alert_id("r", series, self.now)
        alert = Alert(id=ident, series=series, window_start=self.now, detected_at=self.now, severity=severity, **given)
        self.store.alerts.insert([alert])
        return alert

    def after(self, *, step_s: float = 60.0, **time: float) -> list[tuple[str, list[str], list[str]]]:
        """Advances the clock; returns type, firing series and resolved series of each message received."""
        until, before = self.now + timedelta(**time), len(self.receiver.requests)
        while self.now < until:
            self.now = min(self.now + timedelta(seconds=step_s), until)
            self.resolver.resolve(self.now)
            self.scheduler.send_due(self.now)
        return [self._summary(json.loads(request.body)) for request in self.receiver.requests[before:]]

    @staticmethod
    def _summary(body: dict[str, Any]) -> tuple[str, list[str], list[str]]:
        if body["type"] == "alert.firing":
            return "alert.firing", [body["data"]["series"]], []
        alerts = body["data"]["alerts"]
        firing, resolved = ([each["series"] for each in alerts if each["status"] == state] for state in ("firing", "resolved"))
        assert (len(firing), len(resolved)) == (body["data"]["firing"], body["data"]["resolved"])
        return body["type"], sorted(firing), sorted(resolved)

    def silence(self, series: str, until: datetime) -> Silence:
        return silence(series=[series], author="bob", comment="x", starts_at=self.now, ends_at=until, now=self.now)

    def epoch(self) -> float:
        return self.now.timestamp()

    @property
    def ids(self) -> list[str]:
        return [request.headers["webhook-id"] for request in self.receiver.requests]

    def close(self) -> None:
        for webhooks in self.webhooks:
            webhooks.close()

    def causes(self, alert: Alert) -> list[str]:
        return [each.cause for each in self.store.alert_lifecycle.suppressed([alert.id])]


@pytest.fixture
def new_harness(alert_store: Store, receiver: WebhookServer) -> Iterator[Callable[..., Harness]]:
    with contextlib.ExitStack() as stack:

        def make(**hook: Any) -> Harness:
            return stack.enter_context(contextlib.closing(Harness(alert_store, receiver, **hook)))

        yield make


SERIES = ["company:600519.SH", "topic:banks", "topic:credit", "topic:energy", "topic:旅游"]


def test_a_burst_is_one_message_and_later_alerts_are_sent_at_the_next_interval(new_harness: Callable[..., Harness]):
    harness = new_harness(**GROUPED)
    burst = [harness.raise_alert(series) for series in SERIES]
    assert harness.after(seconds=29, step_s=1) == []
    assert harness.after(seconds=2, step_s=1) == [("alerts.group", SERIES, [])]
    (group,) = harness.store.alert_groups.of([burst[0].id])
    assert harness.ids == [f"group_{group.id}"]
    assert [(each.alert_id, each.delivered) for each in harness.store.deliveries_of(burst[3].id)] == [(group.subject, True)]
    assert harness.causes(burst[0]) == ["group"]
    harness.raise_alert("topic:late")
    assert harness.after(seconds=298, step_s=5) == []
    assert harness.after(seconds=10, step_s=5) == [("alerts.group", sorted([*SERIES, "topic:late"]), [])]
    assert [each["new"] for each in json.loads(harness.receiver.requests[-1].body)["data"]["alerts"]].count(True) == 1


def test_groups_are_separated_by_group_by(new_harness: Callable[..., Harness]):
    harness = new_harness(**GROUPED, group_by=("severity",))
    for series, severity in (("topic:banks", "critical"), ("topic:credit", "warning"), ("topic:energy", "critical")):
        harness.raise_alert(series, severity)  # type: ignore[arg-type]
    sent = harness.after(minutes=1)
    assert sorted(sent) == [("alerts.group", ["topic:banks", "topic:energy"], []), ("alerts.group", ["topic:credit"], [])]


def test_a_restart_at_any_stage_of_a_group_sends_it_once(new_harness: Callable[..., Harness]):
    harness = new_harness(**GROUPED)
    first = harness.raise_alert("topic:banks")
    harness.restart()
    assert harness.scheduler.notify(first) == [], "received again"
    harness.now += timedelta(seconds=10)
    harness.raise_alert("topic:credit")
    harness.now += timedelta(seconds=25)
    (planned,) = harness.planner.plan(harness.now, lambda *_: True)  # stored but not sent: the process ends here
    harness.now += timedelta(seconds=7)
    harness.raise_alert("topic:later")
    harness.restart()
    assert harness.after(seconds=1) == [("alerts.group", ["topic:banks", "topic:credit"], [])]
    harness.restart()
    assert harness.scheduler.notify(first) == []
    assert harness.after(seconds=60, step_s=10) == []
    assert harness.ids == [f"group_{planned.id}"]


def test_a_group_is_retried_with_the_same_id_and_body(new_harness: Callable[..., Harness], receiver: WebhookServer):
    harness = new_harness(**GROUPED)
    receiver.responses = [500, 503]
    alerts = [harness.raise_alert("topic:banks"), harness.raise_alert("topic:credit")]
    assert len(harness.after(seconds=40, step_s=1)) == 2
    harness.store.alert_lifecycle.add([event(alerts[0].id, "acknowledged", "王芳", harness.now)])
    harness.restart()
    assert len(harness.after(seconds=RETRY_SCHEDULE_S[2] * 1.2)) == 1
    assert len(set(harness.ids)) == 1
    assert len({request.body for request in receiver.requests}) == 1
    assert [each.attempt for each in harness.store.deliveries_of(alerts[1].id)] == [1, 2, 3]


def test_a_retry_of_a_group_waits_only_if_all_its_firing_alerts_are_silenced(new_harness: Callable[..., Harness], receiver: WebhookServer):
    harness = new_harness(**GROUPED)
    receiver.responses = [500, 500]
    harness.raise_alert("topic:banks")
    harness.raise_alert("topic:credit")
    harness.after(seconds=31, step_s=31)
    first = silence(
        series=["topic:banks"], author="bob", comment="x", starts_at=harness.now, ends_at=NOON + timedelta(hours=2), now=harness.now
    )
    harness.store.silences.add([first])
    assert len(harness.after(seconds=6, step_s=6)) == 1, "the second attempt, as one of two alerts is not silenced"
    other = silence(
        series=["topic:credit"], author="bob", comment="x", starts_at=harness.now, ends_at=NOON + timedelta(hours=1), now=harness.now
    )
    harness.store.silences.add([other])
    assert harness.after(minutes=59, step_s=300) == []
    assert harness.after(minutes=2) == [("alerts.group", ["topic:banks", "topic:credit"], [])]
    assert len({request.body for request in receiver.requests}) == 1


def test_a_resolution_is_sent_once_and_not_for_alerts_never_sent(new_harness: Callable[..., Harness]):
    harness = new_harness(**GROUPED | {"send_resolved": True})
    brief, alert, other = harness.raise_alert("topic:brief"), harness.raise_alert("topic:banks"), harness.raise_alert("topic:credit")
    harness.store.alert_lifecycle.add([event(brief.id, "resolved", "bob", harness.now + timedelta(seconds=5))])
    harness.now += timedelta(seconds=6)
    assert harness.after(minutes=1) == [("alerts.group", ["topic:banks", "topic:credit"], [])]
    assert harness.causes(brief) == ["group", "resolved"]
    harness.store.alert_lifecycle.add([event(alert.id, "resolved", "王芳", harness.now)])
    assert harness.after(minutes=6) == [("alerts.group", ["topic:credit"], ["topic:banks"])]
    body = json.loads(harness.receiver.requests[-1].body)["data"]["alerts"]
    assert [each["resolved_at"] for each in body if each["status"] == "resolved"] == ["2026-11-20T12:01:06.000Z"]
    harness.restart()
    harness.store.alert_lifecycle.record_breach([other.id], harness.now)
    assert harness.after(hours=2, step_s=600) == [("alerts.group", [], ["topic:credit"])], "an hour after its last breach"
    assert harness.after(hours=6, step_s=3600) == []


@pytest.mark.parametrize("hook", [{"group_wait_s": 30.0}, GROUPED, {"repeat_interval_s": 7 * 86_400.0}])
def test_an_alert_that_fires_again_is_new_in_a_group(new_harness: Callable[..., Harness], hook: dict[str, Any]):
    """It fires at 0, is resolved at 60, and fires at 180 minutes: it is sent at 0 and at 180, across restarts."""
    harness = new_harness(**hook)
    alert = harness.raise_alert("topic:credit")
    assert harness.after(minutes=2) == [("alerts.group", ["topic:credit"], [])]
    assert harness.after(minutes=178) == []
    harness.store.alert_lifecycle.record_breach([alert.id], harness.now)
    harness.restart()
    other = harness.scheduler
    harness.restart()
    assert harness.after(minutes=2) == [("alerts.group", ["topic:credit"], [])]
    other.send_due(harness.now)
    assert json.loads(harness.receiver.requests[-1].body)["data"]["alerts"][0]["new"] is True
    harness.restart()
    assert harness.after(minutes=30) == []
    assert len(set(harness.ids)) == len(harness.ids) == 2


def test_firing_alerts_are_repeated_until_acknowledged(new_harness: Callable[..., Harness]):
    harness = new_harness(repeat_interval_s=3600.0)
    alert, other = harness.raise_alert("topic:banks"), harness.raise_alert("topic:credit")
    one: tuple[str, list[str], list[str]] = ("alerts.group", ["topic:banks"], [])
    assert harness.after(seconds=1) == [one, ("alerts.group", ["topic:credit"], [])], "each alone and at once"
    harness.store.alert_lifecycle.add([event(other.id, "acknowledged", "王芳", harness.now)])
    received = []
    for _ in range(5):
        harness.store.alert_lifecycle.record_breach([alert.id], harness.now)
        received += harness.after(minutes=30, step_s=300)
    assert received == [one, one]
    harness.store.alert_lifecycle.add([event(alert.id, "acknowledged", "bob", harness.now)])
    harness.store.alert_lifecycle.record_breach([alert.id], harness.now)
    assert harness.after(hours=2, step_s=600) == []
    assert len(set(harness.ids)) == 4


def test_a_digest_is_sent_at_its_time_with_all_alerts(new_harness: Callable[..., Harness]):
    """Noon in UTC is 20:00 in Shanghai, twelve hours before the digest."""
    harness = new_harness(digest="08:00 Asia/Shanghai")
    first = harness.raise_alert("topic:banks", "critical")
    harness.store.alert_lifecycle.record_breach([first.id], harness.now)
    assert harness.after(hours=5, step_s=3600) == [], "resolved by now"
    harness.raise_alert("topic:credit", "info")
    harness.now += timedelta(minutes=1)
    harness.raise_alert("topic:banks")
    harness.restart()
    assert harness.after(hours=6, minutes=58, step_s=3600) == []
    quiet = harness.raise_alert("topic:energy", "info")
    assert harness.after(minutes=1) == [("alerts.digest", ["topic:energy"], ["topic:banks", "topic:banks", "topic:credit"])]
    body = json.loads(harness.receiver.requests[-1].body)
    assert [each["series"] for each in body["data"]["alerts"]] == ["topic:banks", "topic:banks", "topic:credit", "topic:energy"]
    assert body["timestamp"] == "2026-11-21T00:00:00.000Z"
    harness.restart()
    assert harness.after(hours=24, minutes=1, step_s=3600) == [], "no new alerts"
    assert harness.causes(quiet) == ["digest"]
    (why, *_) = harness.store.alert_lifecycle.suppressed([quiet.id])
    assert why.text == "waits for the digest of 2026-11-21 00:00 UTC"
    harness.raise_alert("topic:market")
    assert harness.after(hours=24, step_s=3600) == [("alerts.digest", [], ["topic:market"])]


def test_a_silenced_alert_joins_the_group_later_and_groups_wait_in_quiet_hours(new_harness: Callable[..., Harness]):
    """23:00 in Shanghai is 15:00 in UTC."""
    harness = new_harness(**GROUPED | {"repeat_interval_s": 600.0}, quiet="23:00-07:00 Asia/Shanghai")
    until = NOON + timedelta(minutes=20)
    mute = silence(series=["topic:banks"], author="王芳", comment="维护", starts_at=NOON, ends_at=until, now=NOON)
    harness.store.silences.add([mute])
    silenced, alert = harness.raise_alert("topic:banks"), harness.raise_alert("topic:credit")
    assert harness.after(minutes=1) == [("alerts.group", ["topic:credit"], [])]
    harness.store.alert_lifecycle.add([event(alert.id, "acknowledged", "bob", harness.now)])
    assert harness.after(minutes=18, seconds=58) == []
    assert harness.after(minutes=6) == [("alerts.group", ["topic:banks", "topic:credit"], [])]
    assert harness.causes(silenced) == ["group", "silence"]
    harness.now = NOON + timedelta(hours=3)
    asleep, severe = harness.raise_alert("topic:energy"), harness.raise_alert("topic:oil", "critical")
    assert harness.after(minutes=1) == [("alerts.group", ["topic:oil"], [])], "critical alerts are sent, and nothing else is repeated"
    harness.store.alert_lifecycle.add([event(severe.id, "acknowledged", "bob", harness.now)])
    for _ in range(8):
        harness.store.alert_lifecycle.record_breach([severe.id], harness.now)
        assert harness.after(minutes=59, step_s=600) == []
    harness.store.alert_lifecycle.record_breach([severe.id], harness.now)
    ((kind, firing, resolved),) = harness.after(minutes=10)
    assert (kind, firing, resolved) == ("alerts.group", ["topic:oil"], ["topic:energy"]), "alerts of the night are sent even if resolved"
    assert harness.causes(asleep) == ["group", "quiet hours"]


def test_an_alert_is_sent_once_across_changes_of_settings(new_harness: Callable[..., Harness]):
    harness = new_harness()
    alone = harness.raise_alert("topic:alone")
    harness.restart(**GROUPED)
    assert harness.scheduler.notify(alone) == []
    grouped = harness.raise_alert("topic:grouped")
    assert harness.after(minutes=1) == [("alerts.group", ["topic:grouped"], [])]
    waiting = harness.raise_alert("topic:waiting")
    harness.restart(digest="hourly", group_wait_s=0.0, repeat_interval_s=0.0)
    assert harness.after(minutes=59) == [("alerts.digest", ["topic:waiting"], [])]
    last = harness.raise_alert("topic:last")
    harness.restart(digest="")
    assert harness.after(minutes=2) == [("alert.firing", ["topic:last"], [])]
    assert [harness.scheduler.notify(each) for each in (alone, grouped, waiting, last)] == [[]] * 4
    assert len(harness.ids) == 4


def test_a_group_of_several_messages_continues_after_those_accepted(new_harness: Callable[..., Harness]):
    """Seventy alerts fill more than twenty messages, the limit of WeCom per minute."""
    harness = new_harness(**GROUPED, format="wecom", language="zh")
    with WeCom("", harness.epoch) as chat:
        harness.restart(url=chat.url)
        for n in range(70):
            alert = harness.raise_alert(f"topic:{n}{'长' * 280}")
        harness.after(seconds=40, step_s=5)
        (first,) = harness.store.deliveries_of(alert.id)
        assert first.parts_delivered == len(chat.messages) == 20 and not first.delivered
        harness.now += timedelta(seconds=61)  # the new process does not know what was sent before the restart
        harness.restart()
        harness.after(minutes=2, step_s=10)
        (row,) = harness.store.deliveries_of(alert.id)
        assert row.delivered and row.parts_delivered == len(chat.messages) > 20
        assert chat.rejections == [] and len(set(chat.ids)) == len(chat.ids)
        heads = [lines[0] for lines in chat.messages]
        assert heads[0].startswith("【警告】70 条告警：") and heads[-1].endswith(f"({len(heads)}/{len(heads)})")
        received = "".join(line for lines in chat.messages for line in lines[1:])
        assert all(f"{n}长" in received for n in range(70))


def test_alerts_during_a_pause_are_not_sent_afterwards(new_harness: Callable[..., Harness]):
    harness = new_harness(**GROUPED, paused=True)
    harness.raise_alert("topic:missed")
    harness.restart(paused=False)
    harness.raise_alert("topic:new")
    assert harness.after(minutes=1) == [("alerts.group", ["topic:new"], [])]


def test_a_resolution_waits_for_the_end_of_quiet_hours(new_harness: Callable[..., Harness]):
    harness = new_harness(group_wait_s=30.0, send_resolved=True, quiet="21:00-07:00 Asia/Shanghai")
    alert = harness.raise_alert("topic:banks")
    assert harness.after(minutes=1) == [("alerts.group", ["topic:banks"], [])]
    harness.now = NOON + timedelta(hours=1)
    harness.store.alert_lifecycle.add([event(alert.id, "resolved", "王芳", harness.now)])
    assert harness.after(hours=9, minutes=59, step_s=3600) == []
    assert harness.after(minutes=2) == [("alerts.group", [], ["topic:banks"])]


def test_the_pipeline_plans_and_sends_groups(new_harness: Callable[..., Harness], receiver: WebhookServer):
    harness = new_harness()
    hook = Webhook(url=receiver.url, allow_private=True, name="risk", group_wait_s=30.0)
    harness.now = datetime.now(UTC)
    pipeline = Pipeline.from_settings(Settings(webhooks=(hook,)), harness.store, KeywordClassifier())
    for series in ("topic:banks", "topic:credit"):
        pipeline.notify(harness.store_alert(series))
    assert pipeline.send_due(harness.now + timedelta(seconds=20)) == []
    (made,) = pipeline.send_due(harness.now + timedelta(seconds=40))
    pipeline.close()
    (body,) = harness.store.deliveries_of(alert_id("r", "topic:credit", harness.now))
    assert made.delivered and (body.alert_id, body.endpoint) == (made.alert_id, made.endpoint)
