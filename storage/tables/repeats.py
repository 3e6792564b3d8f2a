"""SQL of repeats: the starts and ends of texts that the workers learned as boilerplate of a source."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from storage.clickhouse import ClickHouse
from storage.timestamps import from_epoch, new_version, to_epoch


class StoredRepeat(msgspec.Struct, frozen=True, kw_only=True):
    """A start or an end that a source adds to its texts.

    Attributes:
        text: with numbers and months as 0
        example: as it was written last
        texts, total: texts that had it, and texts that were examined
        at: when it was examined last
        ended: whether it does not repeat any longer
    """

    source: str
    place: Literal["start", "end"]
    text: str
    example: str
    texts: int
    total: int
    at: datetime
    ended: bool = False

    @property
    def share(self) -> float:
        """Share of the source's texts that have it."""
        return self.texts / self.total if self.total else 0.0


class RepeatTable:
    """Repeats by source, place and text, one row each."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def put(self, repeats: Sequence[StoredRepeat]) -> None:
        """Store repeats, each replacing the previous row of the same text. Raises StoreError."""
        self._client.insert(
            "source_repeats",
            {
                "source": [each.source for each in repeats],
                "place": [each.place for each in repeats],
                "text": [each.text for each in repeats],
                "example": [each.example for each in repeats],
                "texts": [each.texts for each in repeats],
                "total": [each.total for each in repeats],
                "at": [to_epoch(each.at) for each in repeats],
                "ended": [int(each.ended) for each in repeats],
                "version": [new_version()] * len(repeats),
            },
        )

    def all(self) -> list[StoredRepeat]:
        """Repeats that have not ended, by source, the most frequent first. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT source, place, text, example, texts, total, toUInt32(at) FROM source_repeats FINAL
            WHERE ended = 0 ORDER BY source, texts / total DESC, place, text
            """
        )
        return [
            StoredRepeat(source=row[0], place=row[1], text=row[2], example=row[3], texts=row[4], total=row[5], at=from_epoch(row[6]))
            for row in rows
        ]
