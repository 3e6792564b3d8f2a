"""SQL of alert groups: alerts that are delivered together. A group is stored with its members before it is sent.

SQL of replay requests for deliveries. A request is done once the delivery log has a later attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from core.chunks import chunks
from storage.clickhouse import ClickHouse
from storage.timestamps import from_us, new_version, to_epoch, to_us

_COLUMNS = "id, endpoint, group_key, at_us, firing, new_alerts, resolved, ended_us, digest"
PREFIX = "group:"
"""Prefix of a group's id in the place of an alert's id, which never contains a colon."""


class AlertGroup(msgspec.Struct, frozen=True, kw_only=True):
    """One planned delivery of several alerts to one endpoint.

    Attributes:
        id: hash of endpoint, key, time and members
        at: when it is due
        firing: ids of the firing alerts, sorted; of a digest only those not sent to the endpoint before
        new_alerts: ids of the alerts not sent to the endpoint before
        resolved: ids of the resolved alerts
        ended: end of each resolved alert
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
        """Its id in the delivery log."""
        return PREFIX + self.id

    @property
    def members(self) -> tuple[str, ...]:
        """Ids of all its alerts."""
        return (*self.firing, *self.resolved)


class AlertGroupTable:
    """Planned groups. Rows are only added; a group stored again replaces itself."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def insert(self, groups: Sequence[AlertGroup]) -> None:
        """Store planned groups. Raises StoreError."""
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
        """Groups due since then, oldest first. Raises StoreError."""
        return self._read("at >= toDateTime({since:UInt32})", since=to_epoch(at))

    def get(self, group_id: str) -> AlertGroup | None:
        """The group with this id, or None. Raises StoreError."""
        return next(iter(self._read("id = {id:String}", id=group_id)), None)

    def of(self, alert_ids: Sequence[str]) -> list[AlertGroup]:
        """Groups that contain one of these alerts, oldest first. Raises StoreError."""
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
