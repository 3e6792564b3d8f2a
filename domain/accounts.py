"""Accounts, their roles, the rules for passwords, and the delays after failed logins.

viewer   reads everything on the dashboard
analyst  additionally acts on alerts
admin    additionally administers the installation
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from core.errors import InvalidInput
from core.untrusted_text import normalize

Role = Literal["viewer", "analyst", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "analyst", "admin")
"""In ascending order; each includes those before it."""

MAX_NAME_CHARS = 64
MIN_PASSWORD_CHARS, MAX_PASSWORD_CHARS = 12, 256
MAX_TYPED_CHARS = 4 * MAX_PASSWORD_CHARS
"""A longer text is neither a name nor a password, whichever way its characters are composed; it is rejected before it is normalised."""
MIN_DISTINCT_CHARS = 5
PasswordFault = Literal["short", "long", "simple", "name", "same"]
PASSWORD_FAULTS: dict[PasswordFault, str] = {
    "short": f"a password needs at least {MIN_PASSWORD_CHARS} characters",
    "long": f"a password may have at most {MAX_PASSWORD_CHARS} characters",
    "simple": f"a password needs at least {MIN_DISTINCT_CHARS} different characters",
    "name": "a password must not contain the account's name",
    "same": "the new password is the old one",
}

FIRST_PASSWORD_VALID = timedelta(hours=24)
"""How long a password that somebody else has set, and may have written down, can be used."""
FORGET_AFTER = timedelta(hours=24)
"""The count of failed logins is reset after so long without one."""
FIRST_WAIT_S, LONGEST_WAIT_S = 30, 900
UNKNOWN_ADDRESS = "address:unknown"
"""The subject of what is no IP address."""
FREE = {"account": 5, "address": 20}
"""Failed logins before the first delay. Whole offices share an address."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """The account of one person.

    Attributes:
        hash: Argon2id hash of the password, from domain.passwords
        must_change: the password was set by somebody else; the only permitted action is to change it
    """

    name: str
    role: Role
    hash: str
    must_change: bool
    disabled: bool = False
    created_at: datetime
    password_at: datetime

    def public(self) -> dict[str, object]:
        """The fields for the audit log: all but the hash and the name."""
        return {"role": self.role, "must_change": self.must_change, "disabled": self.disabled}


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A logged-in browser.

    Attributes:
        id: hash of the value of its cookie
        seen_at: time of its last request, to the minute
    """

    id: str
    name: str
    created_at: datetime
    seen_at: datetime
    address: str


@dataclass(frozen=True, slots=True)
class Person:
    """Who makes a request to the dashboard.

    Attributes:
        must_change: whether the password has to be changed first
        session: id of the session, "" without a cookie
    """

    name: str
    role: Role
    must_change: bool = False
    session: str = ""


class Failures(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive failed logins of one subject, an account or an address."""

    subject: str
    count: int
    last_at: datetime


def may(role: Role, least: Role) -> bool:
    """Whether one role includes another."""
    return ROLES.index(role) >= ROLES.index(least)


def _plain_name(text: str) -> str:
    """A name in NFKC, case folded; "" for a text that is too long for a name."""
    return normalize("NFKC", text).strip().casefold() if len(text) <= MAX_TYPED_CHARS else ""


def account_name(text: str) -> str:
    """Normalise an account name: NFKC, stripped, case folded.

    Raises:
        InvalidInput: the name is empty, too long or has other characters than letters, digits and . _ - @
    """
    name = _plain_name(text)
    if not 0 < len(name) <= MAX_NAME_CHARS or not all(char.isalnum() or char in "._-@" for char in name):
        raise InvalidInput(f"an account's name has 1 to {MAX_NAME_CHARS} characters: letters and digits of any language, and . _ - @")
    return name


def password_text(text: str) -> str:
    """The password in NFKC, as keyboards compose characters differently (NIST SP 800-63B-4, 3.1.1.2).

    Of a longer text than a password may be, only the beginning.
    """
    return normalize("NFKC", text[:MAX_TYPED_CHARS])


def password_fault(password: str, name: str) -> PasswordFault | None:
    """Why a new password of this account is rejected, or None. Length counts, not a mix of character classes (NIST SP 800-63B-4)."""
    if len(password) > MAX_TYPED_CHARS:
        return "long"
    text = password_text(password)
    if len(text) < MIN_PASSWORD_CHARS:
        return "short"
    if len(text) > MAX_PASSWORD_CHARS:
        return "long"
    if len(set(text)) < MIN_DISTINCT_CHARS:
        return "simple"
    return "name" if len(name) > 2 and name in text.casefold() else None


def account_subject(name: str) -> str:
    """The key under which failed logins of a name are counted, whether an account exists or not.

    It has 16 bits of the name's hash: a password typed into the name field is not stored, and invented names cannot fill the
    store. Two accounts with the same key (1 in 65,536) share their delays.
    """
    text = (_plain_name(name) or name).encode("utf-8", "replace")
    return f"account:{hashlib.blake2b(text, digest_size=2).hexdigest()}"


def first_password_expired(account: Account, now: datetime) -> bool:
    """Whether the password was set by somebody else, and its owner has not logged in with it in time."""
    return account.must_change and now - account.password_at > FIRST_PASSWORD_VALID


def address_subject(address: str) -> str:
    """The key under which failed logins of an address are counted: of IPv6 its /64, which one household or server owns."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return UNKNOWN_ADDRESS
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return f"address:{parsed.ipv4_mapped}"
        return f"address:{ipaddress.ip_network((parsed, 64), strict=False)}"
    return f"address:{parsed}"


def failed(before: Failures | None, subject: str, now: datetime) -> Failures:
    """The failures of a subject after another one."""
    count = before.count if before is not None and now - before.last_at < FORGET_AFTER else 0
    return Failures(subject=subject, count=count + 1, last_at=now)


def wait_s(failures: Iterable[Failures], now: datetime) -> int:
    """Seconds until the next attempt is permitted; 0: now. Each failure past the free ones doubles the delay."""
    longest = 0
    for each in failures:
        past = each.count - FREE[each.subject.partition(":")[0]]
        if past < 0:
            continue
        wait = min(FIRST_WAIT_S * 2 ** min(past, 10), LONGEST_WAIT_S)
        longest = max(longest, wait - int((now - each.last_at).total_seconds()))
    return longest
