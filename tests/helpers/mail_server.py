"""A local SMTP server, as far as RFC 5321, 3207 and 4954 matter for sending one mail."""

from __future__ import annotations

import base64
import contextlib
import email
import email.policy
import socket
import ssl
import threading
from contextlib import closing
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from core.records import Alert
from core.settings import Webhook
from storage.store import Delivery
from stream.delivery.formats.base import Bundle
from stream.delivery.webhooks import Job, Webhooks
from tests.helpers.alerts import sample_alert

PEM = Path(__file__).resolve().parents[1] / "data" / "mail.pem"
"""Key and certificate for mail.example."""
USER, PASSWORD = "risk@mail.example", "p@ss/w0rd"
LOGIN = "risk%40mail.example:p%40ss%2Fw0rd@"
"""User and password as part of a URL."""
RECIPIENTS = "from=Tocsin%20<tocsin@b.example>&to=风控%20<risk@b.example>&to=c@d.example"


class MailServer:
    """An SMTP server.

    tls: "" for none, "starttls" to offer it, "first" for TLS from the first byte
    replies: from a command to the reply that replaces the correct one; "" for the greeting
    auth: whether MAIL needs a successful AUTH, with USER and PASSWORD
    trickles: sends its greeting byte by byte without end; silent_at: the command that gets no reply
    mails: (sender, recipients, body) of each accepted mail; commands: all lines received; encrypted: whether each came over TLS
    """

    def __init__(
        self, tls: str = "", replies: dict[str, str] | None = None, *, auth: bool = False, trickles: bool = False, silent_at: str = ""
    ) -> None:
        self._tls, self._replies, self._auth, self._trickles, self._silent_at = tls, replies or {}, auth, trickles, silent_at
        self.mails: list[tuple[str, list[str], bytes]] = []
        self.commands: list[str] = []
        self.encrypted: list[bool] = []
        self._closing = threading.Event()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(PEM)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.05)
        self.port: int = self._server.getsockname()[1]
        self._threads = [threading.Thread(target=self._listen, daemon=True)]

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._server.accept()
            except TimeoutError:
                continue
            connection.settimeout(5)
            with contextlib.ExitStack() as opened, contextlib.suppress(OSError):  # the client may close the connection
                self._serve(opened.enter_context(connection), opened)

    def _serve(self, connection: socket.socket, opened: contextlib.ExitStack) -> None:
        encrypted = self._tls == "first"
        if encrypted:
            connection = opened.enter_context(self._context.wrap_socket(connection, server_side=True))
        wire = opened.enter_context(connection.makefile("rwb", 0))
        self._reply(wire, self._replies.get("", "220 mail.example"))
        if self._trickles:
            while not self._closing.wait(0.02):
                wire.write(b"x")
        sender, recipients, authenticated = "", list[str](), not self._auth
        while line := wire.readline().decode("utf-8", "replace").rstrip("\r\n"):
            self.commands.append(line)
            self.encrypted.append(encrypted)
            command, _, rest = line.partition(" ")
            command = command.upper()
            if reply := self._replies.get(f"{command} {rest}") or self._replies.get(command):
                self._reply(wire, reply)
            elif command == self._silent_at:
                self._closing.wait(20)
            elif command == "EHLO":
                offers = ["mail.example", *(["STARTTLS"] if self._tls == "starttls" and not encrypted else []), "AUTH PLAIN"]
                self._reply(wire, *(f"250{'-' if offer is not offers[-1] else ' '}{offer}" for offer in offers))
            elif command == "STARTTLS":
                self._reply(wire, "220 go ahead")
                connection = opened.enter_context(self._context.wrap_socket(connection, server_side=True))
                wire, encrypted = opened.enter_context(connection.makefile("rwb", 0)), True
            elif command == "AUTH":
                authenticated = base64.b64decode(rest.removeprefix("PLAIN ")).decode().split("\0")[1:] == [USER, PASSWORD]
                self._reply(wire, "235 welcome" if authenticated else f"535 who is {rest}")
            elif command == "MAIL":
                sender, recipients = rest, []
                self._reply(wire, "250 fine" if authenticated else "530 authentication required")
            elif command == "RCPT":
                recipients.append(rest)
                self._reply(wire, "250 fine")
            elif command == "DATA":
                self._reply(wire, "354 go on")
                lines = []
                while (part := wire.readline()) != b".\r\n":
                    lines.append(part.removeprefix(b".") if part.startswith(b"..") else part)
                self.mails.append((sender, recipients, b"".join(lines)))
                self._reply(wire, self._replies.get(".", "250 queued"))
            elif command == "QUIT":
                self._reply(wire, "221 bye")
                return
            else:
                self._reply(wire, "250 fine")

    @staticmethod
    def _reply(wire: Any, *lines: str) -> None:
        wire.write("".join(f"{line}\r\n" for line in lines).encode())

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closing.set()
        self._threads[0].join(10)
        self._server.close()


def parse_mail(body: bytes) -> EmailMessage:
    """The mail in these bytes."""
    mail = email.message_from_bytes(body, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def send_mail_alert(
    server: MailServer, payload: Alert | Bundle | None = None, *, scheme: str = "smtp", login: str = "", **fields: Any
) -> Delivery:
    """Sends an alert to the server, as to an endpoint called "risk". login: user and password; fields: further settings"""
    host = fields.pop("host", "mail.example")
    resolve = fields.pop("resolve", lambda *_: ["127.0.0.1"])
    timeout_s = fields.pop("timeout_s", 5.0)
    url = f"{scheme}://{login}{host}:{server.port}?{RECIPIENTS}"
    hook = Webhook(url=url, format="email", name="risk", **({"allow_private": True} | fields))
    with closing(Webhooks([hook], resolve=resolve, timeout_s=timeout_s)) as webhooks:
        (delivery,) = webhooks.send([Job("risk", payload or sample_alert(), 1)])
    assert PASSWORD not in delivery.error and "p%40ss" not in delivery.error
    return delivery
