"""Deliveries by mail to a local SMTP server."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from core.settings import Webhook, build
from net.timeouts import Deadline
from stream.delivery.delivery_scheduler import next_attempt
from stream.delivery.endpoints import endpoints
from stream.delivery.formats import FORMATS
from stream.delivery.formats.base import is_permanent_failure
from stream.delivery.smtp import send_mail
from tests.helpers.alerts import MARKUP_TITLE, sample_alert
from tests.helpers.mail_server import LOGIN, RECIPIENTS, MailServer, parse_mail, send_mail_alert

SUBJECTS = {"en": "[Warning] Energy: 12 negative stories, 0.30 expected", "zh": "【警告】能源：12 条负面报道，预期 0.30 条"}
pytestmark = pytest.mark.usefixtures("trusted_certificate")


@pytest.mark.parametrize("language", SUBJECTS)
def test_a_mail_arrives_in_both_languages(language: str):
    with MailServer() as server:
        delivery = send_mail_alert(server, language=language)
    assert (delivery.delivered, delivery.status, delivery.error) == (True, 250, "")
    ((sender, recipients, raw),) = server.mails
    assert sender.startswith("FROM:<tocsin@b.example>")
    assert recipients == ["TO:<risk@b.example>", "TO:<c@d.example>"]
    mail = parse_mail(raw)
    assert mail["Subject"] == SUBJECTS[language]
    body = mail.get_body(("plain",))
    assert body is not None and MARKUP_TITLE in body.get_content()
    assert raw.isascii()


def test_starttls_is_used_when_offered_before_the_password_is_sent():
    with MailServer("starttls", auth=True) as server:
        delivery = send_mail_alert(server, login=LOGIN, allow_private=True)
    assert delivery.delivered, delivery.error
    encrypted = dict(zip([line.split()[0].upper() for line in server.commands], server.encrypted, strict=True))
    assert (encrypted["STARTTLS"], encrypted["AUTH"], encrypted["MAIL"]) == (False, True, True)


def test_smtps_is_encrypted_from_the_first_byte():
    with MailServer("first", auth=True) as server:
        delivery = send_mail_alert(server, scheme="smtps", login=LOGIN)
    assert delivery.delivered, delivery.error
    assert all(server.encrypted) and len(server.mails) == 1


@pytest.mark.parametrize(("tls", "scheme"), [("starttls", "smtp"), ("first", "smtps")])
def test_a_certificate_for_another_host_is_rejected(tls: str, scheme: str):
    with MailServer(tls, auth=True) as server:
        delivery = send_mail_alert(server, scheme=scheme, login=LOGIN, host="mail.other.example")
    assert not delivery.delivered and "certificate" in delivery.error.lower()
    assert not any("AUTH" in line for line in server.commands) and server.mails == []


def test_a_password_is_sent_unencrypted_only_in_a_private_network():
    url = f"smtp://{LOGIN}mail.example?{RECIPIENTS}"
    for private in (False, True):
        (endpoint,) = endpoints([Webhook(url=url, format="email", allow_private=private)])
        with MailServer(auth=True) as server:
            mail = FORMATS["email"].messages(sample_alert(), endpoint.options, datetime.now(UTC))[0].body
            result = send_mail(endpoint._replace(port=server.port), "127.0.0.1", mail, Deadline(5.0))
        assert (result.status, "no STARTTLS" in result.error) == ((250, False) if private else (0, True))
        assert any("AUTH" in line for line in server.commands) == private == bool(server.mails)


def test_the_error_for_a_wrong_password_does_not_repeat_it():
    with MailServer("first", auth=True) as server:
        delivery = send_mail_alert(server, scheme="smtps", login="risk:wr0ng@")
    assert delivery.error == "SMTP 535: the server refused the user or the password"
    assert delivery.status == 535


def test_a_private_address_is_rejected_unless_allowed():
    with MailServer() as server:
        delivery = send_mail_alert(server, allow_private=False)
    assert "private address" in delivery.error and is_permanent_failure(delivery)
    assert server.commands == []


@pytest.mark.parametrize(
    ("replies", "status", "error"),
    [
        ({"": "554 go away"}, 554, "SMTP 554: go away"),
        ({"MAIL": "451 later"}, 451, "SMTP 451: later"),
        ({"RCPT": "550 nobody here"}, 550, "SMTP 550: nobody here"),
        ({"DATA": "452 full"}, 452, "SMTP 452: full"),
        ({".": "554 spam"}, 554, "SMTP 554: spam"),
        ({"QUIT": "500 no"}, 250, ""),
    ],
)
def test_a_refusal_is_reported_with_its_text_and_retried(replies: dict[str, str], status: int, error: str):
    with MailServer(replies=replies) as server:
        delivery = send_mail_alert(server)
    assert (delivery.status, delivery.error, delivery.delivered) == (status, error, not error)
    assert (next_attempt(delivery) is None) == delivery.delivered


def test_a_mail_refused_for_some_recipients_is_not_retried():
    with MailServer(replies={"RCPT TO:<c@d.example>": "550 nobody"}) as server:
        delivery = send_mail_alert(server)
    assert delivery.error == "some recipients were refused: c@d.example: SMTP 550: nobody"
    assert not delivery.delivered and is_permanent_failure(delivery)
    assert [recipients for _, recipients, _ in server.mails] == [["TO:<risk@b.example>"]]


@pytest.mark.parametrize("trickles", [True, False], ids=["trickles", "silent"])
def test_a_slow_server_is_abandoned_at_the_deadline(trickles: bool):
    began = time.monotonic()
    with MailServer(trickles=trickles, silent_at="" if trickles else "MAIL") as server:
        delivery = send_mail_alert(server, timeout_s=0.5)
    assert (delivery.status, delivery.error) == (0, "timed out")
    assert time.monotonic() - began < 4


def test_a_server_with_endless_replies_is_abandoned():
    with MailServer(replies={"EHLO": "250-x\r\n" * 400_000 + "250 x"}) as server:
        delivery = send_mail_alert(server)
    assert not delivery.delivered and server.mails == []


def test_an_unreachable_server_is_a_failed_delivery():
    with MailServer() as server:
        pass
    delivery = send_mail_alert(server)
    assert (delivery.status, delivery.delivered) == (0, False)
    assert "ConnectionRefusedError" in delivery.error


def test_settings_are_shown_without_the_mail_password():
    from core.log import mask

    url = f"smtp://{LOGIN}mail.example?from=a@b.example&to=c@d.example"
    odd = url.replace(LOGIN, "u:p@ss@")
    hooks = [{"url": url, "format": "email"}, {"url": odd, "format": "email", "name": "x"}]
    shown = mask(str(build({"webhooks": hooks}, {})))
    assert "p%40ss" not in shown and "p@ss" not in shown
    assert "@mail.example" in shown and "a@b.example" not in shown
