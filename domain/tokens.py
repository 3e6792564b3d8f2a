"""API tokens and their scopes. The secret is shown once; only its SHA-256 is stored."""

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
"""Prefix of a secret, so that secret scanners recognise it."""
MAX_NAME_CHARS = 100
MAX_TOKENS = 1_000
"""Limit of valid tokens: each request is compared with all of them."""

Scope = Literal["read", "alerts", "feedback", "ingest", "classify", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""read: all reads; alerts: actions on alerts and silences; feedback: labels; ingest: articles; classify: texts through the model;
admin: tokens. No scope includes another."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """The permissions of a program.

    Attributes:
        name: the actor of the program's actions in the audit log
        digest: SHA-256 of the secret, in hex
        expires_at: None: never
        used_at: last known use, to about a minute
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

    def is_valid(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def digest_of(secret: str) -> str:
    """The digest that is stored. It needs no salt: the secret has 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def new_token(name: str, scopes: Sequence[str], *, author: str, now: datetime, expires_at: datetime | None = None) -> tuple[str, Token]:
    """Make a token.

    Returns:
        The secret and the token.

    Raises:
        InvalidInput: the name, the scopes or the expiry are not usable
    """
    name, author = name.strip(), author.strip()
    if not name or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise InvalidInput(f"a token needs a name of at most {MAX_NAME_CHARS} printable characters")
    if name.casefold() == TOCSIN:
        raise InvalidInput(f"{TOCSIN!r} is reserved for the program; name the token after its user")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        wrong = f"there is no scope {unknown[0]!r}" if unknown else "a token needs a scope"
        raise InvalidInput(f"{wrong}: the scopes are {', '.join(SCOPES)}")
    if expires_at is not None and not now < expires_at < NEWEST:
        raise InvalidInput(f"a token cannot expire at {expires_at.isoformat()}: choose a time in the future, before {NEWEST.year}")
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


def check_token_limit(tokens: Iterable[Token], now: datetime) -> None:
    """Raises Conflict when MAX_TOKENS valid tokens exist."""
    if sum(token.is_valid(now) for token in tokens) >= MAX_TOKENS:
        raise Conflict(f"the limit of {MAX_TOKENS:,} valid tokens is reached; revoke tokens that are not in use")


def find(secret: str, tokens: Iterable[Token], now: datetime) -> Token | None:
    """The valid token of this secret, or None. Compares in constant time."""
    digest = digest_of(secret)
    found = [token for token in tokens if hmac.compare_digest(token.digest, digest)]
    return found[0] if found and found[0].is_valid(now) else None
