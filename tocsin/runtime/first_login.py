"""The way in on the first start: an account with a password that is told on the terminal once, and written nowhere else."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from actions.account_service import People
from core.settings import Settings
from domain import passwords
from domain.accounts import Account, Role
from storage.store import Store
from tocsin.cli.common import console

FIRST_NAME = "admin"


@dataclass(frozen=True, slots=True, repr=False)
class FirstLogin:
    """An account for a store that has none, and its password, which stays in this process."""

    account: Account
    password: str

    def link(self, url: str) -> str:
        """The login page of the dashboard at `url`, name and password behind the #: a browser never sends that part to anybody."""
        return f"{url}login#{quote(self.account.name)}:{quote(self.password)}"


def first_login(name: str = FIRST_NAME, role: Role = "admin", *, must_change: bool = True) -> FirstLogin:
    """A new one; nothing is kept yet."""
    password = passwords.one_time()
    now = datetime.now(UTC)
    hash_ = passwords.hash_of(password)
    return FirstLogin(Account(name=name, role=role, hash=hash_, must_change=must_change, created_at=now, password_at=now), password)


def for_terminal(settings: Settings) -> FirstLogin | None:
    """One where a person reads stderr and accounts are asked for; None elsewhere: stderr would be a log."""
    return first_login() if settings.dashboard_login == "password" and sys.stderr.isatty() else None


def keep(store: Store, account: Account | None) -> bool:
    """Keep the account if nobody has one; whether its password is the one to log in with. Raises StoreError."""
    people = People(store, lambda: datetime.now(UTC))
    return account is not None and people.add_first(account)


def address_of(settings: Settings) -> str:
    """Where a browser on this machine finds the dashboard."""
    host = "127.0.0.1" if settings.dashboard_host in ("0.0.0.0", "::") else settings.dashboard_host  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.dashboard_port}/"


def tell(first: FirstLogin, url: str) -> None:
    """Print the password: to the terminal, past every log and its masks."""
    once = "once; you will choose your own password" if first.account.must_change else "as long as this runs"
    console.print(f"log in as {first.account.name} with the password {first.password} ({once}):", markup=False, soft_wrap=True)
    console.print(f"    {first.link(url)}", markup=False, soft_wrap=True)
