"""The error tree. A message says what happened, where, and what to do.

TocsinError
├── SettingsError        a setting, a file or an address is wrong: the person can mend it (exit code 2)
├── BadRecord            one record cannot be used: it goes to dead letters, the rest go on
├── Flooded              too many records cannot be used: nothing more is set aside, the worker ends
├── SourceError          one source could not be read: it is tried again later
├── BrokerError          Kafka could not be reached or refused
├── StoreError           ClickHouse could not be reached or refused
│   └── StoreBusy        it may work when tried again
└── ModelError           the model's files are missing, damaged or not ours
"""

from __future__ import annotations

EXIT_MEND = 2
"""Exit status: a setting, a file or an address is wrong; a person has to mend it."""
EXIT_LATER = 75
"""Exit status: a server that is not ours to start does not answer; trying again may help (EX_TEMPFAIL of sysexits.h)."""


class TocsinError(Exception):
    """Anything that Tocsin raises on purpose."""


class SettingsError(TocsinError):
    """A setting, a file or an address is wrong; the message names it and how to mend it."""


class BadRecord(TocsinError):
    """One record cannot be used. `stage` names the step that refused it."""

    def __init__(self, reason: str, *, stage: str = "decode") -> None:
        super().__init__(reason)
        self.reason = reason
        self.stage = stage


class Flooded(TocsinError):
    """So many records cannot be used that it is not the records."""


class SourceError(TocsinError):
    """One source could not be read. `retry_after_s` is what its server asked for, if it did."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BrokerError(TocsinError):
    """Kafka could not be reached, or refused what was asked."""


class StoreError(TocsinError):
    """ClickHouse refused what was asked; asking again will not help."""


class StoreBusy(StoreError):
    """ClickHouse could not answer now; the same request may work when tried again."""


class ModelError(TocsinError):
    """The model's files are missing, damaged, or not what the manifest says."""
