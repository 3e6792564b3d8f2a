"""Alerts to the chats: local servers that check as the real ones do (tests/chats.py) judge what is sent, and how often."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import standardwebhooks

from core.records import Alert, Evidence, alert_id
from core.settings import Webhook
from storage.store import Delivery
from stream.delivery.delivery_scheduler import next_attempt
from stream.delivery.formats.base import Bundle, is_rate_limited, message_id
from stream.delivery.formats.generic import make_test_alert
from stream.delivery.webhooks import Job, Webhooks
from tests.helpers.chat_servers import Chat, DingTalk, Feishu, Slack, WeCom
from tests.helpers.webhook_server import WebhookServer

SECRETS = {"feishu": "飞书 secret", "dingtalk": "SEC" + "0f" * 32}
CHATS: dict[str, type[Chat]] = {"slack": Slack, "feishu": Feishu, "dingtalk": DingTalk, "wecom": WeCom}
EACH = pytest.mark.parametrize("key", sorted(CHATS))
FAMILY = "👨‍👩‍👧"
WORDS = f"油价暴跌 <@all> & [more](http://evil.example) **x** ![p](http://evil.example/p) e\u0301{FAMILY}"

HEADLINES = {"en": "[Warning] Energy: 12 negative stories where 0.30 were expected", "zh": "【警告】能源：12 条负面报道，预期 0.30 条"}
REFUSALS = {"feishu": "Feishu 19021: sign match fail", "dingtalk": "DingTalk 310000: sign not match"}


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def epoch(self) -> float:
        return self.now.timestamp()


class Desk:
    """A chat of each kind, and a door to it."""

    def __init__(self, key: str, stack: ExitStack, secret: str | None = None, **more: Any) -> None:
        self.clock = Clock()
        own = SECRETS.get(key, "")
        self.chat = stack.enter_context(CHATS[key](own, self.clock.epoch))
        given: dict[str, Any] = {"format": key, "secret": own if secret is None else secret} | more
        self.hook = Webhook(url=self.chat.url, allow_private=True, name="desk", **given)
        self.door = self.opened(stack)

    def opened(self, stack: ExitStack) -> Webhooks:
        return stack.enter_context(closing(Webhooks([self.hook], clock=self.clock, link_base="https://t.example")))

    def send(self, alert: Alert | Bundle, number: int = 1, taken: int = 0) -> Delivery:
        (made,) = self.door.send([Job("desk", alert, number, taken)])
        return made


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def alert(titles: Sequence[str] = (WORDS,), name: str = "energy", url: str = "https://example.org/{n}") -> Alert:
    now = Clock().now
    evidence = tuple(
        Evidence(id=f"{n}", title=title, url=url.format(n=n), source="wire", published_at=now, p_negative=0.9)
        for n, title in enumerate(titles)
    )
    return Alert(
        id=alert_id("r", f"topic:{name}", now), rule="r", series=f"topic:{name}", window_start=now, window_s=900, detected_at=now,
        severity="warning", observed=12, expected=0.3, surprise=8.1, total=15, sources=4, evidence=evidence,
    )  # fmt: skip


@EACH
@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_alert_is_one_message_and_its_words_are_data(stack: ExitStack, key: str, language: str):
    desk = Desk(key, stack, language=language)
    made = desk.send(alert())
    assert (made.delivered, made.status, made.error, made.taken) == (True, 200, "", 1), desk.chat.rejections
    (lines,) = desk.chat.messages
    assert lines[0] == HEADLINES[language]
    assert any(line.startswith(WORDS) and line.endswith(" https://example.org/0") for line in lines)
    assert any(line.endswith(f" https://t.example/alert/{alert().id}") for line in lines)
    assert desk.chat.ids == [message_id(alert())]


@EACH
def test_a_test_reaches_each_chat(stack: ExitStack, key: str):
    desk = Desk(key, stack, paused=True, min_severity="critical")
    assert desk.send(make_test_alert(desk.clock())).delivered
    assert desk.chat.messages[0][0] == "A test from Tocsin"


@EACH
def test_a_long_alert_is_several_messages_and_every_word_arrives(stack: ExitStack, key: str):
    """Titles without a blank, of characters that are several code points; an address longer than WeCom's message."""
    titles = [f"{n:02d}" + (f"好e\u0301{FAMILY}" * 200)[:960] + f"end{n:02d}" for n in range(24)]
    long = alert(titles, url="https://example.org/{n}?" + "x" * 3_900)
    desk = Desk(key, stack)
    made, taken = desk.send(long), 0
    while is_rate_limited(made):
        assert made.taken > taken
        taken = made.taken
        desk.clock.now += timedelta(seconds=made.retry_after_s)
        made = desk.send(long, taken=taken)
    assert made.delivered, (made.error, desk.chat.rejections)
    assert made.taken == len(desk.chat.messages) > 1
    heads = [lines[0] for lines in desk.chat.messages]
    assert [head.rsplit(" ", 1)[1] for head in heads] == [f"({n}/{len(heads)})" for n in range(1, len(heads) + 1)]
    words = "".join(line for lines in desk.chat.messages for line in lines[1:])
    for n, title in enumerate(titles):
        assert title in words
        assert f"https://example.org/{n}?" + "x" * 3_900 in words
    assert desk.chat.ids == [message_id(long, n) for n in range(1, len(heads) + 1)]
    assert len(set(desk.chat.ids)) == len(heads)
    assert desk.chat.rejections == []


@pytest.mark.parametrize("key", ["feishu", "dingtalk"])
def test_a_wrong_secret_is_a_failed_delivery_though_the_chat_answers_200(stack: ExitStack, key: str):
    for secret in ("another", ""):
        made = Desk(key, stack, secret).send(alert())
        assert (made.delivered, made.status if secret else 200) == (False, 200)
        assert next_attempt(made) is not None
    assert REFUSALS[key] in Desk(key, stack, "x").send(alert()).error


@pytest.mark.parametrize(
    ("key", "status", "body", "error", "quiet_s"),
    [
        ("feishu", 400, b'{"code":11232,"msg":"frequency limited"}', "Feishu 11232: frequency limited", 60),
        ("feishu", 200, b'{"StatusCode":0,"StatusMessage":"success"}', "", 0),
        ("dingtalk", 200, b'{"errcode":130101,"errmsg":"send too fast"}', "DingTalk 130101: send too fast", 600),
        ("wecom", 200, b'{"errcode":45009,"errmsg":"api freq out of limit"}', "WeCom 45009: api freq out of limit", 60),
        ("wecom", 200, b"<html>", "HTTP 200: the answer is not WeCom's: is the URL right?", 0),
        ("wecom", 200, b"{}", "HTTP 200: the answer is not WeCom's: is the URL right?", 0),
        ("wecom", 502, b"\xff", "HTTP 502: the answer is not WeCom's: is the URL right?", 0),
        ("dingtalk", 200, b'{"errcode":0,"errmsg":"' + b"x" * 100_000, "HTTP 200: the answer is not DingTalk's: is the URL right?", 0),
        ("slack", 403, b"action_prohibited", "HTTP 403: action_prohibited", 0),
        ("slack", 500, b"", "HTTP 500", 0),
    ],
)
def test_an_answer_is_understood(stack: ExitStack, key: str, status: int, body: bytes, error: str, quiet_s: float):
    desk = Desk(key, stack)
    desk.chat.responses = [(status, body)]
    made = desk.send(alert())
    assert (made.delivered, made.error, made.retry_after_s) == (not error, error, quiet_s)
    if not error:
        return
    due = next_attempt(made)
    assert due is not None and (due - made.sent_at).total_seconds() >= quiet_s
    other = desk.send(alert(name="banks"))  # another alert meets a chat that asked for quiet
    assert is_rate_limited(other) == bool(quiet_s)
    desk.clock.now = max(due, desk.clock.now + timedelta(seconds=quiet_s))
    assert desk.send(alert(), 2).delivered


@pytest.mark.parametrize(("key", "burst", "minute"), [("feishu", 5, 100), ("wecom", 20, 20), ("dingtalk", 20, 20)])
def test_a_chat_is_never_called_too_often_and_the_alert_waits_without_using_an_attempt_up(
    stack: ExitStack, key: str, burst: int, minute: int
):
    desk, began = Desk(key, stack), Clock().now
    waiting, sent, held = [alert(name=f"t{n}") for n in range(minute + 5)], 0, 0
    while waiting:
        made = desk.send(waiting[0])
        if is_rate_limited(made):
            assert (made.status, made.attempt, made.taken) == (0, 1, 0)
            assert next_attempt(made) == made.sent_at + timedelta(seconds=made.retry_after_s)
            held += 1
            desk.clock.now += timedelta(seconds=made.retry_after_s)
        else:
            assert made.delivered, made.error
            sent += 1
            waiting.pop(0)
            assert sent <= burst or held
    assert desk.chat.rejections == []
    assert timedelta(seconds=60) < desk.clock.now - began < timedelta(seconds=65)


def test_two_tables_of_one_robot_share_its_limit(stack: ExitStack):
    clock = Clock()
    chat = stack.enter_context(WeCom("", clock.epoch))
    hooks = [Webhook(url=chat.url, format="wecom", allow_private=True, name=name) for name in ("a", "b")]
    door = stack.enter_context(closing(Webhooks(hooks, clock=clock)))
    made = door.send([Job("ab"[n % 2], alert(name=f"t{n}"), 1) for n in range(30)])
    assert sum(delivery.delivered for delivery in made) == 20
    assert sum(map(is_rate_limited, made)) == 10
    assert chat.rejections == []


def test_after_a_failure_within_an_alert_only_the_rest_is_sent(stack: ExitStack):
    desk, long = Desk("wecom", stack), alert(["好" * 900] * 6)
    desk.send(long)
    whole = desk.chat.messages[:]
    assert len(whole) > 3
    desk.chat.messages.clear()
    desk.chat.ids.clear()
    desk.clock.now += timedelta(minutes=5)
    real = desk.chat.judge
    calls: list[bytes] = []

    def fails_at_the_third(query: str, body: bytes) -> list[str]:
        calls.append(body)
        if len(calls) == 3:
            raise ValueError("busy")
        return real(query, body)

    desk.chat.judge = fails_at_the_third  # type: ignore[method-assign]
    made = desk.send(long)
    assert (made.delivered, made.taken) == (False, 2)
    assert f"(message 3 of {len(whole)})" in made.error
    again = desk.send(long, 2, made.taken)
    assert (again.delivered, again.taken) == (True, len(whole))
    assert desk.chat.messages == whole
    assert desk.chat.ids == [message_id(long, n) for n in range(1, len(whole) + 1)]


@EACH
def test_a_chat_is_held_to_what_holds_for_webhooks(stack: ExitStack, key: str, receiver: WebhookServer):
    """No redirect is followed, no private address met, and a URL's token is in no error."""
    token = {"dingtalk": "?access_token=t0ken", "wecom": "?key=t0ken"}.get(key, "")
    receiver.responses = [(302, {"location": "/elsewhere"}), 410]
    for private, words in ((True, "redirects"), (True, "410"), (False, "private address")):
        hook = Webhook(url=receiver.url + token, format=key, secret=SECRETS.get(key, ""), allow_private=private, name="desk")  # type: ignore[arg-type]
        (made,) = stack.enter_context(closing(Webhooks([hook]))).send([Job("desk", alert(), 1)])
        assert words in made.error and "t0ken" not in made.error
        assert next_attempt(made) is None
    assert len(receiver.requests) == 2


@pytest.mark.parametrize("key", ["json", "alertmanager"])
def test_while_a_secret_is_changed_a_receiver_may_know_either(stack: ExitStack, receiver: WebhookServer, key: str):
    old, new, never = ("whsec_" + base64.b64encode(bytes(range(n, n + 32))).decode() for n in range(3))
    hook = Webhook(url=receiver.url, format=key, secret=new, previous_secret=old, allow_private=True, name="desk")  # type: ignore[arg-type]
    (made,) = stack.enter_context(closing(Webhooks([hook]))).send([Job("desk", alert(), 1)])
    assert made.delivered
    (request,) = receiver.requests
    assert len(request.headers["webhook-signature"].split()) == 2
    for secret in (old, new):
        judge = standardwebhooks.Webhook(secret)
        assert judge.verify(request.body.decode(), request.headers)
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            judge.verify(request.body.decode().replace("12", "13"), request.headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(never).verify(request.body.decode(), request.headers)


def test_an_old_delivery_does_not_verify(stack: ExitStack, receiver: WebhookServer):
    secret = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    hook = Webhook(url=receiver.url, secret=secret, allow_private=True, name="desk")
    for away, fine in ((timedelta(0), True), (-timedelta(minutes=6), False), (timedelta(minutes=6), False)):
        clock = Clock()
        clock.now = datetime.now(UTC) + away
        door = stack.enter_context(closing(Webhooks([hook], clock=clock)))
        door.send([Job("desk", alert(), 1)])
        request, judge = receiver.requests[-1], standardwebhooks.Webhook(secret)
        if fine:
            assert judge.verify(request.body.decode(), request.headers)
        else:
            with pytest.raises(standardwebhooks.WebhookVerificationError):
                judge.verify(request.body.decode(), request.headers)


def test_parts_of_a_generic_body_verify_each_with_an_id_of_its_own(stack: ExitStack, receiver: WebhookServer):
    secret = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    fat = alert(["词" * 1000] * 12)
    hook = Webhook(url=receiver.url, secret=secret, allow_private=True, name="desk")
    (made,) = stack.enter_context(closing(Webhooks([hook]))).send([Job("desk", fat, 1)])
    assert made.delivered and made.taken == len(receiver.requests) > 1
    told = [standardwebhooks.Webhook(secret).verify(request.body.decode(), request.headers) for request in receiver.requests]
    assert [item["id"] for event in told for item in event["data"]["evidence"]] == [str(n) for n in range(12)]
    assert [request.headers["webhook-id"] for request in receiver.requests] == [message_id(fat, n + 1) for n in range(len(told))]
