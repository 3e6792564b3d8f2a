"""SQL of what becomes of alerts: what was done to them, when they were last seen, and why they were not delivered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from core.chunks import chunks
from domain.alert_lifecycle import AlertEvent
from storage.clickhouse import ClickHouse
from storage.timestamps import from_epoch, from_us, new_version, to_epoch, to_us

Cause = Literal["silence", "inhibition", "quiet hours", "resolved", "group", "digest"]


class SuppressedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """Why an alert was not sent to an endpoint when it was due.

    cause: group and digest: it waits for others, to be sent together with them
    owner: what withheld it: a silence's or an alert's id, or a name
    at: since when; until: as far as is known then; None: nobody knows
    text: why, for people
    """

    alert_id: str
    endpoint: str
    cause: Cause
    owner: str
    at: datetime
    until: datetime | None
    text: str

    @property
    def final(self) -> bool:
        """Whether it will never be sent."""
        return self.cause == "resolved"


class AlertLifecycleTable:
    """What was done to alerts, by people and by time. Rows are only added, and the same ones again change nothing."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def add(self, events: Sequence[AlertEvent]) -> None:
        """Note what was done. Raises StoreError."""
        self._client.insert(
            "alert_events",
            {
                "alert_id": [event.alert_id for event in events],
                "id": [event.id for event in events],
                "at_us": [to_us(event.at) for event in events],
                "kind": [event.kind for event in events],
                "actor": [event.actor for event in events],
                "text": [event.text for event in events],
                "version": [new_version()] * len(events),
            },
        )

    def events(self, alert_ids: Sequence[str]) -> list[AlertEvent]:
        """All that was done to these alerts, oldest first for each. Raises StoreError."""
        found: list[AlertEvent] = []
        for some in chunks(alert_ids):
            rows = self._client.query(
                """
                SELECT id, alert_id, at_us, kind, actor, text FROM alert_events FINAL
                WHERE alert_id IN {ids:Array(String)} ORDER BY alert_id, at_us, id
                """,
                ids=some,
            )
            found += [AlertEvent(id=row[0], alert_id=row[1], at=from_us(row[2]), kind=row[3], actor=row[4], text=row[5]) for row in rows]
        return found

    def verdicts(self, since: datetime) -> list[AlertEvent]:
        """All judgements of alerts that were made since then, oldest first for each alert. Raises StoreError.

        An alert is judged after it rang: those of alerts that rang since then are among them.
        """
        rows = self._client.query(
            """
            SELECT id, alert_id, at_us, kind, actor, text FROM alert_events FINAL
            WHERE substring(kind, 1, 7) = 'judged_' AND at_us >= {since:UInt64} ORDER BY alert_id, at_us, id
            """,
            since=to_us(since),
        )
        return [AlertEvent(id=row[0], alert_id=row[1], at=from_us(row[2]), kind=row[3], actor=row[4], text=row[5]) for row in rows]

    def record_breach(self, alert_ids: Sequence[str], at: datetime) -> None:
        """Note that the series of these alerts were over their bar at that time; an earlier time changes nothing. Raises StoreError."""
        self._client.insert("alert_last_breach", {"alert_id": list(alert_ids), "at": [to_epoch(at)] * len(alert_ids)})

    def last_breaches(self, alert_ids: Sequence[str]) -> dict[str, datetime]:
        """When the series of these alerts were over their bar for the last time, of those for which `seen` was told. Raises StoreError."""
        found: dict[str, datetime] = {}
        for some in chunks(alert_ids):
            rows = self._client.query(
                "SELECT alert_id, toUInt32(max(at)) FROM alert_last_breach WHERE alert_id IN {ids:Array(String)} GROUP BY alert_id",
                ids=some,
            )
            found |= {row[0]: from_epoch(row[1]) for row in rows}
        return found

    def suppress(self, items: Sequence[SuppressedDelivery]) -> None:
        """Note why alerts are not sent; the same cause again replaces itself. Raises StoreError."""
        self._client.insert(
            "suppressed_deliveries",
            {
                "alert_id": [item.alert_id for item in items],
                "endpoint": [item.endpoint for item in items],
                "cause": [item.cause for item in items],
                "owner": [item.owner for item in items],
                "at": [to_epoch(item.at) for item in items],
                "until": [to_epoch(item.until) if item.until else 0 for item in items],
                "text": [item.text for item in items],
                "version": [new_version()] * len(items),
            },
        )

    def suppressed(self, alert_ids: Sequence[str]) -> list[SuppressedDelivery]:
        """Why these alerts were not sent when they were due, oldest first for each. Raises StoreError."""
        found: list[SuppressedDelivery] = []
        for some in chunks(alert_ids):
            found += self._suppressed("alert_id IN {ids:Array(String)}", ids=some)
        return found

    def suppressed_since(self, since: datetime) -> list[SuppressedDelivery]:
        """The same for all that was withheld since then. Raises StoreError."""
        return self._suppressed("at >= toDateTime({since:UInt32})", since=to_epoch(since))

    def _suppressed(self, where: str, **values: int | Sequence[str]) -> list[SuppressedDelivery]:
        rows = self._client.query(
            f"""
            SELECT alert_id, endpoint, cause, owner, toUInt32(at), toUInt32(until), text FROM suppressed_deliveries FINAL
            WHERE {where} ORDER BY alert_id, at, endpoint, cause, owner
            """,
            **values,
        )
        return [
            SuppressedDelivery(
                alert_id=row[0],
                endpoint=row[1],
                cause=row[2],
                owner=row[3],
                at=from_epoch(row[4]),
                until=from_epoch(row[5]) if row[5] else None,
                text=row[6],
            )
            for row in rows
        ]
