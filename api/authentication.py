"""Who asks: the bearer token of a request, held against those that the store knows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from api.problems import Refused
from core.cache import Cache
from core.errors import StoreError
from domain.tokens import PREFIX, Scope, Token, find
from storage.store import Store

TTL_S = 2.0
"""A token that was revoked opens nothing after this long."""
NOTED = timedelta(minutes=1)
"""When a token was used is noted this often at most."""


class Access:
    """Who may do what. Thread safe."""

    def __init__(self, store: Store, now: Callable[[], datetime], cache: Cache | None = None) -> None:
        self._store, self._now = store, now
        self._cache = cache or Cache()
        self._noted: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def authenticate(self, authorization: str | None) -> Token:
        """The token of an Authorization header. Raises Refused (401), StoreError."""
        scheme, _, secret = (authorization or "").strip().partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret:
            raise _unauthorized("a token is needed: Authorization: Bearer " + PREFIX + "…", "")
        token = find(secret, self._live(), self._now())
        if token is None:
            raise _unauthorized("this token is not known, has expired or was revoked", ', error="invalid_token"')
        self._note(token)
        return token

    def holds(self, token: Token) -> bool:
        """Whether a token that was let in still opens anything, as far as is known. Raises StoreError."""
        now = self._now()
        return any(each.id == token.id and each.alive(now) for each in self._live())

    def _live(self) -> list[Token]:
        def load() -> list[Token]:
            now = self._now()
            return [token for token in self._store.tokens.all() if token.alive(now)]

        return self._cache.get("tokens", TTL_S, load)

    def _note(self, token: Token) -> None:
        now = self._now()
        with self._lock:
            if now - self._noted.get(token.id, now - NOTED) < NOTED:
                return
            self._noted[token.id] = now
        with suppress(StoreError):  # who asked is let in all the same
            self._store.tokens.used(token.id, now)


def demand(token: Token, scope: Scope) -> None:
    """Raises Refused (403) when the token may not do this."""
    if scope not in token.scopes:
        raise Refused(
            403,
            f"this needs the scope {scope!r}, and the token {token.name!r} has {', '.join(token.scopes)}",
            headers={"WWW-Authenticate": f'Bearer realm="tocsin", error="insufficient_scope", scope="{scope}"'},
        )


def _unauthorized(detail: str, more: str) -> Refused:
    return Refused(401, detail, headers={"WWW-Authenticate": f'Bearer realm="tocsin"{more}'})
