"""Passwords: the door to Argon2. Parameters are the library's, which are those of RFC 9106 for machines that do other things too."""

from __future__ import annotations

import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from domain.accounts import MAX_PASSWORD_CHARS, password_text

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without those that are taken for one another."""


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()


@cache
def nobodys() -> str:
    """The hash of a password that nobody knows: what is held against a name without an account, so that it takes as long."""
    return hash_of(secrets.token_urlsafe(24))


def hash_of(password: str) -> str:
    """The Argon2id hash with its salt and parameters; about 50 ms and 64 MiB."""
    return _hasher().hash(_bytes(password))


def verify(hash_: str, password: str) -> bool:
    """Whether this password made the hash. As slow for a wrong one; False for what is no hash."""
    try:
        return _hasher().verify(hash_, _bytes(password)) and len(password) <= MAX_PASSWORD_CHARS
    except (VerificationError, InvalidHashError):
        return False


def outdated(hash_: str) -> bool:
    """Whether it was made with other parameters than today's."""
    return _hasher().check_needs_rehash(hash_)


def one_time() -> str:
    """A password to be read from a screen and typed once: 79 bits, as "k7mq-2xwd-9fhr-tz4n"."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))


def _bytes(password: str) -> bytes:
    return password_text(password[: 2 * MAX_PASSWORD_CHARS]).encode("utf-8", "replace")
