"""Which tables were written to, told by the names of their parts: no row is read, however many there are."""

from __future__ import annotations

from collections.abc import Sequence

from storage.clickhouse import ClickHouse


class TableChanges:
    """What a reader asks every second, to read the rest only when something came."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def marks(self, tables: Sequence[str]) -> dict[str, int]:
        """A number for each table: another one after an insert, or when a month was dropped; merges change nothing. 0: it is empty.

        Each insert takes the next block number of its partition. Raises StoreError.
        """
        rows = self._client.query(
            """
            SELECT table, sum(cityHash64(partition_id, block)) FROM (
                SELECT table, partition_id, max(max_block_number) AS block FROM system.parts
                WHERE active AND database = currentDatabase() AND table IN {tables:Array(String)} GROUP BY table, partition_id
            ) GROUP BY table
            """,
            tables=tables,
        )
        known = {row[0]: int(row[1]) for row in rows}
        return {table: known.get(table, 0) for table in tables}
