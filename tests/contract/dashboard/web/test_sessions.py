"""Accounts and logins, over a real store with two clocks that are moved by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from actions.account_service import AccountService
from core.cache import Cache
from core.errors import Conflict, InvalidInput, NotFound, StoreUnavailable
from dashboard.web.sessions import TTL_S, Logins, Person, Refused
from domain.accounts import FREE, Account, Failures, account_subject, address_subject
from storage.store import Store

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
FIRST, SECOND, THIRD = "k7mq-2xwd-9fhr", "一二三四五六七八九十甲乙", "t4nz-ppqd-7a2c"
IDLE, LONGEST = timedelta(hours=12), timedelta(days=7)


class Hands:
    """Two clocks that are moved by hand together: the time of day, and that of the cache."""

    def __init__(self) -> None:
        self.now, self.time = NOON, 0.0

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, span: timedelta) -> None:
        self.now += span
        self.time += span.total_seconds()


@pytest.fixture(scope="module")
def store(embedded_store: Store) -> Store:
    return embedded_store


@pytest.fixture(autouse=True)
def empty(store: Store) -> None:
    for table in ("accounts", "sessions", "login_failures", "audit"):
        store.client.command(f"TRUNCATE TABLE {table}")


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def people(store: Store, clock: Hands) -> AccountService:
    return AccountService(store, clock)


def logins_of(store: Store, clock: Hands) -> Logins:
    return Logins(store, clock, idle=IDLE, longest=LONGEST, cache=Cache(lambda: clock.time))


@pytest.fixture
def logins(store: Store, clock: Hands) -> Logins:
    return logins_of(store, clock)


def add(people: AccountService, name: str, password: str = FIRST, *, must_change: bool = False) -> Account:
    account = people.make(name, "analyst", password, must_change=must_change)
    people.add(account, actor="root")
    return account


def log_in(logins: Logins, name: str = "王芳", password: str = FIRST, address: str = "203.0.113.9") -> str:
    token = logins.log_in(name, password, address)
    assert isinstance(token, str), token
    return token


def fail(store: Store, subject: str, times: int) -> None:
    """As if it had failed so often already: each attempt takes its 50 ms."""
    store.login_failures.put([Failures(subject=subject, count=times, last_at=NOON)])


def whats(store: Store) -> list[str]:
    return [entry.action for entry in reversed(store.audit.latest())]


def test_each_change_of_an_account_is_noted_without_its_secrets(store: Store, people: AccountService):
    account = add(people, "Lee", must_change=True)
    people.add(people.make("root", "admin", FIRST), actor="root")
    people.set_role("LEE", "viewer", actor="root")
    people.set_password("lee", SECOND, actor="root", must_change=True)
    people.set_disabled("lee", True, actor="root")
    people.set_disabled("lee", False, actor="root")
    people.unlock("lee", actor="root")
    people.log_out("lee", actor="root")
    told = store.audit.latest(target="lee")
    assert [entry.action for entry in reversed(told)] == [
        "account added",
        "account role",
        "account password",
        "account disabled",
        "account enabled",
        "account unlocked",
        "sessions ended",
    ]
    role = next(entry for entry in told if entry.action == "account role")
    assert (role.actor, '"analyst"' in role.before, '"viewer"' in role.after) == ("root", True, True)
    everything = repr(told)
    assert not any(secret in everything for secret in (FIRST, SECOND, account.hash, "argon2"))


def test_a_taken_name_an_unknown_one_and_the_last_admin_are_refused(people: AccountService):
    people.add(people.make("root", "admin", FIRST), actor="root")
    with pytest.raises(Conflict, match="already"):
        people.add(people.make("ROOT", "viewer", SECOND), actor="root")
    with pytest.raises(NotFound, match="there is no account 'lee'"):
        people.set_role("lee", "admin", actor="root")
    with pytest.raises(Conflict, match="last admin"):
        people.set_role("root", "analyst", actor="root")
    with pytest.raises(Conflict, match="last admin"):
        people.set_disabled("root", True, actor="root")
    people.add(people.make("lee", "admin", SECOND), actor="root")
    assert people.set_role("root", "analyst", actor="lee").role == "analyst"
    with pytest.raises(InvalidInput, match="12 characters"):
        people.make("short", "viewer", "short")


def test_the_first_account_is_made_once_and_told_anew_until_it_is_used(store: Store, people: AccountService, logins: Logins):
    first, again = (people.make("admin", "admin", password) for password in (FIRST, SECOND))
    assert people.add_first(first)
    assert people.add_first(first), "a worker that is started again has the same one"
    assert people.add_first(again), "nobody read the first password"
    assert not people.add_first(msgspec.structs.replace(again, name="other"))
    assert isinstance(logins.log_in("admin", FIRST, "::1"), Refused)
    person = logins.actor(log_in(logins, "admin", SECOND))
    assert person is not None
    assert person.must_change
    assert isinstance(logins.change_password(person, SECOND, THIRD, "::1"), str)
    assert not people.add_first(first)
    assert len(store.accounts.all()) == 1


def test_a_login_is_a_session_until_it_is_ended(store: Store, people: AccountService, logins: Logins):
    add(people, "王芳")
    assert logins.actor("") is logins.actor("made up") is None
    token = log_in(logins, " 王芳 ")
    assert logins.actor(token) == Person("王芳", "analyst", session=store.sessions.of("王芳")[0].id)
    assert token not in repr(store.client.query("SELECT * FROM sessions")), "the store cannot be used to log in"
    other = log_in(logins)
    person = logins.actor(token)
    assert person is not None
    logins.log_out(person, "203.0.113.9")
    assert logins.actor(token) is None
    assert logins.actor(other) is not None
    assert whats(store) == ["account added", "login", "login", "logout"]


def test_a_session_ends_when_it_is_idle_and_when_it_is_old(store: Store, people: AccountService, logins: Logins, clock: Hands):
    add(people, "王芳")
    token = log_in(logins)
    clock.pass_(IDLE - timedelta(minutes=1))
    assert logins.actor(token) is not None
    clock.pass_(IDLE - timedelta(minutes=1))
    assert logins.actor(token) is not None, "an open page keeps it"
    assert logins_of(store, clock).actor(token) is not None, "in every process"
    clock.pass_(IDLE + timedelta(seconds=1))
    assert logins.actor(token) is None
    token = log_in(logins)
    for _ in range(20):
        clock.pass_(timedelta(hours=8))
        assert logins.actor(token) is not None
    clock.pass_(timedelta(hours=8, seconds=1))
    assert logins.actor(token) is None


def test_what_another_process_changes_is_noticed(people: AccountService, logins: Logins, store: Store, clock: Hands):
    add(people, "王芳")
    token, beside = log_in(logins), logins_of(store, clock)
    assert beside.actor(token) is not None
    people.set_role("王芳", "viewer", actor="root")
    clock.pass_(timedelta(seconds=TTL_S))
    person = beside.actor(token)
    assert person is not None
    assert person.role == "viewer"
    people.set_disabled("王芳", True, actor="root")
    clock.pass_(timedelta(seconds=TTL_S))
    assert beside.actor(token) is None
    people.set_disabled("王芳", False, actor="root")
    clock.pass_(timedelta(seconds=TTL_S))
    assert beside.actor(token) is None, "its sessions ended"


def test_a_disabled_account_an_unknown_name_and_a_wrong_password_are_told_apart_by_nobody(store: Store, people: AccountService, logins: Logins):
    add(people, "王芳")
    add(people, "lee")
    people.set_disabled("lee", True, actor="root")
    tries = (("王芳", "wrong"), ("lee", FIRST), ("nobody", FIRST), ("no name at all!", FIRST), ("my-p4ssword!", ""), ("", ""))
    assert {logins.log_in(name, password, "203.0.113.9") for name, password in tries} == {Refused()}
    refused = [entry for entry in store.audit.latest() if entry.action == "login failed"]
    assert sorted(entry.target for entry in refused) == ["", "", "", "", "lee", "王芳"]
    assert {entry.address for entry in refused} == {"203.0.113.9"}
    kept = repr(store.audit.latest()) + repr(store.client.query("SELECT * FROM login_failures"))
    assert "my-p4ssword!" not in kept, "a password that was typed for a name is not kept"


@pytest.mark.parametrize("name", ["王芳", "nobody"])
def test_repeated_failures_wait_longer_and_longer(store: Store, people: AccountService, logins: Logins, clock: Hands, name: str):
    """Whether there is such an account or not."""
    add(people, "王芳")
    fail(store, account_subject(name), FREE["account"] - 2)
    assert [logins.log_in(name, "wrong", f"203.0.113.{n}") for n in range(3)] == [Refused(), Refused(wait_s=30), Refused(wait_s=30)]
    assert logins_of(store, clock).log_in(name, FIRST, "198.51.100.1") == Refused(wait_s=30), "also with the right password, in any process"
    clock.pass_(timedelta(seconds=30))
    assert logins.log_in(name, "wrong", "203.0.113.1") == Refused(wait_s=60)
    assert whats(store).count("login locked") == 2


def test_an_unlocked_account_need_not_wait(store: Store, people: AccountService, logins: Logins):
    add(people, "王芳")
    fail(store, account_subject("王芳"), FREE["account"])
    assert isinstance(logins.log_in("王芳", FIRST, "203.0.113.9"), Refused)
    people.unlock("王芳", actor="root")
    log_in(logins)
    assert store.login_failures.get([account_subject("王芳")]) == {}


def test_one_address_that_tries_many_names_waits(store: Store, people: AccountService, logins: Logins):
    add(people, "王芳")
    fail(store, address_subject("203.0.113.9"), FREE["address"] - 2)
    assert [logins.log_in(f"name-{n}", "wrong", "203.0.113.9") for n in range(2)] == [Refused(), Refused(wait_s=30)]
    assert logins.log_in("王芳", FIRST, "203.0.113.9") == Refused(wait_s=30)
    log_in(logins, address="203.0.113.10")


def test_a_changed_password_ends_every_session_but_the_one_that_changed_it(store: Store, people: AccountService, logins: Logins):
    add(people, "王芳", must_change=True)
    other, token = log_in(logins), log_in(logins)
    person = logins.actor(token)
    assert person is not None
    assert logins.change_password(person, FIRST, FIRST, "::1") == "same"
    assert logins.change_password(person, FIRST, "short", "::1") == "short"
    assert logins.change_password(person, "wrong", SECOND, "::1") == Refused()
    fresh = logins.change_password(person, FIRST, SECOND, "::1")
    assert isinstance(fresh, str)
    assert logins.actor(other) is logins.actor(token) is None
    person = logins.actor(fresh)
    assert person is not None
    assert not person.must_change
    assert isinstance(logins.log_in("王芳", FIRST, "::1"), Refused)
    log_in(logins, password=SECOND)


class Cut:
    """The store's own client, whose server can go away."""

    def __init__(self, client: object) -> None:
        self._client, self.down = client, False

    def __getattr__(self, name: str) -> object:
        if self.down:
            raise StoreUnavailable("the store is away")
        return getattr(self._client, name)


def test_while_the_store_is_away_those_who_are_in_stay_in(store: Store, people: AccountService, clock: Hands):
    add(people, "王芳")
    cut = Cut(store.client)
    logins = logins_of(Store(cut), clock)  # type: ignore[arg-type]
    token = log_in(logins)
    assert logins.actor(token) is not None
    cut.down = True
    clock.pass_(timedelta(minutes=10))
    assert logins.actor(token) is not None
    with pytest.raises(StoreUnavailable):
        logins.actor("made up")
    with pytest.raises(StoreUnavailable):
        logins.log_in("王芳", FIRST, "::1")
    clock.pass_(IDLE + timedelta(minutes=1))
    assert logins.actor(token) is None, "not for ever"


def test_whom_a_proxy_names_has_the_role_of_the_account(store: Store, people: AccountService, logins: Logins, clock: Hands):
    add(people, "王芳")
    assert logins.named("王芳", None, "10.0.0.7") == Person("王芳", "analyst")
    assert logins.named("lee", None, "10.0.0.7") is None
    assert logins.named("lee", "viewer", "10.0.0.7") == Person("lee", "viewer")
    assert logins.named("a, b", "viewer", "10.0.0.7") is None
    assert logins.named("王芳", None, "10.0.0.7") is not None
    assert whats(store).count("login by proxy") == 2, "noted once, not at every request"
    people.set_disabled("王芳", True, actor="root")
    clock.pass_(timedelta(seconds=TTL_S))
    assert logins.named("王芳", "viewer", "10.0.0.7") is None
