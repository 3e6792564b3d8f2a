"""SQL of the groups in which alerts are sent: each is kept, with its members, before it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from core.chunks import chunks
from storage.clickhouse import ClickHouse
from storage.timestamps import from_us, new_version, to_epoch, to_us

_COLUMNS = "id, endpoint, group_key, at_us, firing, new_alerts, resolved, ended_us, digest"
PREFIX = "group:"
"""Before a group's id where alerts have theirs: no alert's id holds a colon."""


class AlertGroup(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to send to one endpoint, and afterwards a line of the log of what was planned.

    id: of endpoint, key, time and members, and nothing else
    at: when it is, or was, due
    firing: all that fires then, in order of their ids; of a digest: those among them that the endpoint was not told of before
    fresh: what the endpoint was not told of before
    resolved: what is over: of what the endpoint was told of before, or what it is told of all the same
    ended: since when each of them is over
    """

    id: str
    endpoint: str
    key: str
    at: datetime
    firing: tuple[str, ...]
    new_alerts: tuple[str, ...]
    resolved: tuple[str, ...] = ()
    ended: tuple[datetime, ...] = ()
    digest: bool = False

    @property
    def subject(self) -> str:
        """What the delivery log calls it."""
        return PREFIX + self.id

    @property
    def members(self) -> tuple[str, ...]:
        """The ids of all its alerts."""
        return (*self.firing, *self.resolved)


class AlertGroupTable:
    """What was planned to be sent together. Rows are only added, and the same ones again replace themselves."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def keep(self, groups: Sequence[AlertGroup]) -> None:
        """Keep a plan. Raises StoreError."""
        self._client.insert(
            "alert_groups",
            {
                "id": [group.id for group in groups],
                "endpoint": [group.endpoint for group in groups],
                "group_key": [group.key for group in groups],
                "at": [to_epoch(group.at) for group in groups],
                "at_us": [to_us(group.at) for group in groups],
                "firing": [list(group.firing) for group in groups],
                "new_alerts": [list(group.new_alerts) for group in groups],
                "resolved": [list(group.resolved) for group in groups],
                "ended_us": [[to_us(each) for each in group.ended] for group in groups],
                "digest": [int(group.digest) for group in groups],
                "version": [new_version()] * len(groups),
            },
        )

    def since(self, at: datetime) -> list[AlertGroup]:
        """Those that were due since then, the oldest first. Raises StoreError."""
        return self._read("at >= toDateTime({since:UInt32})", since=to_epoch(at))

    def get(self, group_id: str) -> AlertGroup | None:
        """The group with this id, if there is one. Raises StoreError."""
        return next(iter(self._read("id = {id:String}", id=group_id)), None)

    def of(self, alert_ids: Sequence[str]) -> list[AlertGroup]:
        """Those that hold one of these alerts, the oldest first. Raises StoreError."""
        found: dict[str, AlertGroup] = {}
        for some in chunks(alert_ids):
            rows = self._client.query(
                """
                SELECT DISTINCT id FROM (
                    SELECT id, arrayJoin(arrayConcat(firing, resolved)) AS member FROM alert_groups
                ) WHERE member IN {ids:Array(String)}
                """,
                ids=some,
            )
            for ids in chunks([row[0] for row in rows]):
                found |= {group.id: group for group in self._read("id IN {ids:Array(String)}", ids=ids)}
        return sorted(found.values(), key=lambda group: (group.at, group.id))

    def _read(self, where: str, **values: str | int | Sequence[str]) -> list[AlertGroup]:
        rows = self._client.query(f"SELECT {_COLUMNS} FROM alert_groups FINAL WHERE {where} ORDER BY at_us, id", **values)
        return [_group(row) for row in rows]


def _group(row: Sequence[Any]) -> AlertGroup:
    return AlertGroup(
        id=row[0],
        endpoint=row[1],
        key=row[2],
        at=from_us(row[3]),
        firing=tuple(row[4]),
        new_alerts=tuple(row[5]),
        resolved=tuple(row[6]),
        ended=tuple(from_us(each) for each in row[7]),
        digest=bool(row[8]),
    )
