"""The first account: created on the first start, its password shown once on the terminal and stored nowhere."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from actions.account_service import AccountService
from core.settings import Settings
from domain import passwords
from domain.accounts import Account, Role
from storage.store import Store

FIRST_NAME = "admin"


@dataclass(frozen=True, slots=True, repr=False)
class FirstLogin:
    """An account for a store without accounts, and its password, which never leaves this process."""

    account: Account
    password: str

    def link(self, url: str) -> str:
        """Login link with name and password in the fragment, which browsers do not send to the server."""
        return f"{url}login#{quote(self.account.name)}:{quote(self.password)}"


def first_login(name: str = FIRST_NAME, role: Role = "admin", *, must_change: bool = True) -> FirstLogin:
    """Create an account and password; nothing is stored yet."""
    password = passwords.one_time()
    now = datetime.now(UTC)
    hash_ = passwords.hash_of(password)
    return FirstLogin(Account(name=name, role=role, hash=hash_, must_change=must_change, created_at=now, password_at=now), password)


def for_terminal(settings: Settings) -> FirstLogin | None:
    """A first login if the dashboard needs accounts and stderr is a terminal, else None: stderr may be a log."""
    return first_login() if settings.dashboard_login == "password" and sys.stderr.isatty() else None


def store_first_account(store: Store, account: Account | None) -> bool:
    """Store the account if there are no accounts. Returns whether its password is valid now. Raises StoreError."""
    people = AccountService(store, lambda: datetime.now(UTC))
    return account is not None and people.add_first(account)


def dashboard_address(settings: Settings) -> str:
    """Address of the dashboard for a browser on this machine."""
    host = "127.0.0.1" if settings.dashboard_host in ("0.0.0.0", "::") else settings.dashboard_host  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.dashboard_port}/"
