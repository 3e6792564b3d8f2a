"""SQL of what people want delivered once more. A request is done when another attempt was made: the log of deliveries says so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from storage.clickhouse import ClickHouse
from storage.timestamps import from_us, new_version, to_us


class Replay(NamedTuple):
    """Somebody wants an alert, or a group's subject, sent to an endpoint once more.

    after: the last attempt that they knew of, 0 for none: the next one is what they ask for
    """

    alert_id: str
    endpoint: str
    after: int
    at: datetime
    actor: str


class ReplayTable:
    """What was asked for. Rows are only added, and the same request again replaces itself."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def ask(self, replays: Sequence[Replay]) -> None:
        """Keep requests for whoever delivers. Raises StoreError."""
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
        """Those that were made since then, done or not, the oldest first. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT alert_id, endpoint, after, at_us, actor FROM delivery_replays FINAL
            WHERE at_us >= {since:UInt64} ORDER BY at_us, alert_id, endpoint
            """,
            since=to_us(at),
        )
        return [Replay(row[0], row[1], int(row[2]), from_us(row[3]), row[4]) for row in rows]

    def version(self) -> int:
        """Grows with each request: who has seen this one has seen them all. Raises StoreError."""
        return int(self._client.query("SELECT max(version) FROM delivery_replays")[0][0])
