"""SQL of changes of tables, from the names of their parts: no row is read."""

from __future__ import annotations

from collections.abc import Sequence

from storage.clickhouse import ClickHouse


class TableChanges:
    """Change detection for readers that poll every second."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def marks(self, tables: Sequence[str]) -> dict[str, int]:
        """A number for each table that changes with each insert and each dropped month, but not with merges; 0 for an empty table.

        It is a hash of the highest block numbers, as each insert takes the next block number of its partition. Raises StoreError.
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
