"""SQL of silences. Rows are neither deleted nor changed: an early end is a row of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from domain.alert_lifecycle import Silence
from storage.clickhouse import ClickHouse
from storage.timestamps import from_epoch, new_version, to_epoch


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
        """The earliest early end of each silence, and by whom."""
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
