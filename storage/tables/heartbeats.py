"""SQL of heartbeats: which processes of this installation are alive, and what each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from storage.clickhouse import ClickHouse
from storage.timestamps import from_epoch, new_version, to_epoch

State = Literal["starting", "ready", "ended"]
EVERY_S = 15.0
"""How often a process says that it is alive."""
GONE_S = 60.0
"""One that was not heard for so long is gone, whatever it said last."""
KEEP = timedelta(days=31)


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """What a process said of itself.

    id: of the process, new at each start; roles: crawl, work, dashboard or schedule
    started_at, at: since when it is there, and when it said so last
    model: that it scores with, "" where it scores nothing; waiting: articles that wait in its outbox
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
    """One row for each process; those of whole months that are long over are dropped."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def put(self, beats: Sequence[Heartbeat]) -> None:
        """Note what processes say. Raises StoreError."""
        self._client.insert(
            "heartbeats",
            {
                "id": [beat.id for beat in beats],
                "roles": [list(beat.roles) for beat in beats],
                "host": [beat.host for beat in beats],
                "pid": [beat.pid for beat in beats],
                "release": [beat.version for beat in beats],
                "started_at": [to_epoch(beat.started_at) for beat in beats],
                "at": [to_epoch(beat.at) for beat in beats],
                "state": [beat.state for beat in beats],
                "model": [beat.model for beat in beats],
                "waiting": [beat.waiting for beat in beats],
                "version": [new_version()] * len(beats),
            },
        )

    def latest(self, since: datetime, limit: int = 50) -> list[Heartbeat]:
        """Processes that were heard since then, the one heard last first. Raises StoreError."""
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
        """Drop the months that ended before KEEP ago; one who started then and is alive says so again at once. Raises StoreError."""
        rows = self._client.query("SELECT DISTINCT toYYYYMM(started_at) FROM heartbeats")
        last = int(f"{now - KEEP:%Y%m}")
        for month in sorted(int(row[0]) for row in rows if int(row[0]) < last):
            self._client.command(f"ALTER TABLE heartbeats DROP PARTITION {month}")
