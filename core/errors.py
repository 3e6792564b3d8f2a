"""The exceptions that Tocsin raises, with the exit code and the HTTP status of each.

TocsinError
├── UserError            the caller can correct it (exit code 2)
│   ├── SettingsError    a setting, a file or an address is wrong
│   ├── InvalidInput     a value is malformed or out of range (HTTP 422)
│   ├── NotFound         there is no such object (HTTP 404)
│   └── Conflict         the request contradicts the present state (HTTP 409)
├── BadRecord            one record cannot be used; it becomes a dead letter
├── Flooded              too many records cannot be used; the worker stops
├── SourceError          one source could not be fetched; it is retried later
├── BrokerError          Kafka cannot be reached, or refused the request (exit code 75, HTTP 503)
├── StoreError           ClickHouse refused the request (HTTP 503)
│   └── StoreUnavailable the same request may succeed later (exit code 75)
├── LocalStoreError      a SQLite file cannot be read or written (HTTP 503)
└── ModelError           model files are missing, damaged or not the expected ones
"""

from __future__ import annotations

from typing import ClassVar

EXIT_FAILURE = 1
EXIT_USAGE = 2
"""Exit code: a setting, a file or an argument is wrong; a person has to correct it."""
EXIT_TEMPFAIL = 75
"""Exit code: a server does not answer; a later run may succeed (EX_TEMPFAIL of sysexits.h)."""


class TocsinError(Exception):
    """Base class of all exceptions that Tocsin raises on purpose.

    Attributes:
        exit_code: exit code of a command that ends with it
        http_status: status of an HTTP request that ends with it
    """

    exit_code: ClassVar[int] = EXIT_FAILURE
    http_status: ClassVar[int] = 500


class UserError(TocsinError):
    """The caller can correct the request; the message says how."""

    exit_code = EXIT_USAGE
    http_status = 422


class SettingsError(UserError):
    """A setting, a file or an address is wrong; the message names it."""


class InvalidInput(UserError):
    """A value is malformed, too long or out of range."""


class NotFound(UserError):
    """There is no object with this id or name."""

    http_status = 404


class Conflict(UserError):
    """The request contradicts the present state, such as a name that is taken or an edit of an old version."""

    http_status = 409


class BadRecord(TocsinError):
    """One record cannot be used.

    Attributes:
        reason: why
        stage: the step that rejected it
    """

    http_status = 422

    def __init__(self, reason: str, *, stage: str = "decode") -> None:
        super().__init__(reason)
        self.reason = reason
        self.stage = stage


class CircuitOpen(TocsinError):
    """So many records cannot be used that the fault must lie elsewhere."""


class SourceError(TocsinError):
    """One source could not be fetched.

    Attributes:
        retry_after_s: how long the server asks to wait, seconds; None if it does not say
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BrokerError(TocsinError):
    """Kafka cannot be reached, or refused the request."""

    exit_code = EXIT_TEMPFAIL
    http_status = 503


class StoreError(TocsinError):
    """ClickHouse refused the request; repeating it will not help."""

    http_status = 503


class StoreUnavailable(StoreError):
    """ClickHouse cannot answer now; the same request may succeed later."""

    exit_code = EXIT_TEMPFAIL


class LocalStoreError(TocsinError):
    """A SQLite file cannot be read or written, for example because the disk is full."""

    http_status = 503


class ModelError(TocsinError):
    """Model files are missing, damaged, or differ from the manifest."""
