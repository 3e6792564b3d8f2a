"""SQL of which watchlists have been given their past, so that a new one is not judged by an empty one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from core.series import watchlist_series
from storage.clickhouse import ClickHouse
from storage.timestamps import new_version, to_epoch

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
"""What a watchlist may be called."""


class WatchlistTable:
    """The watchlists whose past is among the mentions."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def filled(self) -> dict[str, str]:
        """Name to the digest of what the watchlist looked for when its past was stored. Raises StoreError."""
        return {str(name): str(digest) for name, digest in self._client.query("SELECT name, digest FROM watchlists FINAL")}

    def mark(self, digests: Mapping[str, str]) -> None:
        """Note that these have their past, name to digest. Raises StoreError."""
        self._client.insert(
            "watchlists",
            {"name": list(digests), "digest": list(digests.values()), "version": [new_version()] * len(digests)},
        )

    def forget(self, names: Sequence[str], since: datetime) -> None:
        """Take what was published since then out of these series: they look for something else now.

        What is stored after this call stays; the rest goes soon. Raises StoreError, ValueError for what is no name.
        """
        for name in names:
            if not NAME.fullmatch(name):
                message = f"watchlist {name!r}: not a name"
                raise ValueError(message)
            self._client.command(
                f"ALTER TABLE mentions DELETE WHERE series = '{watchlist_series(name)}' AND published_at >= toDateTime({to_epoch(since)})"
            )
