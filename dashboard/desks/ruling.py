"""What the page of rules asks of the process that serves it: the dashboard knows no rules, it shows and hands on their text."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple, Protocol

from spine.records import Alert


class InForce(NamedTuple):
    """The rules that ring now. id: of the text that was written here, "" where they come from the settings; who, at: of that text"""

    id: str
    text: str
    who: str = ""
    at: datetime | None = None


class Foreseen(NamedTuple):
    """What rules would have rung in [since, until): by rule how often, and the alerts, oldest first."""

    since: datetime
    until: datetime
    stories: int
    rules: dict[str, int]
    alerts: tuple[Alert, ...]


class Ruling(Protocol):
    """Thread safe. Every method raises StoreError."""

    def in_force(self) -> InForce:
        """The text of the rules that ring now."""

    def foresee(self, text: str) -> Foreseen:
        """What these rules would have rung in the last 30 days. Raises SettingsError with a line for each mistake."""

    def save(self, text: str, base: str, who: str) -> InForce:
        """Put these rules in force in place of those of id `base`. Raises SettingsError for mistakes, and where others are by now."""
