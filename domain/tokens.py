"""Tokens of the API: who may do what. The secret is shown once and kept nowhere; what is kept is its SHA-256. Pure but for chance."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal, get_args

import msgspec

from core.errors import Conflict, InvalidInput
from core.records import NEWEST, sha
from domain.alert_lifecycle import TOCSIN

PREFIX = "tocsin_"
"""What a secret begins with, so that scanners of repositories know one."""
MAX_NAME_CHARS = 100
MAX_TOKENS = 1_000
"""Live ones: every request is held against each of them."""

Scope = Literal["read", "alerts", "feedback", "ingest", "classify", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""read: everything that is only read; alerts: what is done to alerts, and silences; feedback: labels; ingest: articles; classify: texts
through the model; admin: tokens. None includes another."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What a program may do, and who let it.

    name: signs what the program does, as a person's name would
    digest: SHA-256 of the secret, in hex
    expires_at: None: never; used_at: the last time that is known, to a minute or so
    """

    id: str
    digest: str
    name: str
    scopes: tuple[Scope, ...]
    author: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_by: str = ""
    used_at: datetime | None = None

    def alive(self, now: datetime) -> bool:
        """Whether it opens anything at `now`."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def digest_of(secret: str) -> str:
    """What is kept of a secret. No salt: nobody guesses 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def new_token(name: str, scopes: Sequence[str], *, author: str, now: datetime, expires_at: datetime | None = None) -> tuple[str, Token]:
    """(the secret, the token). Raises InvalidInput for one that could do nothing, or that nobody could tell from others."""
    name, author = name.strip(), author.strip()
    if not name or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise InvalidInput(f"a token needs a name, in at most {MAX_NAME_CHARS} printable characters")
    if name.casefold() == TOCSIN:
        raise InvalidInput(f"{TOCSIN!r} is the program's own name: call the token after who uses it")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        wrong = f"there is no scope {unknown[0]!r}" if unknown else "a token needs a scope"
        raise InvalidInput(f"{wrong}: {', '.join(SCOPES)} are known")
    if expires_at is not None and not now < expires_at < NEWEST:
        raise InvalidInput(f"a token that expires at {expires_at.isoformat()} opens nothing: give a time to come, before {NEWEST.year}")
    secret = PREFIX + secrets.token_urlsafe(32)
    digest = digest_of(secret)
    return secret, Token(
        id=sha("token", digest),
        digest=digest,
        name=name,
        scopes=tuple(scope for scope in SCOPES if scope in scopes),
        author=author,
        created_at=now.astimezone(UTC).replace(microsecond=0),
        expires_at=expires_at.astimezone(UTC).replace(microsecond=0) if expires_at else None,
    )


def room_for_one(tokens: Iterable[Token], now: datetime) -> None:
    """Raises InvalidInput when there are so many live tokens that no more should be made."""
    if sum(token.alive(now) for token in tokens) >= MAX_TOKENS:
        raise Conflict(f"there are {MAX_TOKENS:,} live tokens: revoke those that nobody uses")


def find(secret: str, tokens: Iterable[Token], now: datetime) -> Token | None:
    """The live token of this secret. How long it takes does not tell how much of a digest was right."""
    digest = digest_of(secret)
    found = [token for token in tokens if hmac.compare_digest(token.digest, digest)]
    return found[0] if found and found[0].alive(now) else None
