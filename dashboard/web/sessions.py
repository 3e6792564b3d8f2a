"""Logins and sessions, independent of the web framework.

    name, password ─▶ rate limit ─▶ Argon2 ─▶ session in the store ─▶ token for the cookie
    token ─▶ its hash ─▶ session and account (cached for 5 s) ─▶ Person

The token is random and the store has only its hash. Nothing is signed, so there is no secret key.
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

from actions.account_service import AccountService
from core.cache import Cache
from core.errors import StoreError, UserError
from domain import passwords
from domain.accounts import (
    Account,
    Failures,
    PasswordFault,
    Person,
    Role,
    Session,
    account_name,
    account_subject,
    address_subject,
    failed,
    first_password_expired,
    password_fault,
    wait_s,
)
from storage.store import Store

TTL_S = 5.0
"""A session or an account that another process ended or disabled is accepted for this long at most, seconds."""
LAST_SEEN_INTERVAL = timedelta(minutes=1)
"""Minimum time between two updates of the last use of a session."""
HASH_WAIT_S = 1.0
"""How long a login waits for another one: a hash takes 64 MiB of memory, so one runs at a time."""
_Snapshot = tuple[dict[str, Session], dict[str, Account]]


@dataclass(frozen=True, slots=True)
class LoginRejected:
    """A login that failed; the reason is not disclosed. wait_s: seconds until the next attempt is allowed, 0 at once."""

    wait_s: int = 0


class SessionService:
    """Logins and sessions. Thread safe; every method raises StoreError."""

    def __init__(
        self, store: Store, now: Callable[[], datetime], *, idle: timedelta, max_age: timedelta, cache: Cache | None = None
    ) -> None:
        """
        Args:
            now: wall clock, aware UTC
            idle: a session ends after this time without a request
            max_age: a session ends after this time in any case
        """
        self._store, self._now, self._idle, self._max_age = store, now, idle, max_age
        self._accounts = AccountService(store, now)
        self._cache = cache or Cache()
        self._last: _Snapshot | None = None
        self._hashing = threading.Lock()
        passwords.dummy_hash()  # computed now, so that the first unknown name takes no longer than others

    def has_accounts(self) -> bool:
        """Whether there is any account."""
        return bool(self._sessions_and_accounts()[1])

    def log_in(self, name: str, password: str, address: str) -> str | LoginRejected:
        """Log in. Returns the token of a new session, or the rejection."""
        if not self._hashing.acquire(timeout=HASH_WAIT_S):
            return LoginRejected(wait_s=2)
        try:
            account = self._check(name, password, address)
        finally:
            self._hashing.release()
        if isinstance(account, LoginRejected):
            return account
        if passwords.outdated(account.hash):
            self._store.accounts.put(msgspec.structs.replace(account, hash=passwords.hash_of(password)))
        self._accounts.audit(account.name, "login", account.name, address=address)
        return self._open(account.name, address)

    def change_password(self, person: Person, old: str, new: str, address: str) -> str | LoginRejected | PasswordFault:
        """Change a person's own password. All sessions of the account end; returns the token of a new one, the rejection, or the fault."""
        fault = "same" if old == new else password_fault(new, person.name)
        if fault:
            return fault
        if not self._hashing.acquire(timeout=HASH_WAIT_S):
            return LoginRejected(wait_s=2)
        try:
            account = self._check(person.name, old, address)
            if isinstance(account, LoginRejected):
                return account
            self._accounts.set_password(account.name, new, actor=account.name, must_change=False, address=address)
        finally:
            self._hashing.release()
        return self._open(person.name, address)

    def log_out(self, person: Person, address: str) -> None:
        """End the session of a person."""
        session = self._store.sessions.get(person.session)
        if session is not None:
            self._store.sessions.end([session])
            self._accounts.audit(person.name, "logout", person.name, address=address)
        self._cache.expire("sessions")

    def end(self, token: str) -> None:
        """End the session of a token, if there is one: a new login replaces it."""
        session = self._store.sessions.get(_hash(token)) if token else None
        if session is not None:
            self._store.sessions.end([session])

    def person(self, token: str) -> Person | None:
        """The person of a session, None if it is unknown or has ended. During an outage of the store the last known state is used."""
        if not token:
            return None
        session_id, now = _hash(token), self._now()
        sessions, accounts = self._sessions_and_accounts()
        session = sessions.get(session_id)
        if session is None:  # perhaps opened a moment ago by another process
            session = self._store.sessions.get(session_id)
        if session is None or now - session.seen_at > self._idle or now - session.created_at > self._max_age:
            return None
        account = accounts.get(session.name)
        if account is None or account.disabled:
            return None
        if now - session.seen_at >= LAST_SEEN_INTERVAL:
            self._update_last_seen(sessions, session, now)
        return Person(name=account.name, role=account.role, must_change=account.must_change, session=session_id)

    def person_of_proxy(self, name: str, unknown_role: Role | None, address: str) -> Person | None:
        """The person that a proxy names.

        Args:
            unknown_role: role of a name without an account; None denies access
            address: address of the client, for the audit log
        """
        try:
            key = account_name(name)
        except UserError:
            return None
        account = self._sessions_and_accounts()[1].get(key)
        role = account.role if account is not None else unknown_role
        if role is None or (account is not None and account.disabled):
            return None
        with contextlib.suppress(StoreError):
            self._cache.get(("proxy login", key, address), self._idle.total_seconds(), lambda: self._note_proxy_login(key, role, address))
        return Person(name=key, role=role)

    def _note_proxy_login(self, name: str, role: Role, address: str) -> bool:
        self._accounts.audit(name, "login by proxy", name, after=role, address=address)
        return True

    def _check(self, name: str, password: str, address: str) -> Account | LoginRejected:
        """The account, if the password is right. An unknown name takes the same steps and time as a wrong password."""
        now, subjects = self._now(), [account_subject(name), address_subject(address)]
        failures = self._store.login_failures.get(subjects)
        wait = wait_s(failures.values(), now)
        if wait > 0:
            return LoginRejected(wait_s=wait)
        account = self._find(name)
        right = passwords.verify(account.hash if account is not None else passwords.dummy_hash(), password)
        expired = account is not None and first_password_expired(account, now)
        if account is not None and right and not account.disabled and not expired:
            if failures:
                self._store.login_failures.put([Failures(subject=subject, count=0, last_at=now) for subject in failures])
            return account
        after = [failed(failures.get(subject), subject, now) for subject in subjects]
        self._store.login_failures.put(after)
        wait = wait_s(after, now)
        # a name without an account is not recorded: it may be a password typed into the wrong field
        action, details = (
            ("login locked", f"for {wait} s") if wait else ("login failed", "the first password has expired" if expired and right else "")
        )
        self._accounts.audit("", action, account.name if account else "", after=details, address=address)
        return LoginRejected(wait_s=wait)

    def _find(self, name: str) -> Account | None:
        try:
            key = account_name(name)
        except UserError:
            key = ""
        return self._store.accounts.get(key)

    def _open(self, name: str, address: str) -> str:
        token, now = secrets.token_urlsafe(32), self._now()
        self._store.sessions.put(Session(id=_hash(token), name=name, created_at=now, seen_at=now, address=address))
        self._cache.expire("sessions")
        self._cache.expire("accounts")
        return token

    def _sessions_and_accounts(self) -> _Snapshot:
        """Live sessions by id and accounts by name; during an outage of the store those read last."""
        since = self._now() - self._idle
        try:
            snapshot = (
                self._cache.get("sessions", TTL_S, lambda: {each.id: each for each in self._store.sessions.live(since)}),
                self._cache.get("accounts", TTL_S, lambda: {each.name: each for each in self._store.accounts.all()}),
            )
        except StoreError:
            if self._last is None:
                raise
            return self._last
        self._last = snapshot
        return snapshot

    def _update_last_seen(self, sessions: dict[str, Session], session: Session, now: datetime) -> None:
        sessions[session.id] = seen = msgspec.structs.replace(session, seen_at=now)
        with contextlib.suppress(StoreError):  # the request itself must not fail because of it
            self._store.sessions.put(seen)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
