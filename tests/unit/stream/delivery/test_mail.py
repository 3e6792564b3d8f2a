"""Alerts by mail: a small SMTP server on a socket, which holds to RFC 5321 as far as a letter needs, judges what is handed in."""

from __future__ import annotations

import base64
import contextlib
import email
import email.policy
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from core.records import Alert
from core.settings import Webhook, build
from net.deadline import Deadline
from storage.store import Delivery
from stream.delivery.delivery_scheduler import next_attempt
from stream.delivery.endpoints import endpoints
from stream.delivery.formats import FORMATS
from stream.delivery.formats.base import Bundle, is_permanent_failure
from stream.delivery.smtp import send_mail
from stream.delivery.webhooks import Job, Webhooks
from tests.unit.stream.delivery.formats.test_formats import ODD, alert

PEM = Path(__file__).resolve().parents[3] / "data" / "mail.pem"
USER, PASSWORD = "desk@mail.example", "p@ss/w0rd"
WRITTEN = "desk%40mail.example:p%40ss%2Fw0rd@"


class MailServer:
    """tls: "" none, "starttls" offered, "first" from the first byte; says: what it answers to a command instead of what is right.

    Answers to AUTH only with the right password, as RFC 4616 and 4954 have it.
    """

    def __init__(
        self, tls: str = "", says: dict[str, str] | None = None, *, auth: bool = False, drips: bool = False, silent_at: str = ""
    ) -> None:
        self._tls, self._says, self._auth, self._drips, self._silent_at = tls, says or {}, auth, drips, silent_at
        self.letters: list[tuple[str, list[str], bytes]] = []
        self.heard: list[str] = []
        self.safe: list[bool] = []
        self._over = threading.Event()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(PEM)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.05)
        self.port: int = self._server.getsockname()[1]
        self._threads = [threading.Thread(target=self._listen, daemon=True)]

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._server.accept()
            except TimeoutError:
                continue
            connection.settimeout(5)
            with contextlib.ExitStack() as opened, contextlib.suppress(OSError):  # some tests are about a client that has had enough
                self._serve(opened.enter_context(connection), opened)

    def _serve(self, connection: socket.socket, opened: contextlib.ExitStack) -> None:
        safe = self._tls == "first"
        if safe:
            connection = opened.enter_context(self._context.wrap_socket(connection, server_side=True))
        wire = opened.enter_context(connection.makefile("rwb", 0))
        self._report(wire, self._says.get("", "220 mail.example"))
        if self._drips:
            while not self._over.wait(0.02):
                wire.write(b"x")
        sender, people, known = "", list[str](), not self._auth
        while line := wire.readline().decode("utf-8", "replace").rstrip("\r\n"):
            self.heard.append(line)
            self.safe.append(safe)
            command, _, rest = line.partition(" ")
            command = command.upper()
            if answer := self._says.get(f"{command} {rest}") or self._says.get(command):
                self._report(wire, answer)
            elif command == self._silent_at:
                self._over.wait(20)
            elif command == "EHLO":
                offers = ["mail.example", *(["STARTTLS"] if self._tls == "starttls" and not safe else []), "AUTH PLAIN"]
                self._report(wire, *(f"250{'-' if offer is not offers[-1] else ' '}{offer}" for offer in offers))
            elif command == "STARTTLS":
                self._report(wire, "220 go ahead")
                connection = opened.enter_context(self._context.wrap_socket(connection, server_side=True))
                wire, safe = opened.enter_context(connection.makefile("rwb", 0)), True
            elif command == "AUTH":
                known = base64.b64decode(rest.removeprefix("PLAIN ")).decode().split("\0")[1:] == [USER, PASSWORD]
                self._report(wire, "235 welcome" if known else f"535 who is {rest}")
            elif command == "MAIL":
                sender, people = rest, []
                self._report(wire, "250 fine" if known else "530 authentication required")
            elif command == "RCPT":
                people.append(rest)
                self._report(wire, "250 fine")
            elif command == "DATA":
                self._report(wire, "354 go on")
                lines = []
                while (part := wire.readline()) != b".\r\n":
                    lines.append(part.removeprefix(b".") if part.startswith(b"..") else part)
                self.letters.append((sender, people, b"".join(lines)))
                self._report(wire, self._says.get(".", "250 queued"))
            elif command == "QUIT":
                self._report(wire, "221 bye")
                return
            else:
                self._report(wire, "250 fine")

    @staticmethod
    def _report(wire: Any, *lines: str) -> None:
        wire.write("".join(f"{line}\r\n" for line in lines).encode())

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._threads[0].join(10)
        self._server.close()


@pytest.fixture(autouse=True)
def trusted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The server's certificate is for mail.example, and trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(PEM))
    yield


PEOPLE = "from=Tocsin%20<tocsin@b.example>&to=风控%20<risk@b.example>&to=c@d.example"
SUBJECTS = {"en": "[Warning] Energy: 12 negative stories where 0.30 were expected", "zh": "【警告】能源：12 条负面报道，预期 0.30 条"}


def send(server: MailServer, sent: Alert | Bundle | None = None, *, scheme: str = "smtp", who: str = "", **more: Any) -> Delivery:
    host = more.pop("host", "mail.example")
    resolve = more.pop("resolve", lambda *_: ["127.0.0.1"])
    timeout_s = more.pop("timeout_s", 5.0)
    url = f"{scheme}://{who}{host}:{server.port}?{PEOPLE}"
    hook = Webhook(url=url, format="email", name="desk", **({"allow_private": True} | more))
    with closing(Webhooks([hook], resolve=resolve, timeout_s=timeout_s)) as door:
        (made,) = door.send([Job("desk", sent or alert(), 1)])
    assert PASSWORD not in made.error and "p%40ss" not in made.error
    return made


def read(letter: bytes) -> EmailMessage:
    made = email.message_from_bytes(letter, policy=email.policy.default)
    assert isinstance(made, EmailMessage)
    return made


@pytest.mark.parametrize("language", SUBJECTS)
def test_a_letter_arrives_in_either_language(language: str):
    with MailServer() as server:
        made = send(server, language=language)
    assert (made.delivered, made.status, made.error) == (True, 250, "")
    ((sender, people, raw),) = server.letters
    assert sender.startswith("FROM:<tocsin@b.example>")
    assert people == ["TO:<risk@b.example>", "TO:<c@d.example>"]
    letter = read(raw)
    assert letter["Subject"] == SUBJECTS[language]
    body = letter.get_body(("plain",))
    assert body is not None and ODD in body.get_content()
    assert raw.isascii()


def test_what_is_offered_is_used_and_the_password_goes_through_tls_alone():
    with MailServer("starttls", auth=True) as server:
        made = send(server, who=WRITTEN, allow_private=True)
    assert made.delivered, made.error
    said = dict(zip([line.split()[0].upper() for line in server.heard], server.safe, strict=True))
    assert (said["STARTTLS"], said["AUTH"], said["MAIL"]) == (False, True, True)


def test_smtps_is_safe_from_the_first_byte():
    with MailServer("first", auth=True) as server:
        made = send(server, scheme="smtps", who=WRITTEN)
    assert made.delivered, made.error
    assert all(server.safe) and len(server.letters) == 1


@pytest.mark.parametrize(("tls", "scheme"), [("starttls", "smtp"), ("first", "smtps")])
def test_a_certificate_of_another_is_not_believed(tls: str, scheme: str):
    with MailServer(tls, auth=True) as server:
        made = send(server, scheme=scheme, who=WRITTEN, host="mail.other.example")
    assert not made.delivered and "certificate" in made.error.lower()
    assert not any("AUTH" in line for line in server.heard) and server.letters == []


def test_a_password_is_not_sent_in_the_clear_but_within_ones_own_network():
    url = f"smtp://{WRITTEN}mail.example?{PEOPLE}"
    for own in (False, True):
        (endpoint,) = endpoints([Webhook(url=url, format="email", allow_private=own)])
        with MailServer(auth=True) as server:
            letter = FORMATS["email"].messages(alert(), endpoint.options, datetime.now(UTC))[0].body
            answer = send_mail(endpoint._replace(port=server.port), "127.0.0.1", letter, Deadline(5.0))
        assert (answer.status, "no STARTTLS" in answer.error) == ((250, False) if own else (0, True))
        assert any("AUTH" in line for line in server.heard) == own == bool(server.letters)


def test_a_wrong_password_is_told_without_what_was_said():
    with MailServer("first", auth=True) as server:
        made = send(server, scheme="smtps", who="desk:wr0ng@")
    assert made.error == "SMTP 535: the server refused the user or the password"
    assert made.status == 535


def test_a_private_address_needs_to_be_allowed():
    with MailServer() as server:
        made = send(server, allow_private=False)
    assert "private address" in made.error and is_permanent_failure(made)
    assert server.heard == []


@pytest.mark.parametrize(
    ("says", "status", "error"),
    [
        ({"": "554 go away"}, 554, "SMTP 554: go away"),
        ({"MAIL": "451 later"}, 451, "SMTP 451: later"),
        ({"RCPT": "550 nobody here"}, 550, "SMTP 550: nobody here"),
        ({"DATA": "452 full"}, 452, "SMTP 452: full"),
        ({".": "554 spam"}, 554, "SMTP 554: spam"),
        ({"QUIT": "500 no"}, 250, ""),
    ],
)
def test_a_refusal_is_told_as_it_is_and_tried_again(says: dict[str, str], status: int, error: str):
    with MailServer(says=says) as server:
        made = send(server)
    assert (made.status, made.error, made.delivered) == (status, error, not error)
    assert (next_attempt(made) is None) == made.delivered


def test_where_some_are_refused_the_others_do_not_get_it_twice():
    with MailServer(says={"RCPT TO:<c@d.example>": "550 nobody"}) as server:
        made = send(server)
    assert made.error == "some were refused: c@d.example: SMTP 550: nobody"
    assert not made.delivered and is_permanent_failure(made)
    assert [people for _, people, _ in server.letters] == [["TO:<risk@b.example>"]]


@pytest.mark.parametrize("drips", [True, False], ids=["drips", "is silent"])
def test_a_server_that_does_not_come_to_an_end_is_given_up_in_time(drips: bool):
    began = time.monotonic()
    with MailServer(drips=drips, silent_at="" if drips else "MAIL") as server:
        made = send(server, timeout_s=0.5)
    assert (made.status, made.error) == (0, "no answer in time")
    assert time.monotonic() - began < 4


def test_a_server_that_talks_without_end_is_given_up():
    with MailServer(says={"EHLO": "250-x\r\n" * 400_000 + "250 x"}) as server:
        made = send(server)
    assert not made.delivered and server.letters == []


def test_a_server_that_is_not_there_is_a_failed_delivery():
    with MailServer() as server:
        pass
    made = send(server)
    assert (made.status, made.delivered) == (0, False)
    assert "ConnectionRefusedError" in made.error


def test_the_settings_are_shown_without_the_password():
    from core.log import mask

    url = f"smtp://{WRITTEN}mail.example?from=a@b.example&to=c@d.example"
    odd = url.replace(WRITTEN, "u:p@ss@")
    hooks = [{"url": url, "format": "email"}, {"url": odd, "format": "email", "name": "x"}]
    shown = mask(str(build({"webhooks": hooks}, {})))
    assert "p%40ss" not in shown and "p@ss" not in shown
    assert "mail.example?from=a@b.example" in shown
