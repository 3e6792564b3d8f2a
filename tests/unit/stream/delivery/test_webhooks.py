"""Signed webhooks against a real local HTTP server, judged by the library that Standard Webhooks publishes."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from core.errors import SettingsError
from core.records import Alert, Evidence, alert_id
from core.settings import Webhook
from net.address_policy import Refused, vetted
from storage.store import Delivery
from stream.delivery.endpoints import endpoints
from stream.delivery.formats.base import is_permanent_failure, message_id
from stream.delivery.formats.generic import MAX_BYTES, alert_bodies
from stream.delivery.signing import sign, signing_key
from stream.delivery.webhooks import Job, Webhooks
from tests.dripping import Dripping
from tests.helpers.webhook_server import WebhookServer

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def send(receiver: WebhookServer) -> Iterator[Callable[..., Delivery]]:
    opened: list[Webhooks] = []

    def attempt(alert: Alert, number: int = 1, *, secret: str = SECRET, private: bool = True, **more: object) -> Delivery:
        hook = Webhook(url=receiver.url, secret=secret, allow_private=private, name="desk")
        door = Webhooks([hook], **more)  # type: ignore[arg-type]
        opened.append(door)
        (made,) = door.send([Job("desk", alert, number)])
        return made

    yield attempt
    for door in opened:
        door.close()


def alert(n_evidence: int = 2, title: str = "油价暴跌 Oil plunges") -> Alert:
    shown = tuple(
        Evidence(id=f"{n}", title=title, url=f"https://example.org/{n}", source="wire", published_at=NOON, p_negative=0.91)
        for n in range(n_evidence)
    )
    return Alert(
        id=alert_id("r", "topic:energy", NOON),
        rule="r",
        series="topic:energy",
        window_start=NOON,
        window_s=900,
        detected_at=NOON + timedelta(minutes=8),
        severity="warning",
        observed=12,
        expected=0.3,
        surprise=8.1,
        total=15,
        sources=4,
        evidence=shown,
    )


def test_the_signature_is_that_of_the_specification():
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_delivery_verifies_with_the_published_library(receiver: WebhookServer, send: Callable[..., Delivery]):
    delivery = send(alert())
    assert (delivery.status, delivery.error, delivery.attempt, delivery.delivered) == (204, "", 1, True)
    (request,) = receiver.requests
    judge = standardwebhooks.Webhook(SECRET)
    told = judge.verify(request.body.decode(), request.headers)
    assert told["type"] == "alert.firing"
    assert told["data"]["name"] == {"en": "Energy", "zh": "能源"}
    assert told["data"]["window_end"] == "2026-11-20T12:15:00.000Z"
    assert [item["title"] for item in told["data"]["evidence"]] == ["油价暴跌 Oil plunges"] * 2
    assert "." not in request.headers["webhook-id"] and request.headers["webhook-id"] == message_id(alert())
    for broken in (request.body + b" ", request.body.replace(b"12", b"13")):
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            judge.verify(broken.decode(), request.headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        judge.verify(request.body.decode(), request.headers | {"webhook-timestamp": str(int(request.headers["webhook-timestamp"]) - 1)})


def test_without_a_secret_it_is_not_signed(receiver: WebhookServer, send: Callable[..., Delivery]):
    send(alert(), secret="")
    assert "webhook-signature" not in receiver.requests[0].headers
    assert receiver.requests[0].headers["webhook-id"] == message_id(alert())


def test_each_attempt_has_the_same_id_and_body_and_its_own_timestamp(receiver: WebhookServer, send: Callable[..., Delivery]):
    receiver.responses = [500, 429, 200]
    made = [send(alert(), n, clock=lambda n=n: NOON + timedelta(seconds=n)) for n in (1, 2, 3)]
    assert [(d.attempt, d.status, d.error) for d in made] == [(1, 500, "HTTP 500"), (2, 429, "HTTP 429"), (3, 200, "")]
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert len({request.headers["webhook-timestamp"] for request in receiver.requests}) == 3
    assert len({request.body for request in receiver.requests}) == 1


def in_http(away: timedelta) -> str:
    return format_datetime(datetime.now(UTC) + away, usegmt=True)


@pytest.mark.parametrize(
    ("header", "least_s", "most_s"),
    [
        (lambda: "7", 7, 7),
        (lambda: in_http(timedelta(seconds=30)), 25, 30),
        (lambda: in_http(-timedelta(days=1)), 0, 0),
        (lambda: in_http(timedelta(days=3650)), 86_400, 86_400),
        (lambda: "9" * 5000, 86_400, 86_400),
        (lambda: "soon", 0, 0),
        (lambda: "-5", 0, 0),
    ],
    ids=["seconds", "soon", "yesterday", "in ten years", "5,000 digits", "a word", "less than none"],
)
def test_an_endpoint_may_ask_for_a_pause_of_a_day_at_most(
    receiver: WebhookServer, send: Callable[..., Delivery], header: Callable[[], str], least_s: float, most_s: float
):
    receiver.responses = [(503, {"retry-after": header()})]
    delivery = send(alert())
    assert delivery.status == 503
    assert least_s <= delivery.retry_after_s <= most_s


@pytest.mark.parametrize(
    ("status", "final"), [(301, True), (302, True), (307, True), (400, False), (401, False), (404, False), (410, True)]
)
def test_a_refusal_is_told_as_it_is_and_no_redirect_is_followed(
    receiver: WebhookServer, send: Callable[..., Delivery], status: int, final: bool
):
    receiver.responses = [(status, {"location": receiver.url + "/elsewhere"})]
    delivery = send(alert())
    assert (delivery.status, delivery.delivered, is_permanent_failure(delivery)) == (status, False, final)
    assert delivery.error.startswith(f"HTTP {status}")
    assert [request.path for request in receiver.requests] == ["/hook"]


def test_a_server_that_never_answers_is_given_up(receiver: WebhookServer, send: Callable[..., Delivery]):
    receiver.responses = [None]
    assert send(alert(), timeout_s=0.2).error == "no answer in time"


@pytest.mark.parametrize(
    "start", ["", "HTTP/1.1 ", "HTTP/1.1 200 OK\r\nx: ", "HTTP/1.1 503 Busy\r\nretry-after: "], ids=["nothing", "status", "header", "pause"]
)
def test_an_answer_that_drips_is_given_up_in_time(start: str):
    """Each read of it succeeds, so no bound on a read ends it."""
    with Dripping(start) as server:
        door = Webhooks([Webhook(url=server.url, allow_private=True, name="desk")], timeout_s=0.3)
        began = time.monotonic()
        (made,) = door.send([Job("desk", alert(), 1)])
        assert time.monotonic() - began < 2
        assert (made.status, made.error) == (0, "no answer in time")
        assert len(server.asked) == 1
        door.close()


def test_a_body_that_drips_is_not_waited_for():
    """The status says all; what follows is not read."""
    with Dripping("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n") as server:
        door = Webhooks([Webhook(url=server.url, allow_private=True, name="desk")], timeout_s=5)
        began = time.monotonic()
        (delivery,) = door.send([Job("desk", alert(), 1)])
        assert (delivery.delivered, time.monotonic() - began < 2) == (True, True)
        door.close()


def test_many_endpoints_that_hang_are_waited_for_together():
    with Dripping("") as server:
        hooks = [Webhook(url=server.url, allow_private=True, name=f"desk-{n}") for n in range(20)]
        door = Webhooks(hooks, timeout_s=0.5)
        began = time.monotonic()
        assert len(door.send([Job(label, alert(), 1) for label in door.labels])) == 20
        assert time.monotonic() - began < 4
        door.close()


def test_a_server_that_is_not_there_is_a_failed_delivery(receiver: WebhookServer, send: Callable[..., Delivery]):
    receiver.close()
    delivery = send(alert())
    assert (delivery.status, delivery.delivered) == (0, False)
    assert "ConnectError" in delivery.error


def test_a_private_address_needs_to_be_allowed(receiver: WebhookServer, send: Callable[..., Delivery]):
    delivery = send(alert(), private=False)
    assert delivery.error == "not sent: 127.0.0.1: 127.0.0.1 is a private address; set allow_private if the endpoint is your own"
    assert receiver.requests == []


def test_a_slow_endpoint_does_not_hold_up_another(receiver: WebhookServer):
    other = WebhookServer()
    receiver.responses = [None]
    hooks = [Webhook(url=receiver.url, allow_private=True, name="slow"), Webhook(url=other.url, allow_private=True, name="quick")]
    door = Webhooks(hooks, timeout_s=1.0)
    made = door.send([Job(label, alert(), 1) for label in door.labels])
    assert {d.endpoint: d.delivered for d in made} == {"slow": False, "quick": True}
    door.close()
    other.close()


def test_every_answer_of_the_resolver_is_looked_at_and_the_vetted_one_is_used():
    assert vetted("a.example", 443, allow_private=False, resolve=lambda *_: ["1.1.1.1", "1.0.0.1"]) == "1.1.1.1"
    with pytest.raises(Refused, match="private"):
        vetted("a.example", 443, allow_private=False, resolve=lambda *_: ["1.1.1.1", "10.0.0.1"])
    with pytest.raises(Refused, match="no address"):
        vetted("a.example", 443, allow_private=False, resolve=lambda *_: [])
    for disguised in ("2130706433", "0x7f.1", "localhost"):
        with pytest.raises(Refused):
            vetted(disguised, 80, allow_private=False)


def test_a_name_that_resolves_differently_later_cannot_move_the_connection(receiver: WebhookServer):
    """The connection goes to the address that was vetted: the name is looked up once."""
    answers = iter([["127.0.0.1"], ["203.0.113.7"]])
    port = int(receiver.url.rsplit(":", 1)[1].partition("/")[0])
    door = Webhooks([Webhook(url=f"http://hooks.example:{port}/x", allow_private=True)], resolve=lambda *_: next(answers))
    (delivery,) = door.send([Job("hooks.example", alert(), 1)])
    assert delivery.delivered
    assert receiver.requests[0].headers["host"] == f"hooks.example:{port}"
    door.close()


@given(st.integers(0, 8), st.text(min_size=1, max_size=1000))
def test_payloads_are_always_valid_and_under_twenty_kilobytes(n: int, title: str):
    bodies = alert_bodies(alert(n, title.encode("utf-8", "replace").decode()))
    assert max(map(len, bodies)) < MAX_BYTES
    shown = [item for body in bodies for item in json.loads(body)["data"]["evidence"]]
    assert [item["id"] for item in shown] == [str(number) for number in range(n)]


def test_evidence_that_does_not_fit_goes_into_further_messages_and_nothing_is_cut():
    fat = alert(40, "\u0001" * 1000)  # six bytes a character in JSON
    bodies = [json.loads(body) for body in alert_bodies(fat)]
    assert len(bodies) > 10
    assert [(body["part"], body["parts"]) for body in bodies[1:]] == [(n, len(bodies)) for n in range(2, len(bodies) + 1)]
    shown = [item for body in bodies for item in body["data"]["evidence"]]
    assert [item["id"] for item in shown] == [str(n) for n in range(40)]
    assert {item["title"] for item in shown} == {fat.evidence[0].title}


def test_an_alert_that_fits_is_one_message_that_says_nothing_of_parts():
    (body,) = alert_bodies(alert(6))
    assert not {"part", "parts"} & set(json.loads(body))


@pytest.mark.parametrize(
    ("hook", "why"),
    [
        (Webhook(url="https://a.example/x", secret="whsec_???"), '"whsec_" and base64'),
        (Webhook(url="https://a.example/x", secret="whsec_" + base64.b64encode(b"short").decode()), "24 to 64 bytes; this one holds 5"),
        (Webhook(url="https://me:pw@a.example/x"), "without a user name"),
        (Webhook(url="https://"), "http"),
        (Webhook(url="https://a.example:99999/x"), "host:port"),
    ],
)
def test_an_endpoint_that_cannot_work_is_refused_with_a_sentence(hook: Webhook, why: str):
    with pytest.raises(SettingsError, match="webhook") as caught:
        list(endpoints([hook]))
    assert why in str(caught.value)
    assert hook.secret == "" or hook.secret not in str(caught.value)


def test_two_endpoints_cannot_share_a_name_in_the_log():
    with pytest.raises(SettingsError, match="a name of its own"):
        list(endpoints([Webhook(url="https://a.example/x"), Webhook(url="https://a.example/y")]))
