"""SQL of the audit log: who changed what, when, and what it was before. Rows are only added."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from storage.clickhouse import ClickHouse
from storage.timestamps import new_version

_SINCE_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_FOR_EVER = 2**63


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was done, or tried.

    at: aware UTC, to the microsecond; who: an account's or a person's name, "" when nobody knows
    address: where from; "command line" there
    what: such as "login" or "account role"; about: whom or what, an account's name or an alert's id
    before, after: what it was and became, in words or JSON; never a password, a hash or a token
    """

    at: datetime
    actor: str
    action: str
    target: str = ""
    before: str = ""
    after: str = ""
    address: str = ""


class AuditTable:
    """The log. Nothing in it is changed or deleted."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def add(self, entries: Sequence[AuditEntry]) -> None:
        """Note what was done. Raises StoreError."""
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
        """The newest entries of [since, until), newest first; only those of a person, of a kind, about a thing. Raises StoreError.

        what: how the kind begins: "login" finds "login failed" too
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
            until=(until - _SINCE_1970) // timedelta(microseconds=1) if until else _FOR_EVER,
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
        """Everybody who ever did something, and every kind of thing that was done, in order. Raises StoreError."""
        rows = self._client.query("SELECT DISTINCT actor, action FROM audit")
        return sorted({row[0] for row in rows if row[0]}), sorted({row[1] for row in rows})


def _text(words: str) -> str:
    return words.encode("utf-8", "replace").decode()[:4_000]
