"""SQL of heartbeats: the processes of this installation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from storage.clickhouse import ClickHouse
from storage.timestamps import from_epoch, new_version, to_epoch

State = Literal["starting", "ready", "ended"]
EVERY_S = 15.0
"""Interval between heartbeats of a process, seconds."""
GONE_S = 60.0
"""A process without a heartbeat for so long counts as gone, seconds."""
KEEP = timedelta(days=31)


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """The last heartbeat of a process.

    Attributes:
        id: new at each start of a process
        roles: crawl, work, dashboard or schedule
        at: time of the heartbeat
        model: version of the model it scores with, or ""
        waiting: number of articles in its outbox
    """

    id: str
    roles: tuple[str, ...]
    host: str
    pid: int
    version: str
    started_at: datetime
    at: datetime
    state: State = "ready"
    model: str = ""
    waiting: int = 0


class HeartbeatTable:
    """One row per process; old months are dropped."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def put(self, heartbeats: Sequence[Heartbeat]) -> None:
        """Store heartbeats. Raises StoreError."""
        self._client.insert(
            "heartbeats",
            {
                "id": [each.id for each in heartbeats],
                "roles": [list(each.roles) for each in heartbeats],
                "host": [each.host for each in heartbeats],
                "pid": [each.pid for each in heartbeats],
                "release": [each.version for each in heartbeats],
                "started_at": [to_epoch(each.started_at) for each in heartbeats],
                "at": [to_epoch(each.at) for each in heartbeats],
                "state": [each.state for each in heartbeats],
                "model": [each.model for each in heartbeats],
                "waiting": [each.waiting for each in heartbeats],
                "version": [new_version()] * len(heartbeats),
            },
        )

    def latest(self, since: datetime, limit: int = 50) -> list[Heartbeat]:
        """Processes with a heartbeat since then, the latest first. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT id, roles, host, pid, release, toUInt32(started_at), toUInt32(at), state, model, waiting FROM heartbeats FINAL
            WHERE at >= toDateTime({since:UInt32}) ORDER BY at DESC, id LIMIT {limit:UInt32}
            """,
            since=to_epoch(since),
            limit=limit,
        )
        return [
            Heartbeat(
                id=row[0],
                roles=tuple(row[1]),
                host=row[2],
                pid=int(row[3]),
                version=row[4],
                started_at=from_epoch(row[5]),
                at=from_epoch(row[6]),
                state=row[7],
                model=row[8],
                waiting=int(row[9]),
            )
            for row in rows
        ]

    def forget(self, now: datetime) -> None:
        """Drop the months that ended before KEEP ago; a running process comes back with its next heartbeat. Raises StoreError."""
        rows = self._client.query("SELECT DISTINCT toYYYYMM(started_at) FROM heartbeats")
        last = int(f"{now - KEEP:%Y%m}")
        for month in sorted(int(row[0]) for row in rows if int(row[0]) < last):
            self._client.command(f"ALTER TABLE heartbeats DROP PARTITION {month}")
