"""SQL of API tokens. Rows are neither deleted nor changed: a revocation is a row of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from domain.tokens import Token
from storage.clickhouse import ClickHouse
from storage.timestamps import from_epoch, new_version, to_epoch


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
            SELECT id, digest, name, scopes, author, toUInt32(created_at), toUInt32(expires_at) FROM api_tokens FINAL
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
            )
            for row in rows
        ]
