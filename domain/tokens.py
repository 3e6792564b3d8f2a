"""API tokens and their scopes. The secret is shown once; only its SHA-256 is stored."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, get_args

import msgspec

from core.errors import Conflict, InvalidInput
from core.records import NEWEST, sha
from domain.accounts import Account, Role, may
from domain.actor_names import RESERVED, name_key

PREFIX = "tocsin_"
"""Prefix of a secret, so that secret scanners recognise it."""
MAX_NAME_CHARS = 100
MAX_TOKENS = 1_000
"""Limit of valid tokens: each request is compared with all of them."""

Scope = Literal["read", "alerts", "feedback", "ingest", "classify", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""read: all reads; alerts: actions on alerts and silences; feedback: labels; ingest: articles; classify: texts through the model;
admin: tokens. No scope includes another."""
LEAST_ROLES: Mapping[Scope, Role] = {
    "read": "viewer", "classify": "viewer", "alerts": "analyst", "feedback": "analyst", "ingest": "admin", "admin": "admin",
}  # fmt: skip
"""The role that an account needs so that its tokens may have a scope."""
ACTOR_PREFIX = "token:"
"""Before the name of a token in the audit log. No account's name contains a colon."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """The permissions of a program.

    Attributes:
        name: the actor of the program's actions, in the audit log after ACTOR_PREFIX
        author: account to which it belongs, or the user of the command line who made it
        parent: id of the token with which it was made, "" if an account or a command made it
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
    parent: str = ""

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
    if name_key(name) in map(name_key, RESERVED):
        raise InvalidInput(f"{name!r} is reserved for the program; name the token after its user")
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


def minted_token(
    name: str, scopes: Sequence[str], *, parent: Token, now: datetime, expires_at: datetime | None = None
) -> tuple[str, Token]:
    """Make a token with another one: it has no scope that the other lacks, and ends with it.

    Args:
        expires_at: None: as the parent

    Returns:
        The secret and the token.

    Raises:
        InvalidInput: as `new_token`, and if it would outrank or outlive its parent
    """
    missing = [scope for scope in scopes if scope in SCOPES and scope not in parent.scopes]
    if missing:
        raise InvalidInput(f"the token {parent.name!r} cannot grant the scope {missing[0]!r}, which it does not have")
    if parent.expires_at is not None and expires_at is not None and expires_at > parent.expires_at:
        raise InvalidInput(f"the token {parent.name!r} expires at {parent.expires_at.isoformat()}; a token made with it cannot last longer")
    secret, token = new_token(name, scopes, author=parent.author, now=now, expires_at=expires_at or parent.expires_at)
    return secret, msgspec.structs.replace(token, parent=parent.id)


def account_of(token: Token, accounts: Iterable[Account]) -> Account | None:
    """The account to which a token belongs; None if a user of the command line made it."""
    key = name_key(token.author)
    return next((account for account in accounts if name_key(account.name) == key), None)


def fault_of_account(token: Token, account: Account) -> str:
    """Why an account cannot have a token, "" if it can."""
    if account.disabled:
        return f"the account {account.name!r} is disabled"
    above = [scope for scope in token.scopes if not may(account.role, LEAST_ROLES[scope])]
    return f"the scope {above[0]!r} needs the role {LEAST_ROLES[above[0]]}; {account.name!r} is {account.role}" if above else ""


def with_descendants(ids: Iterable[str], tokens: Sequence[Token]) -> list[Token]:
    """The tokens with these ids, and all that were made with them."""
    found, open_ids = {}, set(ids)
    while open_ids:
        new = {token.id: token for token in tokens if token.id not in found and (token.id in open_ids or token.parent in open_ids)}
        found.update(new)
        open_ids = set(new)
    return list(found.values())


def usable(tokens: Sequence[Token], accounts: Sequence[Account], now: datetime) -> list[Token]:
    """The valid tokens whose ancestors are valid too, and whose account is enabled and has the role that their scopes need."""
    by_key = {name_key(account.name): account for account in accounts}
    valid = []
    for token in tokens:
        account = by_key.get(name_key(token.author))
        if token.is_valid(now) and (account is None or not fault_of_account(token, account)):
            valid.append(token)
    dead = {token.id for token in tokens} - {token.id for token in valid}
    without = {token.id for token in with_descendants(dead, tokens)}
    return [token for token in valid if token.id not in without]


def check_token_limit(tokens: Iterable[Token], now: datetime) -> None:
    """Raises Conflict when MAX_TOKENS valid tokens exist."""
    if sum(token.is_valid(now) for token in tokens) >= MAX_TOKENS:
        raise Conflict(f"the limit of {MAX_TOKENS:,} valid tokens is reached; revoke tokens that are not in use")


def find(secret: str, tokens: Iterable[Token], now: datetime) -> Token | None:
    """The valid token of this secret, or None. Compares in constant time."""
    digest = digest_of(secret)
    found = [token for token in tokens if hmac.compare_digest(token.digest, digest)]
    return found[0] if found and found[0].is_valid(now) else None
