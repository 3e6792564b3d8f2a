"""Logins: what failures delay, what ends the delay, and how long a first password can be used."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from actions.account_service import AccountService
from core.errors import InvalidInput
from dashboard.web.sessions import LoginRejected, SessionService
from domain.accounts import FIRST_PASSWORD_VALID, FREE
from storage.store import Store

AT = datetime(2026, 11, 2, 9, tzinfo=UTC)
PASSWORD = "正确的密码 correct horse"
ADDRESS = "192.0.2.7"


class Logins:
    def __init__(self, store: Store) -> None:
        for table in ("accounts", "sessions", "login_failures", "audit"):
            store.client.command(f"TRUNCATE TABLE {table}")
        self.now = AT
        self.store = store
        self.people = AccountService(store, lambda: self.now)
        self.people.add(self.people.make("王芳", "viewer", PASSWORD, must_change=False), actor="test")
        self.sessions = SessionService(store, lambda: self.now, idle=timedelta(hours=1), max_age=timedelta(days=1))

    def log_in(self, name: str = "王芳", password: str = PASSWORD, address: str = ADDRESS) -> str | LoginRejected:
        return self.sessions.log_in(name, password, address)

    def fail(self, times: int) -> None:
        """Failed logins from ADDRESS, each with another name."""
        for number in range(times):
            self.log_in(f"nobody{number}", "x")


@pytest.fixture
def logins(store: Store) -> Logins:
    return Logins(store)


def test_a_login_clears_the_failures_of_its_address(logins: Logins):
    logins.fail(FREE["address"] - 1)
    assert isinstance(logins.log_in(), str)
    logins.fail(2)
    assert isinstance(logins.log_in(), str), "the failures before the first login no longer count"


def test_an_address_is_unlocked_by_an_admin(logins: Logins):
    logins.fail(FREE["address"] + 1)
    assert isinstance(logins.log_in(), LoginRejected)
    logins.people.unlock_address(ADDRESS, actor="root")
    assert isinstance(logins.log_in(), str)
    assert [entry.target for entry in logins.store.audit.latest(9, action="address unlocked")] == [ADDRESS]
    with pytest.raises(InvalidInput, match="is not an IP address"):
        logins.people.unlock_address("host.example", actor="root")


def test_a_first_password_expires(logins: Logins):
    logins.people.set_password("王芳", PASSWORD, actor="root", must_change=True)
    logins.now = AT + FIRST_PASSWORD_VALID
    assert isinstance(logins.log_in(), str)
    logins.now += timedelta(seconds=1)
    assert isinstance(logins.log_in(), LoginRejected)
    assert logins.store.audit.latest(1)[0].after == "the first password has expired"
    logins.people.set_password("王芳", PASSWORD, actor="root", must_change=True)
    assert isinstance(logins.log_in(), str)


def test_passwords_and_names_of_any_length_are_refused_in_a_moment(logins: Logins):
    hostile = "a" + "\u0345\u0301" * 200_000
    assert isinstance(logins.log_in(hostile, hostile), LoginRejected)
    assert isinstance(logins.log_in(password=hostile), LoginRejected)
