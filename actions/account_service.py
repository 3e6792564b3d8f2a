"""What is done to accounts, each change noted in the audit log: the same for the command line and for the dashboard."""

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


class People:
    """Everybody who may come in. Every method raises StoreError; names are found however they are cased.

    now: aware UTC
    """

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store, self._now = store, now
        self._turn = threading.Lock()

    def get(self, name: str) -> Account:
        """The account of this name. Raises UserError where there is none."""
        key = account_name(name)
        found = self._store.accounts.get(key)
        if found is None:
            raise NotFound(f"nobody has the account {key!r}; `tocsin users list` names them")
        return found

    def make(self, name: str, role: Role, password: str, *, must_change: bool = True) -> Account:
        """An account as it would be, with its password hashed; it is not kept. Raises UserError."""
        key, now = account_name(name), self._now()
        _check(password, key)
        return Account(name=key, role=role, hash=passwords.hash_of(password), must_change=must_change, created_at=now, password_at=now)

    def add(self, account: Account, *, who: str, address: str = COMMAND_LINE) -> None:
        """Keep a new account. Raises UserError where its name is taken."""
        if self._store.accounts.get(account.name) is not None:
            raise Conflict(f"there is an account {account.name!r} already; `tocsin users passwd` gives it another password")
        self._store.accounts.put(account)
        self.note(who, "account added", account.name, after=account.public(), address=address)

    def add_first(self, account: Account) -> bool:
        """Keep an account if nobody has one yet, or only this one has and never chose a password; whether it is the one that is kept.

        So a first password that was overlooked is told again, with another word, at the next start.
        """
        known = self._store.accounts.all()
        if not known or (len(known) == 1 and known[0].name == account.name and known[0].must_change and known[0].hash != account.hash):
            self._store.accounts.put(account)
            self.note(
                "tocsin", "account password" if known else "account added", account.name, after=account.public(), address="first start"
            )
            known = self._store.accounts.all()
        return any(each.name == account.name and each.hash == account.hash for each in known)

    def set_role(self, name: str, role: Role, *, who: str, address: str = COMMAND_LINE) -> Account:
        """Give an account another role. Raises UserError, also for the last admin."""
        return self._change(self.get(name), who, "account role", address, role=role)

    def set_disabled(self, name: str, disabled: bool, *, who: str, address: str = COMMAND_LINE) -> Account:
        """Shut an account out, and end its sessions; or let it in again. Raises UserError, also for the last admin."""
        what = "account disabled" if disabled else "account enabled"
        account = self._change(self.get(name), who, what, address, disabled=disabled)
        if disabled:
            self._end_sessions(account.name)
        return account

    def set_password(self, name: str, password: str, *, who: str, must_change: bool, address: str = COMMAND_LINE) -> Account:
        """Give an account another password, forget its failed logins, and end its sessions. Raises UserError for a weak one."""
        account = self.get(name)
        _check(password, account.name)
        changed = self._change(
            account,
            who,
            "account password",
            address,
            hash=passwords.hash_of(password),
            must_change=must_change,
            password_at=self._now(),
        )
        self._forget_failures(account.name)
        self._end_sessions(account.name)
        return changed

    def unlock(self, name: str, *, who: str, address: str = COMMAND_LINE) -> None:
        """Forget the failed logins of an account. Raises UserError."""
        account = self.get(name)
        self._forget_failures(account.name)
        self.note(who, "account unlocked", account.name, address=address)

    def log_out(self, name: str, *, who: str, address: str = COMMAND_LINE) -> int:
        """End all sessions of an account; how many there were. Raises UserError."""
        account = self.get(name)
        ended = self._end_sessions(account.name)
        self.note(who, "sessions ended", account.name, after=f"{ended} ended", address=address)
        return ended

    def failures(self, name: str) -> Failures | None:
        """The failed logins of an account in a row, if there are any."""
        subject = account_subject(name)
        return self._store.failures.get([subject]).get(subject)

    def note(self, who: str, what: str, about: str = "", *, before: object = "", after: object = "", address: str = COMMAND_LINE) -> None:
        """Add to the audit log; what is no text is written as JSON."""
        entry = AuditEntry(at=self._now(), who=who, what=what, about=about, before=_words(before), after=_words(after), address=address)
        self._store.audit.add([entry])

    def _change(self, account: Account, who: str, what: str, address: str = COMMAND_LINE, **values: object) -> Account:
        changed = msgspec.structs.replace(account, **values)
        with self._turn:  # two admins who take the role from each other at once: one of them stays
            if _looks_after(account) and not _looks_after(changed) and not self._other_admin(account.name):
                raise Conflict(f"{account.name} is the last admin: make another one first")
            self._store.accounts.put(changed)
        self.note(who, what, account.name, before=account.public(), after=changed.public(), address=address)
        return changed

    def _other_admin(self, name: str) -> bool:
        return any(_looks_after(each) and each.name != name for each in self._store.accounts.all())

    def _forget_failures(self, name: str) -> None:
        self._store.failures.put([Failures(subject=account_subject(name), count=0, last_at=self._now())])

    def _end_sessions(self, name: str) -> int:
        sessions = self._store.sessions.of(name)
        self._store.sessions.end(sessions)
        return len(sessions)


def _looks_after(account: Account) -> bool:
    return account.role == "admin" and not account.disabled


def _check(password: str, name: str) -> None:
    fault = password_fault(password, name)
    if fault:
        raise InvalidInput(PASSWORD_FAULTS[fault])


def _words(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
