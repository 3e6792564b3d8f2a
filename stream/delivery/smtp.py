"""Sends mail over SMTP (RFC 5321, 3207, 4954) to a checked address, with one deadline for the whole session."""

from __future__ import annotations

import contextlib
import io
import smtplib
import socket
import ssl
from typing import Any

from core import log as logs
from net.timeouts import Deadline
from stream.delivery.endpoints import DeliveryEndpoint
from stream.delivery.formats.base import GONE, PARTLY_REFUSED, TIMED_OUT, SendResult
from stream.delivery.formats.mail import parse_address

MAX_REPLY_BYTES = 1_000_000
"""Limit of all replies of a server in one session."""
OK = 250


def send_mail(endpoint: DeliveryEndpoint, address: str, mail: bytes, deadline: Deadline) -> SendResult:
    """Sends one mail to all recipients.

    Args:
        endpoint: server, login, sender and recipients.
        address: IP address of the server, already checked.
        mail: the message, RFC 5322.
        deadline: for the whole session.

    Returns:
        The reply of the server; a refusal is an error in the result.

    Raises:
        OSError: the server cannot be reached, or (TimeoutError) is too slow.
    """
    client = _Client(endpoint, address, deadline)
    try:
        return _session(client, endpoint, mail)
    except smtplib.SMTPAuthenticationError as error:  # its text may repeat the password
        return SendResult(_status(error.smtp_code), f"SMTP {error.smtp_code}: the server refused the user or the password")
    except smtplib.SMTPRecipientsRefused as error:
        code, words = next(iter(error.recipients.values()))
        return SendResult(_status(code), _smtp_error(code, words))
    except smtplib.SMTPResponseException as error:
        return SendResult(_status(error.smtp_code), _smtp_error(error.smtp_code, error.smtp_error))
    except smtplib.SMTPException as error:
        with contextlib.suppress(TimeoutError):
            if deadline.left_s() > 0.05:
                return SendResult(0, logs.mask(f"{type(error).__name__}: {error}")[:300])
        return SendResult(0, TIMED_OUT)
    finally:
        client.close()


def _session(client: _Client, endpoint: DeliveryEndpoint, mail: bytes) -> SendResult:
    code, words = client.connect(endpoint.host, endpoint.port)
    if code != 220:
        return SendResult(_status(code), _smtp_error(code, words))
    client.ehlo_or_helo_if_needed()
    safe = endpoint.mail_server.tls
    if not safe and client.has_extn("starttls"):
        client.starttls(context=ssl.create_default_context())
        client.ehlo_or_helo_if_needed()
        safe = True
    if endpoint.mail_server.user:
        if not safe and not endpoint.allow_private:
            return SendResult(0, "the server offers no STARTTLS, and passwords are not sent unencrypted; use smtps:// or another server")
        client.login(endpoint.mail_server.user, endpoint.mail_server.password)
    people = [parse_address(each).addr_spec for each in endpoint.options.recipients]
    refused = client.sendmail(parse_address(endpoint.options.sender).addr_spec, people, mail)
    with contextlib.suppress(OSError):
        client.quit()
    if refused:  # not retried: the other recipients would receive it twice
        actor = "; ".join(f"{person}: {_smtp_error(*why)}" for person, why in refused.items())
        return SendResult(OK, logs.mask(f"{PARTLY_REFUSED}{actor}")[:300])
    return SendResult(OK, "")


def _status(code: int) -> int:
    """The code of a refusal; 0 for 3xx and 410, which would be mistaken for HTTP statuses."""
    return code if 400 <= code < 600 and code != GONE else 0


def _smtp_error(code: int, words: bytes | str) -> str:
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return logs.mask(f"SMTP {code}: {' '.join(text.split())}")[:300]


class _Client(smtplib.SMTP):
    """Connects to the checked address but verifies the certificate of the host name. All I/O ends at the deadline."""

    def __init__(self, endpoint: DeliveryEndpoint, address: str, deadline: Deadline) -> None:
        self._address, self._deadline, self._tls = address, deadline, endpoint.mail_server.tls
        super().__init__(local_hostname=socket.gethostname() or "localhost")  # otherwise smtplib queries the DNS without a timeout
        self._host = endpoint.host

    def _get_socket(self, host: str, port: int, timeout: float | None) -> socket.socket:
        plain = socket.create_connection((self._address, port), self._deadline.left_s())
        if not self._tls:
            return plain
        plain.settimeout(self._deadline.left_s())
        return ssl.create_default_context().wrap_socket(plain, server_hostname=host)

    def send(self, s: Any) -> None:
        """See smtplib."""
        if self.sock:
            self.sock.settimeout(self._deadline.left_s())
        super().send(s)

    def getreply(self) -> tuple[int, bytes]:
        """See smtplib."""
        if self.file is None and self.sock:
            self.file = io.BufferedReader(_Replies(self.sock, self._deadline))
        return super().getreply()


class _Replies(io.RawIOBase):
    """The replies of a server until the deadline; a timeout per read would allow a trickle without end."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock, self._deadline, self._left = sock, deadline, MAX_REPLY_BYTES

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See RawIOBase. Raises OSError when the replies exceed MAX_REPLY_BYTES."""
        self._sock.settimeout(self._deadline.left_s())
        got = self._sock.recv_into(buffer)
        self._left -= got
        if self._left < 0:
            raise OSError(f"the replies of the server exceed {MAX_REPLY_BYTES:,} bytes")
        return got
