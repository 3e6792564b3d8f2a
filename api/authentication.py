"""Authentication of API requests by bearer token, and the check of scopes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from api.problems import ApiProblem
from core.cache import Cache
from core.errors import StoreError
from domain.tokens import PREFIX, Scope, Token, find, usable
from storage.store import Store

TTL_S = 2.0
"""How long a revoked token may still be accepted, seconds."""
LAST_USED_INTERVAL = timedelta(minutes=1)
"""Minimum time between two updates of the last use of a token."""


class TokenAuthenticator:
    """Authenticates requests by the tokens in the store. Thread safe."""

    def __init__(self, store: Store, now: Callable[[], datetime], cache: Cache | None = None) -> None:
        self._store, self._now = store, now
        self._cache = cache or Cache()
        self._last_used: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def authenticate(self, authorization: str | None) -> Token:
        """The token of an Authorization header.

        Raises:
            ApiProblem: 401, no valid token
            StoreError: the store did not answer
        """
        scheme, _, secret = (authorization or "").strip().partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret:
            raise _unauthorized("a token is required: Authorization: Bearer " + PREFIX + "…", "")
        token = find(secret, self._valid_tokens(), self._now())
        if token is None:
            raise _unauthorized("the token is unknown, expired or revoked", ', error="invalid_token"')
        self._record_use(token)
        return token

    def is_valid(self, token: Token) -> bool:
        """Whether a token that was authenticated before is still valid. Raises StoreError."""
        now = self._now()
        return any(each.id == token.id and each.is_valid(now) for each in self._valid_tokens())

    def _valid_tokens(self) -> list[Token]:
        def load() -> list[Token]:
            return usable(self._store.tokens.all(), self._store.accounts.all(), self._now())

        return self._cache.get("tokens", TTL_S, load)

    def _record_use(self, token: Token) -> None:
        now = self._now()
        with self._lock:
            if now - self._last_used.get(token.id, now - LAST_USED_INTERVAL) < LAST_USED_INTERVAL:
                return
            self._last_used[token.id] = now
        with suppress(StoreError):  # the request itself must not fail because of it
            self._store.tokens.used(token.id, now)


def require_scope(token: Token, scope: Scope) -> None:
    """Raises ApiProblem (403) if the token lacks the scope."""
    if scope not in token.scopes:
        raise ApiProblem(
            403,
            f"this request needs the scope {scope!r}; the token {token.name!r} has {', '.join(token.scopes)}",
            headers={"WWW-Authenticate": f'Bearer realm="tocsin", error="insufficient_scope", scope="{scope}"'},
        )


def _unauthorized(detail: str, challenge: str) -> ApiProblem:
    return ApiProblem(401, detail, headers={"WWW-Authenticate": f'Bearer realm="tocsin"{challenge}'})
