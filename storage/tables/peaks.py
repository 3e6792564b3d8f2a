"""SQL of peaks: the highest surprise of each series per hour, from which the alert threshold is estimated."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from storage.clickhouse import ClickHouse
from storage.timestamps import from_epoch, to_epoch


class PeakRow(NamedTuple):
    """The window of a series with the highest surprise in one hour. surprise: -log10 p"""

    series: str
    end: datetime
    width_s: int
    surprise: float


class PeakTable:
    """Peaks of surprise by rule."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def insert(self, rule: str, peaks: Sequence[PeakRow]) -> None:
        """Store peaks; of one series and hour the highest is kept, in any order of writing. Raises StoreError."""
        self._client.insert(
            "peaks",
            {
                "rule": [rule] * len(peaks),
                "series": [peak.series for peak in peaks],
                "hour": [to_epoch(peak.end) // 3600 * 3600 for peak in peaks],
                "ended": [to_epoch(peak.end) for peak in peaks],
                "width_s": [peak.width_s for peak in peaks],
                "surprise": [peak.surprise for peak in peaks],
                "version": [int(min(peak.surprise, 1e6) * 1e6) for peak in peaks],
            },
        )

    def since(self, rule: str, since: datetime) -> list[PeakRow]:
        """Peaks of windows that ended since then, oldest first. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT series, toUInt32(ended), width_s, surprise FROM peaks FINAL
            WHERE rule = {rule:String} AND hour >= toDateTime({since:UInt32}) AND series != '' ORDER BY ended, series
            """,
            rule=rule,
            since=to_epoch(since) // 3600 * 3600,
        )
        return [PeakRow(row[0], from_epoch(row[1]), int(row[2]), float(row[3])) for row in rows]

    def began(self, rule: str, now: datetime) -> datetime:
        """Since when peaks of this rule are recorded; begins the record at `now` if there is none. Raises StoreError."""
        rows = self._client.query("SELECT count(), toUInt32(min(ended)) FROM peaks WHERE rule = {rule:String}", rule=rule)
        if int(rows[0][0]):
            return from_epoch(rows[0][1])
        self.insert(rule, [PeakRow("", now, 0, 0.0)])
        return from_epoch(to_epoch(now))
