"""Management of accounts with an audit log entry for each change; used by the command line and the dashboard."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime

import msgspec

from core.errors import Conflict, InvalidInput, NotFound
from domain import passwords
from domain.accounts import PASSWORD_FAULTS, Account, Failures, Role, account_name, account_subject, password_fault
from storage.store import AuditEntry, Store

COMMAND_LINE = "command line"


class AccountService:
    """Reads and changes accounts. Account names are normalised. Thread safe.

    Every method raises StoreError.

    Args:
        now: returns the current time, aware UTC
    """

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store, self._now = store, now
        self._change_lock = threading.Lock()

    def get(self, name: str) -> Account:
        """The account of this name. Raises NotFound."""
        key = account_name(name)
        found = self._store.accounts.get(key)
        if found is None:
            raise NotFound(f"there is no account {key!r}; `tocsin users list` shows all")
        return found

    def make(self, name: str, role: Role, password: str, *, must_change: bool = True) -> Account:
        """A new account with a hashed password; it is not stored. Raises InvalidInput."""
        key, now = account_name(name), self._now()
        _check(password, key)
        return Account(name=key, role=role, hash=passwords.hash_of(password), must_change=must_change, created_at=now, password_at=now)

    def add(self, account: Account, *, actor: str, address: str = COMMAND_LINE) -> None:
        """Store a new account. Raises Conflict if its name is taken."""
        if self._store.accounts.get(account.name) is not None:
            raise Conflict(f"the account {account.name!r} already exists; `tocsin users passwd` resets its password")
        self._store.accounts.put(account)
        self.audit(actor, "account added", account.name, after=account.public(), address=address)

    def add_first(self, account: Account) -> bool:
        """Store the first account of an installation, or replace it while its password was never changed.

        A first password that was overlooked is thus printed again, as a new one, at the next start.

        Returns:
            Whether `account` is the one that is stored.
        """
        known = self._store.accounts.all()
        if not known or (len(known) == 1 and known[0].name == account.name and known[0].must_change and known[0].hash != account.hash):
            self._store.accounts.put(account)
            self.audit(
                "tocsin", "account password" if known else "account added", account.name, after=account.public(), address="first start"
            )
            known = self._store.accounts.all()
        return any(each.name == account.name and each.hash == account.hash for each in known)

    def set_role(self, name: str, role: Role, *, actor: str, address: str = COMMAND_LINE) -> Account:
        """Change the role. Raises NotFound, and Conflict for the last admin."""
        return self._change(self.get(name), actor, "account role", address, role=role)

    def set_disabled(self, name: str, disabled: bool, *, actor: str, address: str = COMMAND_LINE) -> Account:
        """Disable an account and end its sessions, or enable it. Raises NotFound, and Conflict for the last admin."""
        action = "account disabled" if disabled else "account enabled"
        account = self._change(self.get(name), actor, action, address, disabled=disabled)
        if disabled:
            self._end_sessions(account.name)
        return account

    def set_password(self, name: str, password: str, *, actor: str, must_change: bool, address: str = COMMAND_LINE) -> Account:
        """Set a password, reset the failed logins and end all sessions. Raises NotFound, InvalidInput."""
        account = self.get(name)
        _check(password, account.name)
        changed = self._change(
            account,
            actor,
            "account password",
            address,
            hash=passwords.hash_of(password),
            must_change=must_change,
            password_at=self._now(),
        )
        self._reset_failures(account.name)
        self._end_sessions(account.name)
        return changed

    def unlock(self, name: str, *, actor: str, address: str = COMMAND_LINE) -> None:
        """Reset the failed logins of an account. Raises NotFound."""
        account = self.get(name)
        self._reset_failures(account.name)
        self.audit(actor, "account unlocked", account.name, address=address)

    def log_out(self, name: str, *, actor: str, address: str = COMMAND_LINE) -> int:
        """End all sessions of an account and return their number. Raises NotFound."""
        account = self.get(name)
        ended = self._end_sessions(account.name)
        self.audit(actor, "sessions ended", account.name, after=f"{ended} ended", address=address)
        return ended

    def failures(self, name: str) -> Failures | None:
        """The consecutive failed logins of an account; None without any."""
        subject = account_subject(name)
        return self._store.login_failures.get([subject]).get(subject)

    def audit(
        self, actor: str, action: str, target: str = "", *, before: object = "", after: object = "", address: str = COMMAND_LINE
    ) -> None:
        """Add an entry to the audit log. Values other than strings are written as JSON."""
        entry = AuditEntry(
            at=self._now(), actor=actor, action=action, target=target, before=_text(before), after=_text(after), address=address
        )
        self._store.audit.add([entry])

    def _change(self, account: Account, actor: str, action: str, address: str = COMMAND_LINE, **values: object) -> Account:
        changed = msgspec.structs.replace(account, **values)
        with self._change_lock:  # two admins who demote each other at the same time: one of them stays
            if _is_active_admin(account) and not _is_active_admin(changed) and not self._has_other_admin(account.name):
                raise Conflict(f"{account.name} is the last admin: make another account an admin first")
            self._store.accounts.put(changed)
        self.audit(actor, action, account.name, before=account.public(), after=changed.public(), address=address)
        return changed

    def _has_other_admin(self, name: str) -> bool:
        return any(_is_active_admin(each) and each.name != name for each in self._store.accounts.all())

    def _reset_failures(self, name: str) -> None:
        self._store.login_failures.put([Failures(subject=account_subject(name), count=0, last_at=self._now())])

    def _end_sessions(self, name: str) -> int:
        sessions = self._store.sessions.of(name)
        self._store.sessions.end(sessions)
        return len(sessions)


def _is_active_admin(account: Account) -> bool:
    return account.role == "admin" and not account.disabled


def _check(password: str, name: str) -> None:
    fault = password_fault(password, name)
    if fault:
        raise InvalidInput(PASSWORD_FAULTS[fault])


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
