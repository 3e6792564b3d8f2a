"""SQL of rules and watchlists edited on the dashboard: each revision is stored as a whole, so that the history stays known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from core.records import sha
from storage.clickhouse import ClickHouse

_SINCE_1970 = datetime(1970, 1, 1, tzinfo=UTC)


class ConfigRevision(NamedTuple):
    """One revision of the rules or watchlists as TOML; "" means none. id: hash of content, actor and time"""

    id: str
    at: datetime
    actor: str
    text: str


class ConfigRevisionTable:
    """Revisions; the newest one is in force."""

    def __init__(self, client: ClickHouse, table: Literal["rule_texts", "watchlist_texts"] = "rule_texts") -> None:
        self._client, self._table = client, table

    def add(self, text: str, actor: str, at: datetime) -> ConfigRevision:
        """Store a new revision. Raises StoreError."""
        at_us = (at - _SINCE_1970) // timedelta(microseconds=1)
        made = ConfigRevision(sha(self._table, text, actor, str(at_us)), at, actor, text)
        self._client.insert(self._table, {"id": [made.id], "at_us": [at_us], "actor": [actor], "text": [text], "version": [at_us]})
        return made

    def newest(self) -> ConfigRevision | None:
        """The revision in force, or None. Raises StoreError."""
        return next(iter(self.latest(1)), None)

    def latest(self, limit: int = 20) -> list[ConfigRevision]:
        """The latest revisions, newest first. Raises StoreError."""
        rows = self._client.query(
            f"SELECT id, at_us, actor, text FROM {self._table} FINAL ORDER BY at_us DESC, id LIMIT {{limit:UInt32}}", limit=limit
        )
        return [ConfigRevision(row[0], _SINCE_1970 + timedelta(microseconds=int(row[1])), row[2], row[3]) for row in rows]
