"""SQL of sources: when each of them was heard."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from spine.clickhouse import ClickHouse
from spine.store.clock import to_epoch

USUAL_SHARE = 0.95


class Spoke(NamedTuple):
    """When a source was heard.

    stretches: those of width_s, counted since 1970, in which it published anything, ascending
    last: when it published last, seconds since 1970; fetched: when anything of it was fetched last, likewise
    late_s: its articles are here so long after they are published, but for one in twenty; archives that were loaded left out
    """

    stretches: list[int]
    last: int
    fetched: int = 0
    late_s: int = 0


class Sources:
    """Who was heard, and when."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def told(self, since: datetime, until: datetime, width_s: int, late_s: int = 3_600) -> dict[str, Spoke]:
        """Every source of articles published in [since, until). Raises StoreError.

        late_s: what was fetched longer after its publication was history by then, and tells nothing of how late news comes
        """
        rows = self._client.query(
            f"""
            SELECT source, arraySort(groupUniqArray(intDiv(toUInt32(published_at), {{width:UInt32}}))),
                   toUInt32(max(published_at)), toUInt32(max(fetched_at)),
                   quantileExactIf({USUAL_SHARE})(greatest(late, 0), late <= {{late_s:UInt32}})
            FROM (
                SELECT source, published_at, fetched_at, toInt64(toUInt32(fetched_at)) - toInt64(toUInt32(published_at)) AS late
                FROM articles WHERE published_at >= toDateTime({{since:UInt32}}) AND published_at < toDateTime({{until:UInt32}})
            )
            GROUP BY source ORDER BY source
            """,
            since=to_epoch(since),
            until=to_epoch(until),
            width=width_s,
            late_s=late_s,
        )
        return {row[0]: Spoke([int(at) for at in row[1]], int(row[2]), int(row[3]), int(row[4])) for row in rows}
