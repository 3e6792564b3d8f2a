"""The demo's webhook receiver accepts signed, recent and complete webhooks and responds to everything."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from core.records import Alert, alert_id
from core.settings import Webhook
from stream.delivery.signing import sign, signing_key
from stream.delivery.webhooks import Job, Webhooks
from tests.helpers.webhook_server import WebhookServer as Recorder
from tocsin.runtime.webhook_receiver import Receiver

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()
BODY = b'{"type":"alert.firing","data":{"id":"a"}}'


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(SECRET) as made:
        yield made


@pytest.fixture(scope="module")
def judge() -> Iterator[Receiver]:
    with Receiver(SECRET) as made:
        yield made


def signed(body: bytes = BODY, *, ident: str = "alert_1", away_s: float = 0, secret: str = SECRET) -> dict[str, str]:
    """Headers of a webhook sent `away_s` from now."""
    timestamp = int(time.time() + away_s)
    signature = sign(signing_key(secret), ident, timestamp, body)
    return {"webhook-id": ident, "webhook-timestamp": str(timestamp), "webhook-signature": signature}


def post(receiver: Receiver, headers: dict[str, str], body: bytes = BODY) -> int:
    place = urlsplit(receiver.url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=10)
    connection.putrequest("POST", place.path)
    for name, value in ({"Content-Length": str(len(body))} | headers).items():
        connection.putheader(name, value.encode("latin-1", "replace"))
    connection.endheaders()
    connection.send(body)
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_signed_webhook_is_accepted_once(receiver: Receiver):
    assert [post(receiver, signed()), post(receiver, signed()), post(receiver, signed(ident="alert_2"))] == [204] * 3
    assert [(item.webhook_id, item.data) for item in receiver.received] == [("alert_1", {"id": "a"}), ("alert_2", {"id": "a"})]
    assert receiver.rejected == 0


@pytest.mark.parametrize(("away_s", "status"), [(0, 204), (-290, 204), (290, 204), (-310, 401), (310, 401), (-86_400, 401), (10**9, 401)])
def test_an_old_timestamp_is_rejected(receiver: Receiver, away_s: float, status: int):
    assert post(receiver, signed(away_s=away_s)) == status
    assert len(receiver.received) == (status == 204)


def also(name: str, change: Callable[[str], str]) -> Callable[[], dict[str, str]]:
    def headers() -> dict[str, str]:
        made = signed()
        return made | {name: change(made[name])}

    return headers


def without(name: str) -> Callable[[], dict[str, str]]:
    return lambda: {key: value for key, value in signed().items() if key != name}


WRONG: dict[str, Callable[[], dict[str, str]]] = {
    "another id": also("webhook-id", lambda _: "alert_2"),
    "no id": without("webhook-id"),
    "an empty id": also("webhook-id", lambda _: ""),
    "an id of other letters": also("webhook-id", lambda _: "é"),
    "no timestamp": without("webhook-timestamp"),
    "another timestamp": also("webhook-timestamp", lambda it: str(int(it) - 1)),
    "a timestamp of 5,000 digits": also("webhook-timestamp", lambda _: "9" * 5000),
    "a negative timestamp": also("webhook-timestamp", lambda it: f"-{it}"),
    "a timestamp with a fraction": also("webhook-timestamp", lambda it: f"{it}.0"),
    "a timestamp that is none": also("webhook-timestamp", lambda _: "now"),
    "a timestamp of superscripts": also("webhook-timestamp", lambda _: "\xb2\xb3"),
    "no signature": without("webhook-signature"),
    "an empty signature": also("webhook-signature", lambda _: ""),
    "a signature of other letters": also("webhook-signature", lambda _: "v1,\xe9\xff"),
    "only blanks": also("webhook-signature", lambda _: "   "),
    "a signature cut short": also("webhook-signature", lambda it: it[:-1]),
    "a signature without its version": also("webhook-signature", lambda it: it.removeprefix("v1,")),
    "a signature of another version": also("webhook-signature", lambda it: it.replace("v1,", "v2,")),
    "a signature in capitals": also("webhook-signature", lambda it: it.upper()),
    "signatures with a comma between": also("webhook-signature", lambda it: f"{it},{it}"),
    "another secret": lambda: signed(secret=OTHER),
    "the signature of another body": lambda: signed(BODY + b" "),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_invalid_signature_is_rejected(receiver: Receiver, name: str):
    assert post(receiver, WRONG[name]()) == 401
    assert (receiver.received, receiver.rejected) == ([], 1)


@pytest.mark.parametrize("body", [BODY + b" ", BODY + b"\n", BODY.replace(b":", b": "), BODY.replace(b"a", b"b"), b"", b"\xff"])
def test_a_changed_body_is_rejected(receiver: Receiver, body: bytes):
    assert post(receiver, signed() | {"Content-Length": str(len(body))}, body) == 401


def test_one_valid_signature_of_several_is_enough(receiver: Receiver):
    """While a secret is changed a sender signs with both."""
    old, new = signed(secret=OTHER), signed()
    for order in ((old, new), (new, old)):
        both = " ".join(headers["webhook-signature"] for headers in order)
        assert post(receiver, new | {"webhook-signature": f"v2,xyz {both}"}) == 204


@pytest.mark.parametrize("body", [b"", b"[]", b"not json", b'{"data": 5}', b"{}", b'{"data": {"a": NaN}}', b"\xff"])
def test_a_signed_body_that_is_no_event_is_a_bad_request(receiver: Receiver, body: bytes):
    assert post(receiver, signed(body), body) == 400
    assert receiver.received == []


@pytest.mark.parametrize("length", ["-1", "x", "99999999999999999999", "2000000", ""])
def test_an_invalid_content_length_is_rejected(receiver: Receiver, length: str):
    assert post(receiver, signed() | {"Content-Length": length}, b"") == 413


@given(
    st.dictionaries(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text(max_size=40)), st.binary(max_size=40)
)
def test_no_headers_and_no_body_cause_a_server_error(judge: Receiver, headers: dict[str, str], body: bytes):
    assert judge._take(signed() | headers, body) == 401


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/New_York", "Pacific/Kiritimati"])
def test_the_signature_of_a_clock_in_any_zone_verifies(zone: str):
    """What is signed is seconds since 1970; the sender's zone is nowhere in it."""
    moment = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    recorder = Recorder()
    alert = Alert(
        id=alert_id("r", "topic:energy", moment), rule="r", series="topic:energy", window_start=moment.astimezone(ZoneInfo(zone)),
        window_s=900, detected_at=moment.astimezone(ZoneInfo(zone)) + timedelta(minutes=8), severity="warning", observed=12, expected=0.3,
        surprise=8.1, total=15, sources=4,
    )  # fmt: skip
    with Receiver(SECRET) as receiver:
        hooks = [Webhook(url=url, secret=SECRET, allow_private=True, name=url) for url in (receiver.url, recorder.url)]
        door = Webhooks(hooks, clock=lambda: datetime.now(ZoneInfo(zone)))
        assert [delivery.delivered for delivery in door.send([Job(label, alert, 1) for label in door.labels])] == [True, True]
        assert receiver.received[0].data["window_start"] == "2026-11-20T12:00:00.000Z"
        door.close()
    (request,) = recorder.requests
    recorder.close()
    assert standardwebhooks.Webhook(SECRET).verify(request.body.decode(), request.headers) == json.loads(request.body)
