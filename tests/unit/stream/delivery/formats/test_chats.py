"""Deliveries to chats, checked by local servers with the rules and limits of the real ones (tests/helpers/chat_servers.py)."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta

import pytest
import standardwebhooks

from core.records import Alert, Evidence, alert_id
from core.settings import Webhook
from stream.delivery.delivery_scheduler import next_attempt
from stream.delivery.formats.base import Bundle, Member, is_rate_limited, message_id
from stream.delivery.formats.generic import make_test_alert
from stream.delivery.webhooks import Job, Webhooks
from tests.helpers.alerts import FAMILY
from tests.helpers.chat_endpoint import CHATS, SECRETS, ChatEndpoint, SettableClock
from tests.helpers.chat_servers import WeCom
from tests.helpers.webhook_server import WebhookServer

EACH_CHAT = pytest.mark.parametrize("key", sorted(CHATS))
TITLE = f"油价暴跌 <@all> & [more](http://evil.example) **x** ![p](http://evil.example/p) e\u0301{FAMILY}"
HEADLINES = {"en": "[Warning] Energy: 12 negative stories, 0.30 expected", "zh": "【警告】能源：12 条负面报道，预期 0.30 条"}
REFUSALS = {"feishu": "Feishu 19021: sign match fail", "dingtalk": "DingTalk 310000: sign not match"}


def chat_alert(titles: Sequence[str] = (TITLE,), name: str = "energy", url: str = "https://example.org/{n}") -> Alert:
    now = SettableClock().now
    evidence = tuple(
        Evidence(id=f"{n}", title=title, url=url.format(n=n), source="wire", published_at=now, p_negative=0.9)
        for n, title in enumerate(titles)
    )
    return Alert(
        id=alert_id("r", f"topic:{name}", now), rule="r", series=f"topic:{name}", window_start=now, window_s=900, detected_at=now,
        severity="warning", observed=12, expected=0.3, surprise=8.1, total=15, sources=4, evidence=evidence,
    )  # fmt: skip


@EACH_CHAT
@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_alert_is_one_message_and_its_text_is_not_parsed_as_markup(stack: ExitStack, key: str, language: str):
    endpoint = ChatEndpoint(key, stack, language=language)
    delivery = endpoint.send(chat_alert())
    assert (delivery.delivered, delivery.status, delivery.error, delivery.parts_delivered) == (True, 200, "", 1), endpoint.chat.rejections
    (lines,) = endpoint.chat.messages
    assert lines[0] == HEADLINES[language]
    assert any(line.startswith(TITLE) and line.endswith(" https://example.org/0") for line in lines)
    assert any(line.endswith(f" https://t.example/alert/{chat_alert().id}") for line in lines)
    assert endpoint.chat.ids == [message_id(chat_alert())]


@EACH_CHAT
def test_a_test_message_reaches_each_chat(stack: ExitStack, key: str):
    endpoint = ChatEndpoint(key, stack, paused=True, min_severity="critical")
    assert endpoint.send(make_test_alert(endpoint.clock())).delivered
    assert endpoint.chat.messages[0] == (
        ["Test message from Tocsin", "This endpoint can receive alerts."]
        if key == "slack"
        else ["Tocsin · 2026-11-20 12:00", "Tocsin alert"]
    )


@pytest.mark.parametrize("key", ["feishu", "dingtalk"])
@pytest.mark.parametrize(("language", "word"), [("en", "desk 7"), ("zh", "预警")])
def test_every_message_to_a_bot_has_its_keyword(stack: ExitStack, key: str, language: str, word: str):
    """Alerts, long alerts in several messages, groups, digests and the test message."""
    endpoint = ChatEndpoint(key, stack, language=language, keyword=word)
    endpoint.chat.keyword = word
    first, second = chat_alert(), chat_alert(name="banks")
    group = Bundle("g", endpoint.clock(), (Member(first), Member(second, endpoint.clock())), ("kind",))
    long = chat_alert([f"{n} " + "长标题" * 300 for n in range(16)], name="autos")
    for payload in (first, long, group, group._replace(digest=True), make_test_alert(endpoint.clock())):
        endpoint.clock.now += timedelta(minutes=1)
        before = len(endpoint.chat.messages)
        delivery = endpoint.send(payload)
        assert delivery.delivered, delivery.error
        assert delivery.parts_delivered == len(endpoint.chat.messages) - before
        assert all(lines[-1].endswith(word) for lines in endpoint.chat.messages[before:])
    assert len(endpoint.chat.messages) > 5, "the long alert is more than one message"


@pytest.mark.parametrize("key", ["feishu", "dingtalk", "wecom"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_bot_that_accepts_the_test_message_accepts_every_alert(stack: ExitStack, key: str, language: str):
    """Bots may want any keyword, so the test message has no word that an alert or a group lacks."""
    endpoint = ChatEndpoint(key, stack, language=language)
    first, second = chat_alert(), chat_alert(name="banks")
    group = Bundle("g", endpoint.clock(), (Member(first, is_new=False), Member(second, is_new=False)), ("kind",))
    for payload in (make_test_alert(endpoint.clock()), first, group):
        assert endpoint.send(payload).delivered
    tested, *alerts = ["\n".join(lines) for lines in endpoint.chat.messages]
    words = set(re.findall(r"[A-Za-z]+|[\u4e00-\u9fff]+", tested))
    assert words and all(word in alert for word in words for alert in alerts), words


@pytest.mark.parametrize(
    ("key", "error"), [("feishu", "Feishu 19024: Key Words Not Found"), ("dingtalk", "DingTalk 310000: keywords not in")]
)
def test_a_refusal_for_a_missing_keyword_names_the_setting(stack: ExitStack, key: str, error: str):
    endpoint = ChatEndpoint(key, stack, keyword="wrong")
    endpoint.chat.keyword = "预警"
    delivery = endpoint.send(chat_alert())
    assert delivery.error.startswith(error) and "set `keyword` of this endpoint" in delivery.error


@EACH_CHAT
def test_a_long_alert_is_split_into_messages_without_losing_text(stack: ExitStack, key: str):
    """Titles without spaces, characters of several code points, and a URL longer than a WeCom message."""
    titles = [f"{n:02d}" + (f"好e\u0301{FAMILY}" * 200)[:960] + f"end{n:02d}" for n in range(24)]
    long = chat_alert(titles, url="https://example.org/{n}?" + "x" * 3_900)
    endpoint = ChatEndpoint(key, stack)
    delivery, done = endpoint.send(long), 0
    while is_rate_limited(delivery):
        assert delivery.parts_delivered > done
        done = delivery.parts_delivered
        endpoint.clock.now += timedelta(seconds=delivery.retry_after_s)
        delivery = endpoint.send(long, parts_delivered=done)
    assert delivery.delivered, (delivery.error, endpoint.chat.rejections)
    assert delivery.parts_delivered == len(endpoint.chat.messages) > 1
    heads = [lines[0] for lines in endpoint.chat.messages]
    assert [head.rsplit(" ", 1)[1] for head in heads] == [f"({n}/{len(heads)})" for n in range(1, len(heads) + 1)]
    text = "".join(line for lines in endpoint.chat.messages for line in lines[1:])
    for n, title in enumerate(titles):
        assert title in text
        assert f"https://example.org/{n}?" + "x" * 3_900 in text
    assert endpoint.chat.ids == [message_id(long, n) for n in range(1, len(heads) + 1)]
    assert len(set(endpoint.chat.ids)) == len(heads)
    assert endpoint.chat.rejections == []


@pytest.mark.parametrize("key", ["feishu", "dingtalk"])
def test_a_wrong_secret_fails_even_if_the_chat_answers_200(stack: ExitStack, key: str):
    for secret in ("another", ""):
        delivery = ChatEndpoint(key, stack, secret).send(chat_alert())
        assert (delivery.delivered, delivery.status if secret else 200) == (False, 200)
        assert next_attempt(delivery) is not None
    assert REFUSALS[key] in ChatEndpoint(key, stack, "x").send(chat_alert()).error


@pytest.mark.parametrize(
    ("key", "status", "body", "error", "pause_s"),
    [
        ("feishu", 400, b'{"code":11232,"msg":"frequency limited"}', "Feishu 11232: frequency limited", 60),
        ("feishu", 200, b'{"StatusCode":0,"StatusMessage":"success"}', "", 0),
        ("dingtalk", 200, b'{"errcode":130101,"errmsg":"send too fast"}', "DingTalk 130101: send too fast", 600),
        ("wecom", 200, b'{"errcode":45009,"errmsg":"api freq out of limit"}', "WeCom 45009: api freq out of limit", 60),
        ("wecom", 200, b"<html>", "HTTP 200: this is not a response of WeCom; check the URL", 0),
        ("wecom", 200, b"{}", "HTTP 200: this is not a response of WeCom; check the URL", 0),
        ("wecom", 502, b"\xff", "HTTP 502: this is not a response of WeCom; check the URL", 0),
        ("dingtalk", 200, b'{"errcode":0,"errmsg":"' + b"x" * 100_000, "HTTP 200: this is not a response of DingTalk; check the URL", 0),
        ("slack", 403, b"action_prohibited", "HTTP 403: action_prohibited", 0),
        ("slack", 500, b"", "HTTP 500", 0),
    ],
)
def test_the_response_of_a_chat_is_interpreted(stack: ExitStack, key: str, status: int, body: bytes, error: str, pause_s: float):
    endpoint = ChatEndpoint(key, stack)
    endpoint.chat.responses = [(status, body)]
    delivery = endpoint.send(chat_alert())
    assert (delivery.delivered, delivery.error, delivery.retry_after_s) == (not error, error, pause_s)
    if not error:
        return
    due = next_attempt(delivery)
    assert due is not None and (due - delivery.sent_at).total_seconds() >= pause_s
    other = endpoint.send(chat_alert(name="banks"))  # another alert to the same chat during the pause
    assert is_rate_limited(other) == bool(pause_s)
    endpoint.clock.now = max(due, endpoint.clock.now + timedelta(seconds=pause_s))
    assert endpoint.send(chat_alert(), 2).delivered


@pytest.mark.parametrize(("key", "burst", "minute"), [("feishu", 5, 100), ("wecom", 20, 20), ("dingtalk", 20, 20)])
def test_alerts_wait_for_the_rate_limit_of_a_chat_without_using_up_attempts(stack: ExitStack, key: str, burst: int, minute: int):
    endpoint, began = ChatEndpoint(key, stack), SettableClock().now
    waiting, sent, held = [chat_alert(name=f"t{n}") for n in range(minute + 5)], 0, 0
    while waiting:
        delivery = endpoint.send(waiting[0])
        if is_rate_limited(delivery):
            assert (delivery.status, delivery.attempt, delivery.parts_delivered) == (0, 1, 0)
            assert next_attempt(delivery) == delivery.sent_at + timedelta(seconds=delivery.retry_after_s)
            held += 1
            endpoint.clock.now += timedelta(seconds=delivery.retry_after_s)
        else:
            assert delivery.delivered, delivery.error
            sent += 1
            waiting.pop(0)
            assert sent <= burst or held
    assert endpoint.chat.rejections == []
    assert timedelta(seconds=60) < endpoint.clock.now - began < timedelta(seconds=65)


def test_two_endpoints_of_one_bot_share_its_rate_limit(stack: ExitStack):
    clock = SettableClock()
    chat = stack.enter_context(WeCom("", clock.epoch))
    hooks = [Webhook(url=chat.url, format="wecom", allow_private=True, name=name) for name in ("a", "b")]
    webhooks = stack.enter_context(closing(Webhooks(hooks, clock=clock)))
    delivery = webhooks.send([Job("ab"[n % 2], chat_alert(name=f"t{n}"), 1) for n in range(30)])
    assert sum(delivery.delivered for delivery in delivery) == 20
    assert sum(map(is_rate_limited, delivery)) == 10
    assert chat.rejections == []


def test_a_retry_sends_only_the_messages_not_yet_accepted(stack: ExitStack):
    endpoint, long = ChatEndpoint("wecom", stack), chat_alert(["好" * 900] * 6)
    endpoint.send(long)
    whole = endpoint.chat.messages[:]
    assert len(whole) > 3
    endpoint.chat.messages.clear()
    endpoint.chat.ids.clear()
    endpoint.clock.now += timedelta(minutes=5)
    original = endpoint.chat.parse
    calls: list[bytes] = []

    def fail_at_the_third(query: str, body: bytes) -> list[str]:
        calls.append(body)
        if len(calls) == 3:
            raise ValueError("busy")
        return original(query, body)

    endpoint.chat.parse = fail_at_the_third  # type: ignore[method-assign]
    delivery = endpoint.send(long)
    assert (delivery.delivered, delivery.parts_delivered) == (False, 2)
    assert f"(message 3 of {len(whole)})" in delivery.error
    again = endpoint.send(long, 2, delivery.parts_delivered)
    assert (again.delivered, again.parts_delivered) == (True, len(whole))
    assert endpoint.chat.messages == whole
    assert endpoint.chat.ids == [message_id(long, n) for n in range(1, len(whole) + 1)]


@EACH_CHAT
def test_chats_follow_the_rules_of_all_webhooks(stack: ExitStack, key: str, receiver: WebhookServer):
    """Redirects are not followed, private addresses not contacted, and the token of a URL is in no error."""
    token = {"dingtalk": "?access_token=t0ken", "wecom": "?key=t0ken"}.get(key, "")
    receiver.responses = [(302, {"location": "/elsewhere"}), 410]
    for private, text in ((True, "redirects"), (True, "410"), (False, "private address")):
        hook = Webhook(url=receiver.url + token, format=key, secret=SECRETS.get(key, ""), allow_private=private, name="risk")  # type: ignore[arg-type]
        (delivery,) = stack.enter_context(closing(Webhooks([hook]))).send([Job("risk", chat_alert(), 1)])
        assert text in delivery.error and "t0ken" not in delivery.error
        assert next_attempt(delivery) is None
    assert len(receiver.requests) == 2


@pytest.mark.parametrize("key", ["json", "alertmanager"])
def test_during_secret_rotation_either_secret_verifies(stack: ExitStack, receiver: WebhookServer, key: str):
    old, new, never = ("whsec_" + base64.b64encode(bytes(range(n, n + 32))).decode() for n in range(3))
    hook = Webhook(url=receiver.url, format=key, secret=new, previous_secret=old, allow_private=True, name="risk")  # type: ignore[arg-type]
    (delivery,) = stack.enter_context(closing(Webhooks([hook]))).send([Job("risk", chat_alert(), 1)])
    assert delivery.delivered
    (request,) = receiver.requests
    assert len(request.headers["webhook-signature"].split()) == 2
    for secret in (old, new):
        verifier = standardwebhooks.Webhook(secret)
        assert verifier.verify(request.body.decode(), request.headers)
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            verifier.verify(request.body.decode().replace("12", "13"), request.headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(never).verify(request.body.decode(), request.headers)


def test_a_delivery_with_an_old_or_future_timestamp_does_not_verify(stack: ExitStack, receiver: WebhookServer):
    secret = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    hook = Webhook(url=receiver.url, secret=secret, allow_private=True, name="risk")
    for offset, valid in ((timedelta(0), True), (-timedelta(minutes=6), False), (timedelta(minutes=6), False)):
        clock = SettableClock()
        clock.now = datetime.now(UTC) + offset
        webhooks = stack.enter_context(closing(Webhooks([hook], clock=clock)))
        webhooks.send([Job("risk", chat_alert(), 1)])
        request, verifier = receiver.requests[-1], standardwebhooks.Webhook(secret)
        if valid:
            assert verifier.verify(request.body.decode(), request.headers)
        else:
            with pytest.raises(standardwebhooks.WebhookVerificationError):
                verifier.verify(request.body.decode(), request.headers)


def test_each_part_of_a_body_has_an_id_and_a_valid_signature(stack: ExitStack, receiver: WebhookServer):
    secret = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    long = chat_alert(["词" * 1000] * 12)
    hook = Webhook(url=receiver.url, secret=secret, allow_private=True, name="risk")
    (delivery,) = stack.enter_context(closing(Webhooks([hook]))).send([Job("risk", long, 1)])
    assert delivery.delivered and delivery.parts_delivered == len(receiver.requests) > 1
    events = [standardwebhooks.Webhook(secret).verify(request.body.decode(), request.headers) for request in receiver.requests]
    assert [item["id"] for event in events for item in event["data"]["evidence"]] == [str(n) for n in range(12)]
    assert [request.headers["webhook-id"] for request in receiver.requests] == [message_id(long, n + 1) for n in range(len(events))]
