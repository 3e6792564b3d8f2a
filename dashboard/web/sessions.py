"""Who is it? Names and passwords to sessions, and a session's token to the person; no web framework here.

    name, password ─▶ waits over? ─▶ Argon2 ─▶ session in the store ─▶ token for the cookie
    token ─▶ its hash ─▶ session, account (read every 5 s for all viewers together) ─▶ Person

The token is random and the store has only its hash: nothing is signed, so there is no key to keep.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from actions.account_service import People
from core.cache import Cache
from core.errors import StoreError, UserError
from domain import passwords
from domain.accounts import (
    Account,
    Failures,
    PasswordFault,
    Role,
    Session,
    account_name,
    account_subject,
    address_subject,
    failed,
    password_fault,
    wait_s,
)
from storage.store import Store

TTL_S = 5.0
"""An account that is disabled, or a session that is ended, by another process is noticed within this time."""
SEEN_EVERY = timedelta(minutes=1)
PATIENCE_S = 1.0
"""How long a login waits for the one before it: a hash takes 64 MiB, and eight threads serve everybody."""
_Known = tuple[dict[str, Session], dict[str, Account]]


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks. session: "" for one who is known otherwise than by a cookie."""

    name: str
    role: Role
    must_change: bool = False
    session: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """A login that did not succeed. wait_s: until the next one is looked at; 0: at once. It never says why."""

    wait_s: int = 0


class Logins:
    """Logins and sessions over the store. Thread safe; every method raises StoreError.

    idle, longest: a session ends when it was not used for, and lasted, so long
    """

    def __init__(
        self, store: Store, now: Callable[[], datetime], *, idle: timedelta, longest: timedelta, cache: Cache | None = None
    ) -> None:
        self._store, self._now, self._idle, self._longest = store, now, idle, longest
        self._people = People(store, now)
        self._cache = cache or Cache()
        self._last: _Known | None = None
        self._hashing = threading.Lock()
        passwords.nobodys()  # now, so that the first unknown name takes no longer than others

    def anybody(self) -> bool:
        """Whether there is an account at all."""
        return bool(self._known()[1])

    def log_in(self, name: str, password: str, address: str) -> str | Refused:
        """The token of a new session, or that it was refused."""
        if not self._hashing.acquire(timeout=PATIENCE_S):
            return Refused(wait_s=2)
        try:
            account = self._checked(name, password, address)
        finally:
            self._hashing.release()
        if isinstance(account, Refused):
            return account
        if passwords.outdated(account.hash):
            self._store.accounts.put(msgspec.structs.replace(account, hash=passwords.hash_of(password)))
        self._people.note(account.name, "login", account.name, address=address)
        return self._open(account.name, address)

    def change_password(self, person: Person, old: str, new: str, address: str) -> str | Refused | PasswordFault:
        """Change one's own password; every session of the account ends, and the token is that of a new one."""
        fault = "same" if old == new else password_fault(new, person.name)
        if fault:
            return fault
        if not self._hashing.acquire(timeout=PATIENCE_S):
            return Refused(wait_s=2)
        try:
            account = self._checked(person.name, old, address)
            if isinstance(account, Refused):
                return account
            self._people.set_password(account.name, new, who=account.name, must_change=False, address=address)
        finally:
            self._hashing.release()
        return self._open(person.name, address)

    def log_out(self, person: Person, address: str) -> None:
        """End the session of this person."""
        session = self._store.sessions.get(person.session)
        if session is not None:
            self._store.sessions.end([session])
            self._people.note(person.name, "logout", person.name, address=address)
        self._cache.drop("sessions")

    def drop(self, token: str) -> None:
        """End the session of a cookie that a new login replaces, if it is one."""
        session = self._store.sessions.get(_hash(token)) if token else None
        if session is not None:
            self._store.sessions.end([session])

    def who(self, token: str) -> Person | None:
        """Whose session a token is; None: nobody's, or it ended. While the store is away, those who were known stay known."""
        if not token:
            return None
        ident, now = _hash(token), self._now()
        sessions, accounts = self._known()
        session = sessions.get(ident)
        if session is None:  # opened a moment ago, perhaps by another process
            session = self._store.sessions.get(ident)
        if session is None or now - session.seen_at > self._idle or now - session.created_at > self._longest:
            return None
        account = accounts.get(session.name)
        if account is None or account.disabled:
            return None
        if now - session.seen_at >= SEEN_EVERY:
            self._seen(sessions, session, now)
        return Person(name=account.name, role=account.role, must_change=account.must_change, session=ident)

    def named(self, name: str, unknown: Role | None, address: str) -> Person | None:
        """The person whom a proxy names. unknown: the role of one without an account; None: such a one is nobody."""
        try:
            key = account_name(name)
        except UserError:
            return None
        account = self._known()[1].get(key)
        role = account.role if account is not None else unknown
        if role is None or (account is not None and account.disabled):
            return None
        with contextlib.suppress(StoreError):
            self._cache.get(("greeted", key, address), self._idle.total_seconds(), lambda: self._greet(key, role, address))
        return Person(name=key, role=role)

    def _greet(self, name: str, role: Role, address: str) -> bool:
        self._people.note(name, "login by proxy", name, after=role, address=address)
        return True

    def _checked(self, name: str, password: str, address: str) -> Account | Refused:
        """The account whose password this is. However wrong name and password are, it takes the same way and time."""
        now, subjects = self._now(), [account_subject(name), address_subject(address)]
        known = self._store.failures.get(subjects)
        wait = wait_s(known.values(), now)
        if wait > 0:
            return Refused(wait_s=wait)
        account = self._find(name)
        right = passwords.verify(account.hash if account is not None else passwords.nobodys(), password)
        if account is not None and right and not account.disabled:
            if subjects[0] in known:
                self._store.failures.put([Failures(subject=subjects[0], count=0, last_at=now)])
            return account
        after = [failed(known.get(subject), subject, now) for subject in subjects]
        self._store.failures.put(after)
        wait = wait_s(after, now)
        # a name without an account is not noted: it may be a password
        what, told = ("login locked", f"for {wait} s") if wait else ("login failed", "")
        self._people.note("", what, account.name if account else "", after=told, address=address)
        return Refused(wait_s=wait)

    def _find(self, name: str) -> Account | None:
        try:
            key = account_name(name)
        except UserError:
            key = ""
        return self._store.accounts.get(key)

    def _open(self, name: str, address: str) -> str:
        token, now = secrets.token_urlsafe(32), self._now()
        self._store.sessions.put(Session(id=_hash(token), name=name, created_at=now, seen_at=now, address=address))
        self._cache.drop("sessions")
        self._cache.drop("accounts")
        return token

    def _known(self) -> _Known:
        """Live sessions by id and accounts by name; those of before while the store is away."""
        since = self._now() - self._idle
        try:
            known = (
                self._cache.get("sessions", TTL_S, lambda: {each.id: each for each in self._store.sessions.live(since)}),
                self._cache.get("accounts", TTL_S, lambda: {each.name: each for each in self._store.accounts.all()}),
            )
        except StoreError:
            if self._last is None:
                raise
            return self._last
        self._last = known
        return known

    def _seen(self, sessions: dict[str, Session], session: Session, now: datetime) -> None:
        sessions[session.id] = seen = msgspec.structs.replace(session, seen_at=now)
        with contextlib.suppress(StoreError):  # nobody is sent away for it
            self._store.sessions.put(seen)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
