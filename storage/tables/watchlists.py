"""SQL of watchlist backfill: which watchlists have their history among the mentions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from core.series import watchlist_series
from storage.clickhouse import ClickHouse
from storage.timestamps import new_version, to_epoch

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
"""Pattern of watchlist names."""


class WatchlistTable:
    """Watchlists whose history was backfilled."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def filled(self) -> dict[str, str]:
        """Name to the digest of the definition with which the watchlist was backfilled. Raises StoreError."""
        return {str(name): str(digest) for name, digest in self._client.query("SELECT name, digest FROM watchlists FINAL")}

    def mark(self, digests: Mapping[str, str]) -> None:
        """Store that these watchlists were backfilled. digests: name to digest. Raises StoreError."""
        self._client.insert(
            "watchlists",
            {"name": list(digests), "digest": list(digests.values()), "version": [new_version()] * len(digests)},
        )

    def forget(self, names: Sequence[str], since: datetime) -> None:
        """Delete the mentions of these watchlists published since then, because their definitions changed.

        The deletion runs in the background and does not affect rows stored after this call.

        Raises:
            StoreError
            ValueError: a name is not valid
        """
        for name in names:
            if not NAME.fullmatch(name):
                message = f"{name!r} is not a valid watchlist name"
                raise ValueError(message)
            self._client.command(
                f"ALTER TABLE mentions DELETE WHERE series = '{watchlist_series(name)}' AND published_at >= toDateTime({to_epoch(since)})"
            )
