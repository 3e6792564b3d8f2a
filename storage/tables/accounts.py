"""SQL of accounts, login sessions and failed logins.

SQL of saved views: named addresses of dashboard pages, private or for the team.

SQL of API tokens. Rows are neither deleted nor changed: a revocation is a row of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from core.records import sha
from domain.accounts import Account, Failures, Session
from domain.tokens import Token
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


class TokenTable:
    """API tokens and their revocations."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def add(self, tokens: Sequence[Token]) -> None:
        """Store tokens; one stored again replaces itself. Raises StoreError."""
        self._client.insert(
            "api_tokens",
            {
                "id": [token.id for token in tokens],
                "digest": [token.digest for token in tokens],
                "name": [token.name for token in tokens],
                "scopes": [list(token.scopes) for token in tokens],
                "author": [token.author for token in tokens],
                "created_at": [to_epoch(token.created_at) for token in tokens],
                "expires_at": [to_epoch(token.expires_at) if token.expires_at else 0 for token in tokens],
                "parent": [token.parent for token in tokens],
                "version": [new_version()] * len(tokens),
            },
        )

    def revoke(self, token_ids: Sequence[str], at: datetime, actor: str) -> None:
        """Revoke tokens from `at` on. Of several revocations the earliest counts. Raises StoreError."""
        self._client.insert(
            "api_token_ends",
            {
                "id": list(token_ids),
                "ended_at": [to_epoch(at)] * len(token_ids),
                "ended_by": [actor] * len(token_ids),
                "version": [new_version()] * len(token_ids),
            },
        )

    def used(self, token_id: str, at: datetime) -> None:
        """Store the time of use; an earlier time has no effect. Raises StoreError."""
        self._client.insert("api_token_uses", {"id": [token_id], "at": [to_epoch(at)]})

    def all(self) -> list[Token]:
        """All tokens, revoked ones included, newest first. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT id, digest, name, scopes, author, toUInt32(created_at), toUInt32(expires_at), parent FROM api_tokens FINAL
            ORDER BY created_at DESC, id
            """
        )
        ends = self._client.query(
            "SELECT id, toUInt32(ended_at), ended_by FROM api_token_ends FINAL ORDER BY id, ended_at, ended_by LIMIT 1 BY id"
        )
        ended = {row[0]: (from_epoch(row[1]), row[2]) for row in ends}
        uses = self._client.query("SELECT id, toUInt32(max(at)) FROM api_token_uses GROUP BY id")
        used = {row[0]: from_epoch(row[1]) for row in uses}
        return [
            Token(
                id=row[0],
                digest=row[1],
                name=row[2],
                scopes=tuple(row[3]),
                author=row[4],
                created_at=from_epoch(row[5]),
                expires_at=from_epoch(row[6]) if row[6] else None,
                revoked_at=ended[row[0]][0] if row[0] in ended else None,
                revoked_by=ended[row[0]][1] if row[0] in ended else "",
                used_at=used.get(row[0]),
                parent=row[7],
            )
            for row in rows
        ]
