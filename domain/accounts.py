"""Who may come in, and what each may do there: accounts, their roles, their passwords' rules, and the waits after failed logins.

    viewer   sees everything that the dashboard shows
    analyst  does what a viewer does, and acts on alerts
    admin    does what an analyst does, and looks after the installation

Pure: no store, no clock, no hashing.
"""

from __future__ import annotations

import hashlib
import ipaddress
import unicodedata
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from core.errors import InvalidInput

Role = Literal["viewer", "analyst", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "analyst", "admin")
"""Each may do all that the ones before it may."""

MAX_NAME_CHARS = 64
MIN_PASSWORD_CHARS, MAX_PASSWORD_CHARS = 12, 256
MIN_DISTINCT_CHARS = 5
PasswordFault = Literal["short", "long", "simple", "name", "same"]
PASSWORD_FAULTS: dict[PasswordFault, str] = {
    "short": f"a password has {MIN_PASSWORD_CHARS} characters at least",
    "long": f"a password has {MAX_PASSWORD_CHARS} characters at most",
    "simple": f"a password has {MIN_DISTINCT_CHARS} different characters at least",
    "name": "a password does not hold the account's name",
    "same": "the new password is the old one",
}

FORGET_AFTER = timedelta(hours=24)
"""Failures are forgotten when none was added for so long."""
FIRST_WAIT_S, LONGEST_WAIT_S = 30, 900
FREE = {"account": 5, "address": 20}
"""Failures before the first wait. Whole offices share an address."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One person who may come in.

    hash: of the password, as domain.passwords makes it
    must_change: the password was made by somebody else: nothing but changing it is allowed
    """

    name: str
    role: Role
    hash: str
    must_change: bool
    disabled: bool = False
    created_at: datetime
    password_at: datetime

    def public(self) -> dict[str, object]:
        """What may be told and noted of it: everything but the hash."""
        return {"role": self.role, "must_change": self.must_change, "disabled": self.disabled}


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One browser that is logged in. id: the hash of what its cookie holds; seen_at: when it last asked for something, to the minute."""

    id: str
    name: str
    created_at: datetime
    seen_at: datetime
    address: str


class Failures(msgspec.Struct, frozen=True, kw_only=True):
    """Failed logins in a row of one subject, an account or an address."""

    subject: str
    count: int
    last_at: datetime


def may(role: Role, least: Role) -> bool:
    """Whether one role includes another."""
    return ROLES.index(role) >= ROLES.index(least)


def account_name(text: str) -> str:
    """The name as it is kept: without regard to case or width. Raises InvalidInput for what is no name."""
    name = unicodedata.normalize("NFKC", text).strip().casefold()
    if not 0 < len(name) <= MAX_NAME_CHARS or not all(char.isalnum() or char in "._-@" for char in name):
        raise InvalidInput(f"an account's name is 1 to {MAX_NAME_CHARS} letters, digits and . _ - @ of any language")
    return name


def password_text(text: str) -> str:
    """A password however its characters were composed: keyboards differ. Source: NIST SP 800-63B-4, 3.1.1.2."""
    return unicodedata.normalize("NFKC", text)


def password_fault(password: str, name: str) -> PasswordFault | None:
    """What is wrong with a new password of this account; None: nothing. Length counts, not a mix of kinds (NIST SP 800-63B-4)."""
    text = password_text(password)
    if len(text) < MIN_PASSWORD_CHARS:
        return "short"
    if len(text) > MAX_PASSWORD_CHARS:
        return "long"
    if len(set(text)) < MIN_DISTINCT_CHARS:
        return "simple"
    return "name" if len(name) > 2 and name in text.casefold() else None


def account_subject(name: str) -> str:
    """What failures of a name are counted under, whether it has an account or not.

    16 bits of its hash: a password that was typed for a name is not kept, and names that somebody invents cannot fill the store.
    Two accounts that share one, 1 in 65,536, wait together.
    """
    text = unicodedata.normalize("NFKC", name).strip().casefold().encode("utf-8", "replace")
    return f"account:{hashlib.blake2b(text, digest_size=2).hexdigest()}"


def address_subject(address: str) -> str:
    """What failures of an address are counted under: one household or server has a whole /64 of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "address:unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return f"address:{parsed.ipv4_mapped}"
        return f"address:{ipaddress.ip_network((parsed, 64), strict=False)}"
    return f"address:{parsed}"


def failed(before: Failures | None, subject: str, now: datetime) -> Failures:
    """The failures of a subject after one more."""
    count = before.count if before is not None and now - before.last_at < FORGET_AFTER else 0
    return Failures(subject=subject, count=count + 1, last_at=now)


def wait_s(failures: Iterable[Failures], now: datetime) -> int:
    """How long until the next attempt is looked at, seconds; 0: now. Each failure past the free ones doubles it."""
    longest = 0
    for each in failures:
        past = each.count - FREE[each.subject.partition(":")[0]]
        if past < 0:
            continue
        wait = min(FIRST_WAIT_S * 2 ** min(past, 10), LONGEST_WAIT_S)
        longest = max(longest, wait - int((now - each.last_at).total_seconds()))
    return longest
