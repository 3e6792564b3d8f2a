"""SQL of who may come in: accounts, the browsers that are logged in, and failed logins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from domain.accounts import Account, Failures, Session
from storage.clickhouse import ClickHouse
from storage.timestamps import from_epoch, new_version, to_epoch

_FOR_EVER = 2**64 - 1
"""The version of a session that ended: no row that says otherwise, of whatever process and clock, replaces it."""


class AccountTable:
    """Those who may come in. The row written last counts; none is ever deleted."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def put(self, account: Account) -> None:
        """Keep an account in place of what was known of its name. Raises StoreError."""
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
        """The account of this name; None: there is none. Raises StoreError."""
        found = self._read("WHERE name = {name:String}", name=name)
        return found[0] if found else None

    def all(self) -> list[Account]:
        """Every account, disabled ones too, by name. Raises StoreError."""
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
    """Browsers that are logged in. One that ended never comes back."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def put(self, session: Session) -> None:
        """Keep a session, or when it was seen; nothing for one that ended. Raises StoreError."""
        self._insert([session], ended=False)

    def end(self, sessions: Sequence[Session]) -> None:
        """End them for good. Raises StoreError."""
        self._insert(sessions, ended=True)

    def get(self, session_id: str) -> Session | None:
        """The session of this id unless it ended. Raises StoreError."""
        found = self._read("id = {id:String}", id=session_id)
        return found[0] if found else None

    def live(self, since: datetime) -> list[Session]:
        """Those that were seen since then and did not end. Raises StoreError."""
        return self._read("seen_at >= toDateTime({since:UInt32})", since=to_epoch(since))

    def of(self, name: str) -> list[Session]:
        """Those of one account that did not end, however old. Raises StoreError."""
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
                "version": [_FOR_EVER if ended else new_version() for _ in sessions],
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
    """Failed logins in a row, by subject: see domain.accounts."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def put(self, failures: Sequence[Failures]) -> None:
        """Keep how many there are now; 0 forgets a subject. Raises StoreError."""
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
        """Those of these subjects, of which there are any. Raises StoreError."""
        rows = self._client.query(
            "SELECT subject, count, toUInt32(last_at) FROM login_failures FINAL WHERE subject IN {subjects:Array(String)} AND count > 0",
            subjects=subjects,
        )
        return {row[0]: Failures(subject=row[0], count=int(row[1]), last_at=from_epoch(row[2])) for row in rows}
