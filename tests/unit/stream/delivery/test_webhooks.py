"""Deliveries over HTTP to a local server, verified with the standardwebhooks library."""

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

from core.records import Alert
from core.settings import Webhook
from net.address_policy import ForbiddenAddress, permitted_address
from storage.store import Delivery
from stream.delivery.formats.base import Limit, is_permanent_failure, message_id
from stream.delivery.formats.generic import MAX_BYTES, alert_bodies
from stream.delivery.signing import sign, signing_key
from stream.delivery.webhooks import Job, MessageRateLimiter, Webhooks
from tests.helpers.alerts import MARKUP_TITLE, NOON, sample_alert
from tests.helpers.slow_server import SlowServer
from tests.helpers.webhook_server import WebhookServer

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def send(receiver: WebhookServer) -> Iterator[Callable[..., Delivery]]:
    opened: list[Webhooks] = []

    def send_alert(alert: Alert, attempt: int = 1, *, secret: str = SECRET, private: bool = True, **options: object) -> Delivery:
        hook = Webhook(url=receiver.url, secret=secret, allow_private=private, name="risk")
        webhooks = Webhooks([hook], **options)  # type: ignore[arg-type]
        opened.append(webhooks)
        (delivery,) = webhooks.send([Job("risk", alert, attempt)])
        return delivery

    yield send_alert
    for webhooks in opened:
        webhooks.close()


def test_a_signature_matches_the_vector_of_the_specification():
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_delivery_verifies_with_the_standardwebhooks_library(receiver: WebhookServer, send: Callable[..., Delivery]):
    delivery = send(sample_alert())
    assert (delivery.status, delivery.error, delivery.attempt, delivery.delivered) == (204, "", 1, True)
    (request,) = receiver.requests
    verifier = standardwebhooks.Webhook(SECRET)
    event = verifier.verify(request.body.decode(), request.headers)
    assert event["type"] == "alert.firing"
    assert event["data"]["name"] == {"en": "Energy", "zh": "能源"}
    assert event["data"]["window_end"] == "2026-11-20T12:15:00.000Z"
    assert [item["title"] for item in event["data"]["evidence"]] == [MARKUP_TITLE] * 2
    assert "." not in request.headers["webhook-id"] and request.headers["webhook-id"] == message_id(sample_alert())
    for broken in (request.body + b" ", request.body.replace(b"12", b"13")):
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            verifier.verify(broken.decode(), request.headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verifier.verify(request.body.decode(), request.headers | {"webhook-timestamp": str(int(request.headers["webhook-timestamp"]) - 1)})


def test_a_delivery_without_a_secret_is_not_signed(receiver: WebhookServer, send: Callable[..., Delivery]):
    send(sample_alert(), secret="")
    assert "webhook-signature" not in receiver.requests[0].headers
    assert receiver.requests[0].headers["webhook-id"] == message_id(sample_alert())


def test_attempts_share_id_and_body_and_differ_in_timestamp(receiver: WebhookServer, send: Callable[..., Delivery]):
    receiver.responses = [500, 429, 200]
    made = [send(sample_alert(), n, clock=lambda n=n: NOON + timedelta(seconds=n)) for n in (1, 2, 3)]
    assert [(d.attempt, d.status, d.error) for d in made] == [(1, 500, "HTTP 500"), (2, 429, "HTTP 429"), (3, 200, "")]
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert len({request.headers["webhook-timestamp"] for request in receiver.requests}) == 3
    assert len({request.body for request in receiver.requests}) == 1


def http_date(offset: timedelta) -> str:
    return format_datetime(datetime.now(UTC) + offset, usegmt=True)


@pytest.mark.parametrize(
    ("header", "min_s", "max_s"),
    [
        (lambda: "7", 7, 7),
        (lambda: http_date(timedelta(seconds=30)), 25, 30),
        (lambda: http_date(-timedelta(days=1)), 0, 0),
        (lambda: http_date(timedelta(days=3650)), 86_400, 86_400),
        (lambda: "9" * 5000, 86_400, 86_400),
        (lambda: "soon", 0, 0),
        (lambda: "-5", 0, 0),
    ],
    ids=["seconds", "soon", "yesterday", "in ten years", "5,000 digits", "a word", "negative"],
)
def test_retry_after_is_respected_up_to_one_day(
    receiver: WebhookServer, send: Callable[..., Delivery], header: Callable[[], str], min_s: float, max_s: float
):
    receiver.responses = [(503, {"retry-after": header()})]
    delivery = send(sample_alert())
    assert delivery.status == 503
    assert min_s <= delivery.retry_after_s <= max_s


@pytest.mark.parametrize(
    ("status", "permanent"), [(301, True), (302, True), (307, True), (400, False), (401, False), (404, False), (410, True)]
)
def test_an_error_status_is_reported_and_redirects_are_not_followed(
    receiver: WebhookServer, send: Callable[..., Delivery], status: int, permanent: bool
):
    receiver.responses = [(status, {"location": receiver.url + "/elsewhere"})]
    delivery = send(sample_alert())
    assert (delivery.status, delivery.delivered, is_permanent_failure(delivery)) == (status, False, permanent)
    assert delivery.error.startswith(f"HTTP {status}")
    assert [request.path for request in receiver.requests] == ["/hook"]


def test_a_server_that_never_responds_times_out(receiver: WebhookServer, send: Callable[..., Delivery]):
    receiver.responses = [None]
    assert send(sample_alert(), timeout_s=0.2).error == "timed out"


@pytest.mark.parametrize(
    "start", ["", "HTTP/1.1 ", "HTTP/1.1 200 OK\r\nx: ", "HTTP/1.1 503 Busy\r\nretry-after: "], ids=["nothing", "status", "header", "pause"]
)
def test_a_trickling_response_times_out(start: str):
    """Every single read succeeds, so a timeout per read would never end it."""
    with SlowServer(start) as server:
        webhooks = Webhooks([Webhook(url=server.url, allow_private=True, name="risk")], timeout_s=0.3)
        began = time.monotonic()
        (delivery,) = webhooks.send([Job("risk", sample_alert(), 1)])
        assert time.monotonic() - began < 2
        assert (delivery.status, delivery.error) == (0, "timed out")
        assert len(server.requests) == 1
        webhooks.close()


def test_a_trickling_body_is_not_read():
    """The status is enough; the body is not read."""
    with SlowServer("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n") as server:
        webhooks = Webhooks([Webhook(url=server.url, allow_private=True, name="risk")], timeout_s=5)
        began = time.monotonic()
        (delivery,) = webhooks.send([Job("risk", sample_alert(), 1)])
        assert (delivery.delivered, time.monotonic() - began < 2) == (True, True)
        webhooks.close()


def test_endpoints_that_hang_are_awaited_in_parallel():
    with SlowServer("") as server:
        hooks = [Webhook(url=server.url, allow_private=True, name=f"endpoint-{n}") for n in range(20)]
        webhooks = Webhooks(hooks, timeout_s=0.5)
        began = time.monotonic()
        assert len(webhooks.send([Job(label, sample_alert(), 1) for label in webhooks.labels])) == 20
        assert time.monotonic() - began < 4
        webhooks.close()


def test_an_unreachable_server_is_a_failed_delivery(receiver: WebhookServer, send: Callable[..., Delivery]):
    receiver.close()
    delivery = send(sample_alert())
    assert (delivery.status, delivery.delivered) == (0, False)
    assert "ConnectError" in delivery.error


def test_a_private_address_is_rejected_unless_allowed(receiver: WebhookServer, send: Callable[..., Delivery]):
    delivery = send(sample_alert(), private=False)
    assert delivery.error == "not sent: 127.0.0.1: 127.0.0.1 is a private address; set allow_private if the endpoint is your own"
    assert receiver.requests == []


def test_a_slow_endpoint_does_not_delay_another(receiver: WebhookServer):
    other = WebhookServer()
    receiver.responses = [None]
    hooks = [Webhook(url=receiver.url, allow_private=True, name="slow"), Webhook(url=other.url, allow_private=True, name="quick")]
    webhooks = Webhooks(hooks, timeout_s=1.0)
    made = webhooks.send([Job(label, sample_alert(), 1) for label in webhooks.labels])
    assert {d.endpoint: d.delivered for d in made} == {"slow": False, "quick": True}
    webhooks.close()
    other.close()


def test_all_resolved_addresses_are_checked_and_a_checked_one_is_used():
    assert permitted_address("a.example", 443, allow_private=False, resolve=lambda *_: ["1.1.1.1", "1.0.0.1"]) == "1.1.1.1"
    with pytest.raises(ForbiddenAddress, match="private"):
        permitted_address("a.example", 443, allow_private=False, resolve=lambda *_: ["1.1.1.1", "10.0.0.1"])
    with pytest.raises(ForbiddenAddress, match="no address"):
        permitted_address("a.example", 443, allow_private=False, resolve=lambda *_: [])
    for disguised in ("2130706433", "0x7f.1", "localhost"):
        with pytest.raises(ForbiddenAddress):
            permitted_address(disguised, 80, allow_private=False)


def test_the_host_name_is_resolved_once_per_delivery(receiver: WebhookServer):
    """The connection uses the address that was checked, so DNS rebinding has no effect."""
    answers = iter([["127.0.0.1"], ["203.0.113.7"]])
    port = int(receiver.url.rsplit(":", 1)[1].partition("/")[0])
    webhooks = Webhooks([Webhook(url=f"http://hooks.example:{port}/x", allow_private=True)], resolve=lambda *_: next(answers))
    (delivery,) = webhooks.send([Job("hooks.example", sample_alert(), 1)])
    assert delivery.delivered
    assert receiver.requests[0].headers["host"] == f"hooks.example:{port}"
    webhooks.close()


@given(st.integers(0, 8), st.text(min_size=1, max_size=1000))
def test_bodies_are_valid_json_under_20_kb(n: int, title: str):
    bodies = alert_bodies(sample_alert(title.encode("utf-8", "replace").decode(), n))
    assert max(map(len, bodies)) < MAX_BYTES
    shown = [item for body in bodies for item in json.loads(body)["data"]["evidence"]]
    assert [item["id"] for item in shown] == [str(number) for number in range(n)]


def test_evidence_that_does_not_fit_continues_in_further_messages():
    long = sample_alert("\u0001" * 1000, 40)  # six bytes per character in JSON
    bodies = [json.loads(body) for body in alert_bodies(long)]
    assert len(bodies) > 10
    assert [(body["part"], body["parts"]) for body in bodies[1:]] == [(n, len(bodies)) for n in range(2, len(bodies) + 1)]
    shown = [item for body in bodies for item in body["data"]["evidence"]]
    assert [item["id"] for item in shown] == [str(n) for n in range(40)]
    assert {item["title"] for item in shown} == {long.evidence[0].title}


def test_a_single_message_has_no_part_fields():
    (body,) = alert_bodies(sample_alert(n=6))
    assert not {"part", "parts"} & set(json.loads(body))


def test_a_rate_limiter_allows_no_more_than_its_limits():
    limiter, sent, now = MessageRateLimiter((Limit(5, 1.0), Limit(100, 60.0))), list[datetime](), NOON
    while len(sent) < 300:
        wait_s = limiter.acquire(now)
        if wait_s:
            assert wait_s <= 60.5
            now += timedelta(seconds=wait_s)
        else:
            sent.append(now)
    for most, seconds in ((5, 1.0), (100, 60.0)):
        assert all((late - early).total_seconds() > seconds for early, late in zip(sent, sent[most:], strict=False))
    assert (sent[-1] - sent[0]).total_seconds() < 185


def test_a_pause_is_respected_and_a_clock_set_back_blocks_for_at_most_one_window():
    limiter = MessageRateLimiter((Limit(1, 60.0),))
    limiter.pause(NOON, 600)
    limiter.pause(NOON, 5)
    assert limiter.acquire(NOON + timedelta(seconds=599)) == 1
    assert limiter.acquire(NOON + timedelta(seconds=600)) == 0
    assert limiter.acquire(NOON - timedelta(days=1)) > 60  # still paused
    other = MessageRateLimiter((Limit(1, 60.0),))
    assert other.acquire(NOON) == 0
    assert other.acquire(NOON - timedelta(days=1)) == 60.5
    assert MessageRateLimiter(()).acquire(NOON) == 0
