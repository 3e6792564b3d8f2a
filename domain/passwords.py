"""Password hashing with Argon2id. The parameters are the library's defaults: RFC 9106 for machines with limited memory."""

from __future__ import annotations

import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from domain.accounts import MAX_TYPED_CHARS, password_text

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without characters that are easily confused."""


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()


@cache
def dummy_hash() -> str:
    """A hash to verify against when a name has no account, so that the response takes as long."""
    return hash_of(secrets.token_urlsafe(24))


def hash_of(password: str) -> str:
    """The Argon2id hash with salt and parameters; takes about 50 ms and 64 MiB."""
    return _hasher().hash(_bytes(password))


def verify(hash_: str, password: str) -> bool:
    """Whether the password matches the hash, in the same time for a wrong one; False for an invalid hash."""
    try:
        return _hasher().verify(hash_, _bytes(password)) and len(password) <= MAX_TYPED_CHARS
    except (VerificationError, InvalidHashError):
        return False


def outdated(hash_: str) -> bool:
    """Whether the hash was made with other parameters than the current ones."""
    return _hasher().check_needs_rehash(hash_)


def one_time() -> str:
    """A random password to read from a screen and type once, such as "k7mq-2xwd-9fhr-tz4n" (79 bits)."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))


def _bytes(password: str) -> bytes:
    return password_text(password).encode("utf-8", "replace")
