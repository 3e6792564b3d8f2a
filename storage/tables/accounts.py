"""SQL of accounts, login sessions and failed logins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from domain.accounts import Account, Failures, Session
from storage.clickhouse import ClickHouse
from storage.timestamps import from_epoch, new_version, to_epoch

_FINAL_VERSION = 2**64 - 1
"""Row version of an ended session, which no later row of any process replaces."""


class AccountTable:
    """Accounts. The latest row of a name is valid; rows are never deleted."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def put(self, account: Account) -> None:
        """Store an account, replacing the one of the same name. Raises StoreError."""
        self._client.insert(
            "accounts",
            {
                "name": [account.name],
                "role": [account.role],
                "hash": [account.hash],
                "must_change": [int(account.must_change)],
                "disabled": [int(account.disabled)],
                "created_at": [to_epoch(account.created_at)],
                "password_at": [to_epoch(account.password_at)],
                "version": [new_version()],
            },
        )

    def get(self, name: str) -> Account | None:
        """The account of this name, or None. Raises StoreError."""
        found = self._read("WHERE name = {name:String}", name=name)
        return found[0] if found else None

    def all(self) -> list[Account]:
        """All accounts, disabled ones included, by name. Raises StoreError."""
        return self._read("ORDER BY name")

    def _read(self, where: str, **values: str) -> list[Account]:
        columns = "name, role, hash, must_change, disabled, toUInt32(created_at), toUInt32(password_at)"
        return [
            Account(
                name=row[0],
                role=row[1],
                hash=row[2],
                must_change=bool(row[3]),
                disabled=bool(row[4]),
                created_at=from_epoch(row[5]),
                password_at=from_epoch(row[6]),
            )
            for row in self._client.query(f"SELECT {columns} FROM accounts FINAL {where}", **values)
        ]


class SessionTable:
    """Login sessions. An ended session cannot be resumed."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def put(self, session: Session) -> None:
        """Store a session or its last request; no effect on an ended one. Raises StoreError."""
        self._insert([session], ended=False)

    def end(self, sessions: Sequence[Session]) -> None:
        """End sessions. Raises StoreError."""
        self._insert(sessions, ended=True)

    def get(self, session_id: str) -> Session | None:
        """The session with this id, or None if it ended. Raises StoreError."""
        found = self._read("id = {id:String}", id=session_id)
        return found[0] if found else None

    def live(self, since: datetime) -> list[Session]:
        """Open sessions with a request since then. Raises StoreError."""
        return self._read("seen_at >= toDateTime({since:UInt32})", since=to_epoch(since))

    def of(self, name: str) -> list[Session]:
        """Open sessions of one account. Raises StoreError."""
        return self._read("name = {name:String}", name=name)

    def _insert(self, sessions: Sequence[Session], *, ended: bool) -> None:
        self._client.insert(
            "sessions",
            {
                "id": [each.id for each in sessions],
                "name": [each.name for each in sessions],
                "created_at": [to_epoch(each.created_at) for each in sessions],
                "seen_at": [to_epoch(each.seen_at) for each in sessions],
                "address": [each.address for each in sessions],
                "ended": [int(ended)] * len(sessions),
                "version": [_FINAL_VERSION if ended else new_version() for _ in sessions],
            },
        )

    def _read(self, where: str, **values: str | int) -> list[Session]:
        rows = self._client.query(
            f"""
            SELECT id, name, toUInt32(created_at), toUInt32(seen_at), address FROM sessions FINAL
            WHERE ended = 0 AND {where} ORDER BY created_at, id
            """,
            **values,
        )
        return [Session(id=row[0], name=row[1], created_at=from_epoch(row[2]), seen_at=from_epoch(row[3]), address=row[4]) for row in rows]


class LoginFailureTable:
    """Consecutive failed logins by subject; see domain.accounts."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def put(self, failures: Sequence[Failures]) -> None:
        """Store the current numbers; 0 resets a subject. Raises StoreError."""
        self._client.insert(
            "login_failures",
            {
                "subject": [each.subject for each in failures],
                "count": [each.count for each in failures],
                "last_at": [to_epoch(each.last_at) for each in failures],
                "version": [new_version()] * len(failures),
            },
        )

    def get(self, subjects: Sequence[str]) -> dict[str, Failures]:
        """Failed logins of these subjects; subjects without any are left out. Raises StoreError."""
        rows = self._client.query(
            "SELECT subject, count, toUInt32(last_at) FROM login_failures FINAL WHERE subject IN {subjects:Array(String)} AND count > 0",
            subjects=subjects,
        )
        return {row[0]: Failures(subject=row[0], count=int(row[1]), last_at=from_epoch(row[2])) for row in rows}
