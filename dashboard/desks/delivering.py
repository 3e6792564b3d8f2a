"""What the page of deliveries asks of the process that serves it: the dashboard knows neither endpoints nor when they are tried again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

from spine.deeds import Deeds

Outcome = Literal["delivered", "waiting", "failed", "dead"]
OUTCOMES: tuple[Outcome, ...] = ("delivered", "waiting", "failed", "dead")
"""waiting: for its turn, or because somebody asked for it; failed: another attempt is due; dead: none is, or ever will be."""
DAYS = 31
"""How far back the log reaches."""


class Sent(NamedTuple):
    """An alert, a group or a test at one endpoint, with its last attempt.

    subject: what the log calls it; alert_ids: the alerts in it, none for a test
    next_at: when another attempt is due, as far as is known; asked_by: who wants it sent once more
    """

    subject: str
    endpoint: str
    attempt: int
    sent_at: datetime
    status: int
    error: str
    outcome: Outcome
    alert_ids: tuple[str, ...]
    next_at: datetime | None = None
    asked_by: str = ""


class Place(NamedTuple):
    """An endpoint, and how many of the last DAYS have which outcome there.

    state: ok, waiting, failing, gone, paused or unused; "" for one that the settings have no more
    """

    endpoint: str
    state: str
    last_at: datetime | None
    counts: dict[Outcome, int]


class DeliveryLog(NamedTuple):
    """Endpoints as the settings have them, then those that they have no more; deliveries, the newest first."""

    places: tuple[Place, ...]
    sent: tuple[Sent, ...]


class Delivering(Protocol):
    """Thread safe. Every method raises StoreError, and SettingsError for what cannot be sent; the worker sends within seconds."""

    def log(self) -> DeliveryLog:
        """The deliveries of the last DAYS."""

    def replay(self, endpoint: str, subjects: Sequence[str], deeds: Deeds) -> int:
        """Ask for these to be sent there once more; how many were asked for."""

    def replay_failed(self, endpoint: str, deeds: Deeds) -> int:
        """The same for all that failed or are dead there."""

    def try_out(self, endpoint: str, deeds: Deeds) -> None:
        """Ask for a test to be sent there, in its form, though it is paused or gone."""
