"""Alerts that go out together, are repeated, said to be over, or told in a digest: once, over restarts; a real store and a real server."""

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
from domain.alert_lifecycle import event, silence
from models.inference.keyword import KeywordClassifier
from storage.store import Store
from stream.delivery.delivery_scheduler import RETRY_SCHEDULE_S, DeliveryScheduler
from stream.delivery.group_planner import GroupPlanner
from stream.delivery.suppression import Suppressor, SuppressionPolicy
from stream.delivery.webhooks import Webhooks
from stream.detection.auto_resolve import AutoResolver
from stream.worker.pipeline import Pipeline
from tests.helpers.chat_servers import WeCom
from tests.helpers.webhook_server import WebhookServer

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
"""A Friday; 20:00 in Shanghai."""
CHAT: dict[str, Any] = {"group_wait_s": 30.0, "group_interval_s": 300.0, "repeat_interval_s": 4 * 3600.0}


class Desk:
    """One endpoint, a clock, and a courier that a restart replaces."""

    def __init__(self, store: Store, receiver: WebhookServer, quiet: str = "", **hook: Any) -> None:
        self.now, self.store, self.receiver = NOON, store, receiver
        given: dict[str, Any] = {"url": receiver.url, "allow_private": True, "name": "desk"} | hook
        self.quiet, self.hook = quiet, Webhook(**given)
        self.doors: list[Webhooks] = []
        self.restart()

    def restart(self, **changes: Any) -> None:
        self.hook = msgspec.structs.replace(self.hook, **changes)
        settings = Settings(webhooks=(self.hook,), quiet_hours=self.quiet)
        self.doors.append(Webhooks(settings.webhooks, clock=lambda: self.now))
        gate = Suppressor(self.store, SuppressionPolicy.from_settings(settings, self.doors[-1].labels))
        self.planner = GroupPlanner(self.store, gate, self.doors[-1].groupings)
        self.courier = DeliveryScheduler(self.doors[-1], self.store.alerts, gate, lambda: self.now, self.planner)
        self.resolver = AutoResolver(self.store, settings.alert_resolve_after_s)

    def rings(self, series: str, severity: Severity = "warning") -> Alert:
        """An alert that is new now."""
        alert = self.stored(series, severity)
        self.courier.notify(alert)
        return alert

    def stored(self, series: str, severity: Severity = "warning") -> Alert:
        given: dict[str, Any] = {"observed": 12, "expected": 0.3, "surprise": 8.1, "total": 15, "sources": 4, "rule": "r", "window_s": 900}
        ident = alert_id("r", series, self.now)
        alert = Alert(id=ident, series=series, window_start=self.now, detected_at=self.now, severity=severity, **given)
        self.store.alerts.insert([alert])
        return alert

    def after(self, *, step_s: float = 60.0, **time: float) -> list[tuple[str, list[str], list[str]]]:
        """What arrived while this time passed: of each message the type, and the series that fire and that are over."""
        until, before = self.now + timedelta(**time), len(self.receiver.requests)
        while self.now < until:
            self.now = min(self.now + timedelta(seconds=step_s), until)
            self.resolver.resolve(self.now)
            self.courier.due(self.now)
        return [self._said(json.loads(request.body)) for request in self.receiver.requests[before:]]

    @staticmethod
    def _said(body: dict[str, Any]) -> tuple[str, list[str], list[str]]:
        if body["type"] == "alert.firing":
            return "alert.firing", [body["data"]["series"]], []
        alerts = body["data"]["alerts"]
        firing, over = ([each["series"] for each in alerts if each["status"] == state] for state in ("firing", "resolved"))
        assert (len(firing), len(over)) == (body["data"]["firing"], body["data"]["resolved"])
        return body["type"], sorted(firing), sorted(over)

    def epoch(self) -> float:
        return self.now.timestamp()

    @property
    def ids(self) -> list[str]:
        return [request.headers["webhook-id"] for request in self.receiver.requests]

    def close(self) -> None:
        for door in self.doors:
            door.close()

    def why(self, alert: Alert) -> list[str]:
        return [each.cause for each in self.store.alert_lifecycle.suppressed([alert.id])]


@pytest.fixture
def desk(alert_store: Store, receiver: WebhookServer) -> Iterator[Callable[..., Desk]]:
    with contextlib.ExitStack() as stack:

        def make(**hook: Any) -> Desk:
            return stack.enter_context(contextlib.closing(Desk(alert_store, receiver, **hook)))

        yield make


SERIES = ["company:600519.SH", "topic:banks", "topic:credit", "topic:energy", "topic:旅游"]


def test_a_burst_is_one_message_and_what_comes_later_is_told_at_the_next_look(desk: Callable[..., Desk]):
    on = desk(**CHAT)
    burst = [on.rings(series) for series in SERIES]
    assert on.after(seconds=29, step_s=1) == []
    assert on.after(seconds=2, step_s=1) == [("alerts.group", SERIES, [])]
    (group,) = on.store.alert_groups.of([burst[0].id])
    assert on.ids == [f"group_{group.id}"]
    assert [(each.alert_id, each.delivered) for each in on.store.deliveries_of(burst[3].id)] == [(group.subject, True)]
    assert on.why(burst[0]) == ["group"]
    on.rings("topic:late")
    assert on.after(seconds=298, step_s=5) == []
    assert on.after(seconds=10, step_s=5) == [("alerts.group", sorted([*SERIES, "topic:late"]), [])]
    assert [each["new"] for each in json.loads(on.receiver.requests[-1].body)["data"]["alerts"]].count(True) == 1


def test_groups_are_apart_by_what_the_endpoint_names(desk: Callable[..., Desk]):
    on = desk(**CHAT, group_by=("severity",))
    for series, severity in (("topic:banks", "critical"), ("topic:credit", "warning"), ("topic:energy", "critical")):
        on.rings(series, severity)  # type: ignore[arg-type]
    assert on.after(minutes=1) == [("alerts.group", ["topic:banks", "topic:energy"], []), ("alerts.group", ["topic:credit"], [])]


def test_a_restart_while_a_group_waits_before_it_is_sent_and_after_it_changes_nothing(desk: Callable[..., Desk]):
    on = desk(**CHAT)
    first = on.rings("topic:banks")
    on.restart()
    assert on.courier.notify(first) == [], "a replay"
    on.now += timedelta(seconds=10)
    on.rings("topic:credit")
    on.now += timedelta(seconds=25)
    (planned,) = on.planner.plan(on.now, lambda *_: True)  # and there it dies: kept, and not sent
    on.now += timedelta(seconds=7)
    on.rings("topic:later")
    on.restart()
    assert on.after(seconds=1) == [("alerts.group", ["topic:banks", "topic:credit"], [])]
    on.restart()
    assert on.courier.notify(first) == []
    assert on.after(seconds=60, step_s=10) == []
    assert on.ids == [f"group_{planned.id}"]


def test_a_group_is_tried_again_with_the_same_id_and_words(desk: Callable[..., Desk], receiver: WebhookServer):
    on = desk(**CHAT)
    receiver.responses = [500, 503]
    alerts = [on.rings("topic:banks"), on.rings("topic:credit")]
    assert len(on.after(seconds=40, step_s=1)) == 2
    on.store.alert_lifecycle.add([event(alerts[0].id, "acknowledged", "王芳", on.now)])
    on.restart()
    assert len(on.after(seconds=RETRY_SCHEDULE_S[2] * 1.2)) == 1
    assert len(set(on.ids)) == 1
    assert len({request.body for request in receiver.requests}) == 1
    assert [each.attempt for each in on.store.deliveries_of(alerts[1].id)] == [1, 2, 3]


def test_a_group_that_was_not_taken_waits_only_when_all_that_fires_in_it_is_silenced(desk: Callable[..., Desk], receiver: WebhookServer):
    on = desk(**CHAT)
    receiver.responses = [500, 500]
    on.rings("topic:banks")
    on.rings("topic:credit")
    on.after(seconds=31, step_s=31)
    first = silence(series=["topic:banks"], author="bob", comment="x", starts_at=on.now, ends_at=NOON + timedelta(hours=2), now=on.now)
    on.store.silences.add([first])
    assert len(on.after(seconds=6, step_s=6)) == 1, "the second attempt: one of two is not silenced"
    other = silence(series=["topic:credit"], author="bob", comment="x", starts_at=on.now, ends_at=NOON + timedelta(hours=1), now=on.now)
    on.store.silences.add([other])
    assert on.after(minutes=59, step_s=300) == []
    assert on.after(minutes=2) == [("alerts.group", ["topic:banks", "topic:credit"], [])]
    assert len({request.body for request in receiver.requests}) == 1


def test_that_it_is_over_is_told_once_and_what_was_over_before_it_was_told_not_at_all(desk: Callable[..., Desk]):
    on = desk(**CHAT | {"send_resolved": True})
    brief, alert, other = on.rings("topic:brief"), on.rings("topic:banks"), on.rings("topic:credit")
    on.store.alert_lifecycle.add([event(brief.id, "resolved", "bob", on.now + timedelta(seconds=5))])
    on.now += timedelta(seconds=6)
    assert on.after(minutes=1) == [("alerts.group", ["topic:banks", "topic:credit"], [])]
    assert on.why(brief) == ["group", "resolved"]
    on.store.alert_lifecycle.add([event(alert.id, "resolved", "王芳", on.now)])
    assert on.after(minutes=6) == [("alerts.group", ["topic:credit"], ["topic:banks"])]
    told = json.loads(on.receiver.requests[-1].body)["data"]["alerts"]
    assert [each["resolved_at"] for each in told if each["status"] == "resolved"] == ["2026-11-20T12:01:06.000Z"]
    on.restart()
    on.store.alert_lifecycle.record_breach([other.id], on.now)
    assert on.after(hours=2, step_s=600) == [("alerts.group", [], ["topic:credit"])], "an hour after it was last over its bar"
    assert on.after(hours=6, step_s=3600) == []


def test_what_still_fires_is_sent_again_until_somebody_acknowledges_it(desk: Callable[..., Desk]):
    on = desk(repeat_interval_s=3600.0)
    alert, other = on.rings("topic:banks"), on.rings("topic:credit")
    one: tuple[str, list[str], list[str]] = ("alerts.group", ["topic:banks"], [])
    assert on.after(seconds=1) == [one, ("alerts.group", ["topic:credit"], [])], "each alone, and at once"
    on.store.alert_lifecycle.add([event(other.id, "acknowledged", "王芳", on.now)])
    said = []
    for _ in range(5):
        on.store.alert_lifecycle.record_breach([alert.id], on.now)
        said += on.after(minutes=30, step_s=300)
    assert said == [one, one]
    on.store.alert_lifecycle.add([event(alert.id, "acknowledged", "bob", on.now)])
    on.store.alert_lifecycle.record_breach([alert.id], on.now)
    assert on.after(hours=2, step_s=600) == []
    assert len(set(on.ids)) == 4


def test_a_digest_comes_at_its_hour_with_all_that_rang_and_only_then(desk: Callable[..., Desk]):
    """From noon in UTC to the morning in Shanghai it is twelve hours."""
    on = desk(digest="08:00 Asia/Shanghai")
    first = on.rings("topic:banks", "critical")
    on.store.alert_lifecycle.record_breach([first.id], on.now)
    assert on.after(hours=5, step_s=3600) == [], "by now it is over"
    on.rings("topic:credit", "info")
    on.now += timedelta(minutes=1)
    on.rings("topic:banks")
    on.restart()
    assert on.after(hours=6, minutes=58, step_s=3600) == []
    quiet = on.rings("topic:energy", "info")
    assert on.after(minutes=1) == [("alerts.digest", ["topic:energy"], ["topic:banks", "topic:banks", "topic:credit"])]
    told = json.loads(on.receiver.requests[-1].body)
    assert [each["series"] for each in told["data"]["alerts"]] == ["topic:banks", "topic:banks", "topic:credit", "topic:energy"]
    assert told["timestamp"] == "2026-11-21T00:00:00.000Z"
    on.restart()
    assert on.after(hours=24, minutes=1, step_s=3600) == [], "nothing rang"
    assert on.why(quiet) == ["digest"]
    (why, *_) = on.store.alert_lifecycle.suppressed([quiet.id])
    assert why.text == "waits for the digest of 2026-11-21 00:00 UTC"
    on.rings("topic:market")
    assert on.after(hours=24, step_s=3600) == [("alerts.digest", [], ["topic:market"])]


def test_what_is_silenced_joins_when_the_silence_is_over_and_in_quiet_hours_a_group_waits(desk: Callable[..., Desk]):
    """23:00 in Shanghai is 15:00 in UTC."""
    on = desk(**CHAT | {"repeat_interval_s": 600.0}, quiet="23:00-07:00 Asia/Shanghai")
    until = NOON + timedelta(minutes=20)
    hush = silence(series=["topic:banks"], author="王芳", comment="维护", starts_at=NOON, ends_at=until, now=NOON)
    on.store.silences.add([hush])
    silenced, alert = on.rings("topic:banks"), on.rings("topic:credit")
    assert on.after(minutes=1) == [("alerts.group", ["topic:credit"], [])]
    on.store.alert_lifecycle.add([event(alert.id, "acknowledged", "bob", on.now)])
    assert on.after(minutes=18, seconds=58) == []
    assert on.after(minutes=6) == [("alerts.group", ["topic:banks", "topic:credit"], [])]
    assert on.why(silenced) == ["group", "silence"]
    on.now = NOON + timedelta(hours=3)
    asleep, flash = on.rings("topic:energy"), on.rings("topic:oil", "critical")
    assert on.after(minutes=1) == [("alerts.group", ["topic:oil"], [])], "flash alerts come through, and nothing else is repeated"
    on.store.alert_lifecycle.add([event(flash.id, "acknowledged", "bob", on.now)])
    for _ in range(8):
        on.store.alert_lifecycle.record_breach([flash.id], on.now)
        assert on.after(minutes=59, step_s=600) == []
    on.store.alert_lifecycle.record_breach([flash.id], on.now)
    ((kind, firing, over),) = on.after(minutes=10)
    assert (kind, firing, over) == ("alerts.group", ["topic:oil"], ["topic:energy"]), "what came in the night is told, over as it is"
    assert on.why(asleep) == ["group", "quiet hours"]


def test_an_alert_is_told_once_though_the_settings_change(desk: Callable[..., Desk]):
    on = desk()
    alone = on.rings("topic:alone")
    on.restart(**CHAT)
    assert on.courier.notify(alone) == []
    grouped = on.rings("topic:grouped")
    assert on.after(minutes=1) == [("alerts.group", ["topic:grouped"], [])]
    waiting = on.rings("topic:waiting")
    on.restart(digest="hourly", group_wait_s=0.0, repeat_interval_s=0.0)
    assert on.after(minutes=59) == [("alerts.digest", ["topic:waiting"], [])]
    last = on.rings("topic:last")
    on.restart(digest="")
    assert on.after(minutes=2) == [("alert.firing", ["topic:last"], [])]
    assert [on.courier.notify(each) for each in (alone, grouped, waiting, last)] == [[]] * 4
    assert len(on.ids) == 4


def test_a_group_of_several_messages_goes_on_after_those_that_were_taken(desk: Callable[..., Desk]):
    """Seventy alerts fill more than the twenty messages that WeCom takes in a minute."""
    on = desk(**CHAT, format="wecom", language="zh")
    with WeCom("", on.epoch) as chat:
        on.restart(url=chat.url)
        for n in range(70):
            alert = on.rings(f"topic:{n}{'长' * 280}")
        on.after(seconds=40, step_s=5)
        (first,) = on.store.deliveries_of(alert.id)
        assert first.parts_delivered == len(chat.messages) == 20 and not first.delivered
        on.now += timedelta(seconds=61)  # what was sent before the restart is not known after it; the chat would say so
        on.restart()
        on.after(minutes=2, step_s=10)
        (row,) = on.store.deliveries_of(alert.id)
        assert row.delivered and row.parts_delivered == len(chat.messages) > 20
        assert chat.rejections == [] and len(set(chat.ids)) == len(chat.ids)
        heads = [lines[0] for lines in chat.messages]
        assert heads[0].startswith("【警告】70 条预警：") and heads[-1].endswith(f"({len(heads)}/{len(heads)})")
        said = "".join(line for lines in chat.messages for line in lines[1:])
        assert all(f"{n}长" in said for n in range(70))


def test_a_paused_endpoint_hears_nothing_of_what_rang_meanwhile(desk: Callable[..., Desk]):
    on = desk(**CHAT, paused=True)
    on.rings("topic:missed")
    on.restart(paused=False)
    on.rings("topic:heard")
    assert on.after(minutes=1) == [("alerts.group", ["topic:heard"], [])]


def test_that_it_is_over_is_not_told_in_quiet_hours(desk: Callable[..., Desk]):
    on = desk(group_wait_s=30.0, send_resolved=True, quiet="21:00-07:00 Asia/Shanghai")
    alert = on.rings("topic:banks")
    assert on.after(minutes=1) == [("alerts.group", ["topic:banks"], [])]
    on.now = NOON + timedelta(hours=1)
    on.store.alert_lifecycle.add([event(alert.id, "resolved", "王芳", on.now)])
    assert on.after(hours=9, minutes=59, step_s=3600) == []
    assert on.after(minutes=2) == [("alerts.group", [], ["topic:banks"])]


def test_the_worker_plans_and_sends_groups(desk: Callable[..., Desk], receiver: WebhookServer):
    on = desk()
    hook = Webhook(url=receiver.url, allow_private=True, name="desk", group_wait_s=30.0)
    on.now = datetime.now(UTC)
    pipeline = Pipeline.from_settings(Settings(webhooks=(hook,)), on.store, KeywordClassifier())
    for series in ("topic:banks", "topic:credit"):
        pipeline.notify(on.stored(series))
    assert pipeline.remind(on.now + timedelta(seconds=20)) == []
    (made,) = pipeline.remind(on.now + timedelta(seconds=40))
    pipeline.close()
    (told,) = on.store.deliveries_of(alert_id("r", "topic:credit", on.now))
    assert made.delivered and (told.alert_id, told.endpoint) == (made.alert_id, made.endpoint)
