"""Management of accounts with an audit log entry for each change; used by the command line and the dashboard."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from core.errors import Conflict, InvalidInput, NotFound
from domain import passwords
from domain.accounts import (
    PASSWORD_FAULTS,
    UNKNOWN_ADDRESS,
    Account,
    Failures,
    Role,
    account_name,
    account_subject,
    address_subject,
    password_fault,
)
from domain.actor_names import check_name_is_free
from domain.tokens import Token, account_of, fault_of_account, with_descendants
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
        """Store a new account. Raises Conflict if an account or a token has its name, or one that looks like it."""
        if self._store.accounts.get(account.name) is not None:
            raise Conflict(f"the account {account.name!r} already exists; `tocsin users passwd` resets its password")
        check_name_is_free(account.name, self.names())
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
        """Change the role and revoke tokens whose scopes need a higher one. Raises NotFound, and Conflict for the last admin."""
        account = self._change(self.get(name), actor, "account role", address, role=role)
        known = self._store.tokens.all()
        self.revoke_tokens([each for each in self.tokens_of(account, known) if fault_of_account(each, account)], known, actor, address)
        return account

    def set_disabled(self, name: str, disabled: bool, *, actor: str, address: str = COMMAND_LINE, hand_over_to: str = "") -> Account:
        """Disable an account, or enable it. Disabling ends its sessions and revokes its tokens for good.

        Args:
            hand_over_to: account that receives the tokens instead

        Raises:
            NotFound: one of the accounts does not exist
            Conflict: it is the last admin, or the other account cannot have the tokens; nothing is changed
        """
        account = self.get(name)
        if disabled and hand_over_to:
            if self.get(hand_over_to).name == account.name:
                raise Conflict(f"{account.name} cannot receive its own tokens: name another account")
            self._check_other_admin(account, msgspec.structs.replace(account, disabled=True))
            self.hand_over(self.tokens_of(account, self._store.tokens.all()), hand_over_to, actor=actor, address=address)
        account = self._change(account, actor, "account disabled" if disabled else "account enabled", address, disabled=disabled)
        if disabled:
            self._end_sessions(account.name)
            known = self._store.tokens.all()
            self.revoke_tokens(self.tokens_of(account, known), known, actor, address)
        return account

    def names(self) -> list[tuple[str, str]]:
        """Kind and name of everybody whose name nobody else may have: all accounts, and valid tokens."""
        now = self._now()
        return [
            *(("account", account.name) for account in self._store.accounts.all()),
            *(("token", token.name) for token in self._store.tokens.all() if token.is_valid(now)),
        ]

    def tokens_of(self, account: Account, known: Sequence[Token]) -> list[Token]:
        """The valid tokens of an account."""
        now = self._now()
        return [token for token in known if token.is_valid(now) and account_of(token, [account]) is not None]

    def hand_over(self, given: Sequence[Token], name: str, *, actor: str, address: str = COMMAND_LINE) -> list[Token]:
        """Make tokens, and those that were made with them, the tokens of another account.

        Raises:
            NotFound: there is no such account
            Conflict: it is disabled, or has too low a role for their scopes; nothing is changed
        """
        account, now = self.get(name), self._now()
        moved = [each for each in with_descendants([each.id for each in given], self._store.tokens.all()) if each.is_valid(now)]
        for token in moved:
            fault = fault_of_account(token, account)
            if fault:
                raise Conflict(f"the token {token.name!r} cannot be handed over: {fault}")
        if moved:
            self._store.tokens.add([msgspec.structs.replace(token, author=account.name) for token in moved])
        for token in moved:
            self.audit(actor, "token handed over", token.id, before=token.author, after=account.name, address=address)
        return moved

    def revoke_tokens(self, given: Sequence[Token], known: Sequence[Token], actor: str, address: str = COMMAND_LINE) -> list[Token]:
        """Revoke tokens and those that were made with them. Returns those that were valid until now."""
        now = self._now()
        revoked = [each for each in with_descendants([each.id for each in given], known) if each.revoked_at is None]
        if revoked:
            self._store.tokens.revoke([token.id for token in revoked], now, actor)
        for token in revoked:
            self.audit(actor, "token revoked", token.id, before=token.name, address=address)
        return revoked

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

    def unlock_address(self, client: str, *, actor: str, address: str = COMMAND_LINE) -> None:
        """Reset the failed logins of a network address. Raises InvalidInput."""
        subject = address_subject(client)
        if subject == UNKNOWN_ADDRESS:
            raise InvalidInput(f"{client[:100]!r} is not an IP address such as 192.0.2.7 or 2001:db8::7")
        self._store.login_failures.put([Failures(subject=subject, count=0, last_at=self._now())])
        self.audit(actor, "address unlocked", subject.partition(":")[2], address=address)

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
            self._check_other_admin(account, changed)
            self._store.accounts.put(changed)
        self.audit(actor, action, account.name, before=account.public(), after=changed.public(), address=address)
        return changed

    def _check_other_admin(self, account: Account, changed: Account) -> None:
        """Raises Conflict if the change leaves no admin."""
        if _is_active_admin(account) and not _is_active_admin(changed) and not self._has_other_admin(account.name):
            raise Conflict(f"{account.name} is the last admin: make another account an admin first")

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
