"""SQL of saved views: named addresses of dashboard pages, private or for the team."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from core.records import sha
from storage.clickhouse import ClickHouse
from storage.timestamps import new_version

_SINCE_1970 = datetime(1970, 1, 1, tzinfo=UTC)


class SavedView(msgspec.Struct, frozen=True, kw_only=True):
    """A named address. team: whether all users see it, not only the owner; at: when it was saved, aware UTC"""

    owner: str
    name: str
    address: str
    team: bool
    at: datetime

    @property
    def id(self) -> str:
        """Hash of owner, name and team: a view that is saved again replaces itself."""
        return sha("view", self.owner, self.name, str(int(self.team)))


class SavedViewTable:
    """Saved views. A deleted view keeps its row."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def put(self, views: Sequence[SavedView], *, deleted: bool = False) -> None:
        """Store views, replacing those of the same id. deleted: delete them instead. Raises StoreError."""
        self._client.insert(
            "saved_views",
            {
                "id": [view.id for view in views],
                "owner": [view.owner for view in views],
                "name": [view.name for view in views],
                "address": [view.address for view in views],
                "team": [int(view.team) for view in views],
                "at_us": [(view.at - _SINCE_1970) // timedelta(microseconds=1) for view in views],
                "gone": [int(deleted)] * len(views),
                "version": [new_version()] * len(views),
            },
        )

    def all(self) -> list[SavedView]:
        """All views, by name. Raises StoreError."""
        rows = self._client.query(
            "SELECT owner, name, address, team, at_us FROM saved_views FINAL WHERE gone = 0 ORDER BY lower(name), name, owner, team"
        )
        return [
            SavedView(owner=row[0], name=row[1], address=row[2], team=bool(row[3]), at=_SINCE_1970 + timedelta(microseconds=int(row[4])))
            for row in rows
        ]
