"""SQL of alerts and of their deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from core.chunks import chunks
from core.records import Alert, Evidence, Why
from storage.clickhouse import ClickHouse
from storage.tables.mentions import of_kinds
from storage.timestamps import from_epoch, new_version, to_epoch


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to deliver an alert or a group to one endpoint.

    Attributes:
        alert_id: id of the alert, or subject of the group
        status: status of HTTP or SMTP; 0 without a response
        error: "" if it was delivered
        parts_delivered: number of messages delivered so far of those that make up the alert; a retry continues after them
        retry_after_s: how long the endpoint asked to wait, seconds; not stored
        first_attempt: the attempt of which this is a retry; an alert that fired again is sent again with attempts of its own
    """

    alert_id: str
    endpoint: str
    attempt: int
    sent_at: datetime
    status: int
    error: str = ""
    parts_delivered: int = 0
    retry_after_s: float = 0.0
    first_attempt: int = 1

    @property
    def delivered(self) -> bool:
        """Whether all parts were delivered. A chat may report an error with status 200."""
        return 200 <= self.status < 300 and not self.error


_LAST = 2**32 - 1
"""The maximum of a DateTime."""


class LastAlert(NamedTuple):
    """Id of an alert and end of its window, seconds since 1970."""

    id: str
    end: int


class AlertSummary(NamedTuple):
    """The fields of an alert for statistics."""

    id: str
    rule: str
    series: str
    severity: str


_COLUMNS = """id, rule, series, toUInt32(window_start), window_s, toUInt32(detected_at), severity,
    observed, expected, surprise, total, sources, evidence, measure, value, limit_value, why, event, min_materiality"""


def _alert(row: Sequence[Any]) -> Alert:
    return Alert(
        id=row[0],
        rule=row[1],
        series=row[2],
        window_start=from_epoch(row[3]),
        window_s=int(row[4]),
        detected_at=from_epoch(row[5]),
        severity=row[6],
        observed=int(row[7]),
        expected=float(row[8]),
        surprise=float(row[9]),
        total=int(row[10]),
        sources=int(row[11]),
        evidence=msgspec.json.decode(row[12], type=tuple[Evidence, ...]),
        measure=row[13] or "surprise",
        value=float(row[14]),
        limit=float(row[15]),
        why=msgspec.json.decode(row[16], type=Why) if row[16] else None,
        event=row[17],
        min_materiality=float(row[18]),
    )


def _delivery(row: Sequence[Any]) -> Delivery:
    return Delivery(
        alert_id=row[0],
        endpoint=row[1],
        attempt=int(row[2]),
        sent_at=from_epoch(row[3]),
        status=int(row[4]),
        error=row[5],
        parts_delivered=int(row[6]),
        first_attempt=int(row[7]),
    )


class AlertTable:
    """Alerts and the log of their deliveries."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def insert(self, alerts: Sequence[Alert]) -> None:
        """Store alerts; an alert stored again replaces itself. Raises StoreError."""
        self._client.insert(
            "alerts",
            {
                "id": [alert.id for alert in alerts],
                "rule": [alert.rule for alert in alerts],
                "series": [alert.series for alert in alerts],
                "window_start": [to_epoch(alert.window_start) for alert in alerts],
                "window_s": [alert.window_s for alert in alerts],
                "detected_at": [to_epoch(alert.detected_at) for alert in alerts],
                "severity": [alert.severity for alert in alerts],
                "observed": [alert.observed for alert in alerts],
                "expected": [alert.expected for alert in alerts],
                "surprise": [alert.surprise for alert in alerts],
                "total": [alert.total for alert in alerts],
                "sources": [alert.sources for alert in alerts],
                "evidence": [msgspec.json.encode(alert.evidence).decode() for alert in alerts],
                "measure": [alert.measure for alert in alerts],
                "value": [alert.value for alert in alerts],
                "limit_value": [alert.limit for alert in alerts],
                "why": [msgspec.json.encode(alert.why).decode() if alert.why else "" for alert in alerts],
                "event": [alert.event for alert in alerts],
                "min_materiality": [alert.min_materiality for alert in alerts],
                "version": [new_version()] * len(alerts),
            },
        )

    def latest(
        self, limit: int = 100, *, since: datetime | None = None, until: datetime | None = None, kinds: Sequence[str] = ()
    ) -> list[Alert]:
        """The newest alerts detected in [since, until), on series of these kinds (() for all), newest first. Raises StoreError."""
        within = f"AND {of_kinds(kinds)}" if kinds else ""
        rows = self._client.query(
            f"""
            SELECT {_COLUMNS} FROM alerts FINAL
            WHERE detected_at >= toDateTime({{since:UInt32}}) AND detected_at < toDateTime({{until:UInt32}}) {within}
            ORDER BY detected_at DESC, surprise DESC, id LIMIT {{limit:UInt32}}
            """,
            limit=limit,
            since=to_epoch(since) if since else 0,
            until=to_epoch(until) if until else _LAST,
        )
        return [_alert(row) for row in rows]

    def of_series(self, series: str, since: datetime, limit: int = 100) -> list[Alert]:
        """The newest alerts on one series whose window ended after `since`, newest first. Raises StoreError."""
        rows = self._client.query(
            f"""
            SELECT {_COLUMNS} FROM alerts FINAL
            WHERE series = {{series:String}} AND toUInt32(window_start) + window_s > {{since:UInt32}}
            ORDER BY detected_at DESC, surprise DESC, id LIMIT {{limit:UInt32}}
            """,
            series=series,
            since=to_epoch(since),
            limit=limit,
        )
        return [_alert(row) for row in rows]

    def page(
        self,
        limit: int,
        *,
        series: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        after: tuple[int, str] | None = None,
    ) -> list[Alert]:
        """A page of the alerts detected in [since, until), newest first.

        Args:
            series: only alerts on this series; "": all
            after: detection time (seconds since 1970) and id of the last alert of the previous page

        Raises:
            StoreError
        """
        rows = self._client.query(
            f"""
            SELECT {_COLUMNS} FROM alerts FINAL
            WHERE detected_at >= toDateTime({{since:UInt32}}) AND detected_at < toDateTime({{until:UInt32}})
              AND ({{series:String}} = '' OR series = {{series:String}})
              AND (toUInt32(detected_at) < {{at:UInt32}} OR (toUInt32(detected_at) = {{at:UInt32}} AND id > {{id:String}}))
            ORDER BY detected_at DESC, id LIMIT {{limit:UInt32}}
            """,
            limit=limit,
            series=series,
            since=to_epoch(since) if since else 0,
            until=to_epoch(until) if until else _LAST,
            at=after[0] if after else _LAST,
            id=after[1] if after else "",
        )
        return [_alert(row) for row in rows]

    def written(self, version: int, since: datetime) -> list[tuple[int, Alert]]:
        """(row version, alert) of alerts detected since then with a higher version than `version`, ascending. Raises StoreError."""
        rows = self._client.query(
            f"""
            SELECT {_COLUMNS}, version FROM alerts FINAL
            WHERE detected_at >= toDateTime({{since:UInt32}}) AND version > {{version:UInt64}} ORDER BY version, id
            """,
            version=version,
            since=to_epoch(since),
        )
        return [(int(row[-1]), _alert(row)) for row in rows]

    def get(self, alert_id: str) -> Alert | None:
        """The alert with this id, or None. Raises StoreError."""
        rows = self._client.query(f"SELECT {_COLUMNS} FROM alerts FINAL WHERE id = {{id:String}}", id=alert_id)
        return _alert(rows[0]) if rows else None

    def many(self, alert_ids: Sequence[str]) -> list[Alert]:
        """The stored ones of these alerts, oldest first. Raises StoreError."""
        found: list[Alert] = []
        for some in chunks(alert_ids):
            rows = self._client.query(f"SELECT {_COLUMNS} FROM alerts FINAL WHERE id IN {{ids:Array(String)}}", ids=some)
            found += map(_alert, rows)
        return sorted(found, key=lambda alert: (alert.detected_at, alert.id))

    def find(self, prefix: str, limit: int = 10) -> list[str]:
        """Ids with this prefix, sorted. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT DISTINCT id FROM alerts WHERE substring(id, 1, length({prefix:String})) = {prefix:String}
            ORDER BY id LIMIT {limit:UInt32}
            """,
            prefix=prefix,
            limit=limit,
        )
        return [row[0] for row in rows]

    def summaries(self, since: datetime) -> list[AlertSummary]:
        """A summary of every alert detected since then. Raises StoreError."""
        rows = self._client.query(
            "SELECT id, rule, series, severity FROM alerts FINAL WHERE detected_at >= toDateTime({since:UInt32})", since=to_epoch(since)
        )
        return [AlertSummary(*row) for row in rows]

    def last_alerts(self, rule: str, series: Sequence[str], since: datetime) -> dict[str, LastAlert]:
        """Series to its last alert, of alerts whose window began since then. Raises StoreError."""
        return {name: last for (_, name), last in self.last_alerts_of_rules([rule], series, since).items()}

    def last_alerts_of_rules(self, rules: Sequence[str], series: Sequence[str], since: datetime) -> dict[tuple[str, str], LastAlert]:
        """(rule, series) to its last alert, of alerts whose window began since then. Raises StoreError."""
        if not rules or not series:
            return {}
        rows = self._client.query(
            """
            SELECT rule, series, argMax(id, (toUInt32(window_start) + window_s, id)), max(toUInt32(window_start) + window_s)
            FROM alerts FINAL
            WHERE rule IN {rules:Array(String)} AND series IN {series:Array(String)} AND window_start >= toDateTime({since:UInt32})
            GROUP BY rule, series
            """,
            rules=rules,
            series=series,
            since=to_epoch(since),
        )
        return {(row[0], row[1]): LastAlert(row[2], int(row[3])) for row in rows}

    def log_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Store delivery attempts. Raises StoreError."""
        self._client.insert(
            "deliveries",
            {
                "alert_id": [delivery.alert_id for delivery in deliveries],
                "endpoint": [delivery.endpoint for delivery in deliveries],
                "attempt": [delivery.attempt for delivery in deliveries],
                "sent_at": [to_epoch(delivery.sent_at) for delivery in deliveries],
                "status": [delivery.status for delivery in deliveries],
                "error": [delivery.error for delivery in deliveries],
                "parts_delivered": [delivery.parts_delivered for delivery in deliveries],
                "first_attempt": [delivery.first_attempt for delivery in deliveries],
                "version": [new_version()] * len(deliveries),
            },
        )

    def deliveries(self, alert_ids: Sequence[str]) -> list[Delivery]:
        """All delivery attempts of these alerts, by alert and endpoint, oldest first. Raises StoreError."""
        if not alert_ids:
            return []
        rows = self._client.query(
            """
            SELECT alert_id, endpoint, attempt, toUInt32(sent_at), status, error, parts_delivered, first_attempt FROM deliveries FINAL
            WHERE alert_id IN {ids:Array(String)} ORDER BY alert_id, endpoint, attempt
            """,
            ids=alert_ids,
        )
        return [_delivery(row) for row in rows]

    def last_attempts(self, since: datetime) -> list[Delivery]:
        """The last attempt of each alert at each endpoint since then. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT alert_id, endpoint, attempt, toUInt32(sent_at), status, error, parts_delivered, first_attempt FROM deliveries FINAL
            WHERE sent_at >= toDateTime({since:UInt32}) ORDER BY alert_id, endpoint, attempt DESC LIMIT 1 BY alert_id, endpoint
            """,
            since=to_epoch(since),
        )
        return [_delivery(row) for row in rows]

    def count(self) -> int:
        """Distinct alerts. Raises StoreError."""
        return int(self._client.query("SELECT uniqExact(id) FROM alerts")[0][0])
