"""SQL of rules and watchlists edited on the dashboard: each revision is stored as a whole, so that the history stays known.

SQL of watchlist backfill: which watchlists have their history among the mentions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from core.records import sha
from core.series import watchlist_series
from storage.clickhouse import ClickHouse
from storage.timestamps import new_version, to_epoch

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


NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
"""Pattern of watchlist names."""


class WatchlistTable:
    """Watchlists whose history was backfilled."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def filled(self) -> dict[str, str]:
        """Name to the digest of the definition with which the watchlist was backfilled. Raises StoreError."""
        return {str(name): str(digest) for name, digest in self._client.query("SELECT name, digest FROM watchlists FINAL")}

    def mark(self, digests: Mapping[str, str]) -> None:
        """Store that these watchlists were backfilled. digests: name to digest. Raises StoreError."""
        self._client.insert(
            "watchlists",
            {"name": list(digests), "digest": list(digests.values()), "version": [new_version()] * len(digests)},
        )

    def forget(self, names: Sequence[str], since: datetime) -> None:
        """Delete the mentions of these watchlists published since then, because their definitions changed.

        The deletion runs in the background and does not affect rows stored after this call.

        Raises:
            StoreError
            ValueError: a name is not valid
        """
        for name in names:
            if not NAME.fullmatch(name):
                message = f"{name!r} is not a valid watchlist name"
                raise ValueError(message)
            self._client.command(
                f"ALTER TABLE mentions DELETE WHERE series = '{watchlist_series(name)}' AND published_at >= toDateTime({to_epoch(since)})"
            )
