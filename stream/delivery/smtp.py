"""The SMTP door: letters to a mail server (RFC 5321, 3207, 4954), to the address that was vetted, with one deadline for all of it."""

from __future__ import annotations

import contextlib
import io
import smtplib
import socket
import ssl
from typing import Any

from core import log as logs
from net.deadline import Deadline
from stream.delivery.endpoints import Endpoint
from stream.delivery.formats.mail import address_of
from stream.delivery.outcomes import GONE, IN_TIME, PARTLY, Answer

MAX_REPLY_BYTES = 1_000_000
"""Of all that a server says in one session."""
OK = 250


def hand_in(endpoint: Endpoint, address: str, letter: bytes, deadline: Deadline) -> Answer:
    """One letter to all recipients. What the server refused is the answer. Raises OSError (TimeoutError too) where there was no server."""
    client = _Client(endpoint, address, deadline)
    try:
        return _talk(client, endpoint, letter)
    except smtplib.SMTPAuthenticationError as error:  # its words may hold what we said
        return Answer(_status(error.smtp_code), f"SMTP {error.smtp_code}: the server refused the user or the password")
    except smtplib.SMTPRecipientsRefused as error:
        code, words = next(iter(error.recipients.values()))
        return Answer(_status(code), _said(code, words))
    except smtplib.SMTPResponseException as error:
        return Answer(_status(error.smtp_code), _said(error.smtp_code, error.smtp_error))
    except smtplib.SMTPException as error:
        with contextlib.suppress(TimeoutError):
            if deadline.left_s() > 0.05:
                return Answer(0, logs.mask(f"{type(error).__name__}: {error}")[:300])
        return Answer(0, IN_TIME)
    finally:
        client.close()


def _talk(client: _Client, endpoint: Endpoint, letter: bytes) -> Answer:
    code, words = client.connect(endpoint.host, endpoint.port)
    if code != 220:
        return Answer(_status(code), _said(code, words))
    client.ehlo_or_helo_if_needed()
    safe = endpoint.server.tls
    if not safe and client.has_extn("starttls"):
        client.starttls(context=ssl.create_default_context())
        client.ehlo_or_helo_if_needed()
        safe = True
    if endpoint.server.user:
        if not safe and not endpoint.allow_private:
            return Answer(0, "the server offers no STARTTLS, and a password is not sent in the clear: use smtps://, or another server")
        client.login(endpoint.server.user, endpoint.server.password)
    people = [address_of(each).addr_spec for each in endpoint.options.recipients]
    refused = client.sendmail(address_of(endpoint.options.sender).addr_spec, people, letter)
    with contextlib.suppress(OSError):
        client.quit()
    if refused:  # nothing more is sent: the others would have it twice
        who = "; ".join(f"{person}: {_said(*why)}" for person, why in refused.items())
        return Answer(OK, logs.mask(f"{PARTLY}{who}")[:300])
    return Answer(OK, "")


def _status(code: int) -> int:
    """A refusal's code; 0 for what none has: 3xx and 410 would be taken for those of HTTP."""
    return code if 400 <= code < 600 and code != GONE else 0


def _said(code: int, words: bytes | str) -> str:
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return logs.mask(f"SMTP {code}: {' '.join(text.split())}")[:300]


class _Client(smtplib.SMTP):
    """Connects to the vetted address, though it asks for the host's certificate; nothing is waited for after the deadline."""

    def __init__(self, endpoint: Endpoint, address: str, deadline: Deadline) -> None:
        self._address, self._deadline, self._tls = address, deadline, endpoint.server.tls
        super().__init__(local_hostname=socket.gethostname() or "localhost")  # without one it asks the DNS, for as long as that takes
        self._host = endpoint.host

    def _get_socket(self, host: str, port: int, timeout: float | None) -> socket.socket:
        plain = socket.create_connection((self._address, port), self._deadline.left_s())
        if not self._tls:
            return plain
        plain.settimeout(self._deadline.left_s())
        return ssl.create_default_context().wrap_socket(plain, server_hostname=host)

    def send(self, s: Any) -> None:
        """As smtplib has it."""
        if self.sock:
            self.sock.settimeout(self._deadline.left_s())
        super().send(s)

    def getreply(self) -> tuple[int, bytes]:
        """As smtplib has it."""
        if self.file is None and self.sock:
            self.file = io.BufferedReader(_Replies(self.sock, self._deadline))
        return super().getreply()


class _Replies(io.RawIOBase):
    """What a server says, until the deadline: each read by itself would let it drip for ever."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock, self._deadline, self._left = sock, deadline, MAX_REPLY_BYTES

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As RawIOBase has it. Raises OSError for a server that says too much."""
        self._sock.settimeout(self._deadline.left_s())
        got = self._sock.recv_into(buffer)
        self._left -= got
        if self._left < 0:
            raise OSError(f"the server said more than {MAX_REPLY_BYTES:,} bytes")
        return got
