"""SQL of the lifecycle of alerts: events, the last breach of the threshold, and suppressed deliveries.

SQL of silences. Rows are neither deleted nor changed: an early end is a row of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from core.chunks import chunks
from domain.alert_lifecycle import AlertEvent, Silence
from storage.clickhouse import ClickHouse
from storage.timestamps import from_epoch, from_us, new_version, to_epoch, to_us

Cause = Literal["silence", "inhibition", "quiet hours", "resolved", "group", "digest"]


class SuppressedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """The reason why an alert was not delivered to an endpoint when it was due.

    Attributes:
        cause: "group" and "digest" mean that it waits for other alerts
        owner: id of the silence or of the inhibiting alert, or a name
        at: since when
        until: expected end; None if unknown
        text: the reason for display
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
        """Whether it will never be delivered."""
        return self.cause == "resolved"


class AlertLifecycleTable:
    """Events of alerts. Rows are only added; an event stored again has no effect."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def add(self, events: Sequence[AlertEvent]) -> None:
        """Store events. Raises StoreError."""
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
        """All events of these alerts, by alert, oldest first. Raises StoreError."""
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
        """All verdicts since then, by alert, oldest first; they include those on all alerts detected since then. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT id, alert_id, at_us, kind, actor, text FROM alert_events FINAL
            WHERE substring(kind, 1, 8) = 'verdict_' AND at_us >= {since:UInt64} ORDER BY alert_id, at_us, id
            """,
            since=to_us(since),
        )
        return [AlertEvent(id=row[0], alert_id=row[1], at=from_us(row[2]), kind=row[3], actor=row[4], text=row[5]) for row in rows]

    def record_breach(self, alert_ids: Sequence[str], at: datetime) -> None:
        """Store that the series of these alerts were over their threshold at `at`; an earlier time has no effect. Raises StoreError."""
        self._client.insert("alert_last_breach", {"alert_id": list(alert_ids), "at": [to_epoch(at)] * len(alert_ids)})

    def last_breaches(self, alert_ids: Sequence[str]) -> dict[str, datetime]:
        """Alert id to the last time when its series was over the threshold; alerts without one are left out. Raises StoreError."""
        found: dict[str, datetime] = {}
        for some in chunks(alert_ids):
            rows = self._client.query(
                "SELECT alert_id, toUInt32(max(at)) FROM alert_last_breach WHERE alert_id IN {ids:Array(String)} GROUP BY alert_id",
                ids=some,
            )
            found |= {row[0]: from_epoch(row[1]) for row in rows}
        return found

    def suppress(self, items: Sequence[SuppressedDelivery]) -> None:
        """Store why alerts are not delivered; the same cause again replaces itself. Raises StoreError."""
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
        """Suppressed deliveries of these alerts, by alert, oldest first. Raises StoreError."""
        found: list[SuppressedDelivery] = []
        for some in chunks(alert_ids):
            found += self._suppressed("alert_id IN {ids:Array(String)}", ids=some)
        return found

    def suppressed_since(self, since: datetime) -> list[SuppressedDelivery]:
        """Suppressed deliveries since then, by alert, oldest first. Raises StoreError."""
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


class SilenceTable:
    """Silences and their early ends."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def add(self, silences: Sequence[Silence]) -> None:
        """Store silences; one stored again replaces itself. Raises StoreError."""
        self._client.insert(
            "silences",
            {
                "id": [each.id for each in silences],
                "series": [list(each.series) for each in silences],
                "rules": [list(each.rules) for each in silences],
                "least": [each.least for each in silences],
                "most": [each.most for each in silences],
                "starts_at": [to_epoch(each.starts_at) for each in silences],
                "ends_at": [to_epoch(each.ends_at) for each in silences],
                "author": [each.author for each in silences],
                "comment": [each.comment for each in silences],
                "created_at": [to_epoch(each.created_at) for each in silences],
                "version": [new_version()] * len(silences),
            },
        )

    def end(self, silence_ids: Sequence[str], at: datetime, actor: str) -> None:
        """End silences at `at`. Of several ends the earliest counts. Raises StoreError."""
        self._client.insert(
            "silence_ends",
            {
                "id": list(silence_ids),
                "ended_at": [to_epoch(at)] * len(silence_ids),
                "ended_by": [actor] * len(silence_ids),
                "version": [new_version()] * len(silence_ids),
            },
        )

    def all(self, since: datetime | None = None) -> list[Silence]:
        """Silences with a planned end after `since` (None: all), newest first. Raises StoreError."""
        return self._read("ends_at > toDateTime({since:UInt32})", since=to_epoch(since) if since else 0)

    def find(self, prefix: str, limit: int = 10) -> list[Silence]:
        """Silences whose id has this prefix. Raises StoreError."""
        return self._read("substring(id, 1, length({prefix:String})) = {prefix:String}", f"LIMIT {int(limit)}", prefix=prefix)

    def _read(self, where: str, limit: str = "", **values: str | int) -> list[Silence]:
        rows = self._client.query(
            f"""
            SELECT id, series, rules, least, most, toUInt32(starts_at), toUInt32(ends_at), author, comment, toUInt32(created_at)
            FROM silences FINAL WHERE {where} ORDER BY created_at DESC, id {limit}
            """,
            **values,
        )
        ends = self._ends([row[0] for row in rows])
        return [
            Silence(
                id=row[0],
                series=tuple(row[1]),
                rules=tuple(row[2]),
                least=row[3],
                most=row[4],
                starts_at=from_epoch(row[5]),
                ends_at=from_epoch(row[6]),
                author=row[7],
                comment=row[8],
                created_at=from_epoch(row[9]),
                ended_at=ends[row[0]][0] if row[0] in ends else None,
                ended_by=ends[row[0]][1] if row[0] in ends else "",
            )
            for row in rows
        ]

    def _ends(self, ids: Sequence[str]) -> dict[str, tuple[datetime, str]]:
        """The earliest early end of each silence, with its actor."""
        if not ids:
            return {}
        rows = self._client.query(
            """
            SELECT id, toUInt32(ended_at), ended_by FROM silence_ends FINAL
            WHERE id IN {ids:Array(String)} ORDER BY id, ended_at, ended_by LIMIT 1 BY id
            """,
            ids=ids,
        )
        return {row[0]: (from_epoch(row[1]), row[2]) for row in rows}
