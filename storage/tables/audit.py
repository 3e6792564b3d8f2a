"""SQL of the audit log: who changed what and when, with the values before and after. Rows are only added."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from storage.clickhouse import ClickHouse
from storage.timestamps import new_version

_SINCE_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_US = 2**63


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One action, or attempt.

    Attributes:
        at: aware UTC, to the microsecond
        actor: name of an account, a person or a token; "" if unknown
        action: such as "login" or "account role"
        target: name of an account, id of an alert, or similar
        before, after: values as text or JSON; never a password, a hash or a token
        address: network address of the actor, or "command line"
    """

    at: datetime
    actor: str
    action: str
    target: str = ""
    before: str = ""
    after: str = ""
    address: str = ""


class AuditTable:
    """The audit log. Entries are neither changed nor deleted."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def add(self, entries: Sequence[AuditEntry]) -> None:
        """Add entries. Raises StoreError."""
        self._client.insert(
            "audit",
            {
                "at_us": [(each.at - _SINCE_1970) // timedelta(microseconds=1) for each in entries],
                "id": [secrets.token_hex(8) for _ in entries],
                "actor": [_text(each.actor) for each in entries],
                "address": [each.address for each in entries],
                "action": [each.action for each in entries],
                "target": [_text(each.target) for each in entries],
                "before": [_text(each.before) for each in entries],
                "after": [_text(each.after) for each in entries],
                "version": [new_version() for _ in entries],
            },
        )

    def latest(
        self,
        limit: int = 100,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        actor: str = "",
        action: str = "",
        target: str = "",
    ) -> list[AuditEntry]:
        """The newest entries of [since, until), newest first.

        Args:
            actor, target: only entries with this actor or target; "": all
            action: only entries whose action begins so: "login" includes "login failed"

        Raises:
            StoreError
        """
        rows = self._client.query(
            """
            SELECT at_us, actor, action, target, before, after, address FROM audit FINAL
            WHERE at_us >= {since:UInt64} AND at_us < {until:UInt64} AND ({actor:String} = '' OR actor = {actor:String})
              AND ({target:String} = '' OR target = {target:String})
              AND substring(action, 1, length({action:String})) = {action:String}
            ORDER BY at_us DESC, version DESC, id LIMIT {limit:UInt32}
            """,
            since=(since - _SINCE_1970) // timedelta(microseconds=1) if since else 0,
            until=(until - _SINCE_1970) // timedelta(microseconds=1) if until else _MAX_US,
            actor=actor,
            action=action,
            target=target,
            limit=limit,
        )
        return [
            AuditEntry(
                at=_SINCE_1970 + timedelta(microseconds=int(row[0])),
                actor=row[1],
                action=row[2],
                target=row[3],
                before=row[4],
                after=row[5],
                address=row[6],
            )
            for row in rows
        ]

    def known(self) -> tuple[list[str], list[str]]:
        """All actors and all actions of the log, sorted. Raises StoreError."""
        rows = self._client.query("SELECT DISTINCT actor, action FROM audit")
        return sorted({row[0] for row in rows if row[0]}), sorted({row[1] for row in rows})


def _text(words: str) -> str:
    return words.encode("utf-8", "replace").decode()[:4_000]
