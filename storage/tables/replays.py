"""SQL of replay requests for deliveries. A request is done once the delivery log has a later attempt."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from storage.clickhouse import ClickHouse
from storage.timestamps import from_us, new_version, to_us


class Replay(NamedTuple):
    """A request to deliver an alert or a group to an endpoint again.

    Attributes:
        after: number of the last attempt, 0 for none; the request is for the next one
    """

    alert_id: str
    endpoint: str
    after: int
    at: datetime
    actor: str


class ReplayTable:
    """Replay requests. Rows are only added; a request stored again replaces itself."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def insert(self, replays: Sequence[Replay]) -> None:
        """Store requests for the worker. Raises StoreError."""
        self._client.insert(
            "delivery_replays",
            {
                "alert_id": [each.alert_id for each in replays],
                "endpoint": [each.endpoint for each in replays],
                "after": [each.after for each in replays],
                "at_us": [to_us(each.at) for each in replays],
                "actor": [each.actor for each in replays],
                "version": [new_version()] * len(replays),
            },
        )

    def since(self, at: datetime) -> list[Replay]:
        """Requests since then, done or not, oldest first. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT alert_id, endpoint, after, at_us, actor FROM delivery_replays FINAL
            WHERE at_us >= {since:UInt64} ORDER BY at_us, alert_id, endpoint
            """,
            since=to_us(at),
        )
        return [Replay(row[0], row[1], int(row[2]), from_us(row[3]), row[4]) for row in rows]

    def version(self) -> int:
        """A number that grows with each request, to detect new ones. Raises StoreError."""
        return int(self._client.query("SELECT max(version) FROM delivery_replays")[0][0])
