"""SQL of the rules that were written on the dashboard: the whole text each time, so that what was in force stays known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from spine.clickhouse import ClickHouse
from spine.records import sha

_SINCE_1970 = datetime(1970, 1, 1, tzinfo=UTC)


class RuleText(NamedTuple):
    """The rules as somebody wrote them, as TOML; "" means none but the detector. id: of its content, writer and moment"""

    id: str
    at: datetime
    who: str
    text: str


class RuleTexts:
    """What was written, the newest of which is in force."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def add(self, text: str, who: str, at: datetime) -> RuleText:
        """Put a text in force. Raises StoreError."""
        at_us = (at - _SINCE_1970) // timedelta(microseconds=1)
        made = RuleText(sha("rules", text, who, str(at_us)), at, who, text)
        self._client.insert("rule_texts", {"id": [made.id], "at_us": [at_us], "who": [who], "text": [text], "version": [at_us]})
        return made

    def newest(self) -> RuleText | None:
        """The one in force; None: nobody wrote any yet. Raises StoreError."""
        return next(iter(self.latest(1)), None)

    def latest(self, limit: int = 20) -> list[RuleText]:
        """What was written, the newest first. Raises StoreError."""
        rows = self._client.query(
            "SELECT id, at_us, who, text FROM rule_texts FINAL ORDER BY at_us DESC, id LIMIT {limit:UInt32}", limit=limit
        )
        return [RuleText(row[0], _SINCE_1970 + timedelta(microseconds=int(row[1])), row[2], row[3]) for row in rows]
