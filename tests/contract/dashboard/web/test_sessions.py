"""Accounts, logins and sessions over a real store, with a manual clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from actions.account_service import AccountService
from core.cache import Cache
from core.errors import Conflict, InvalidInput, NotFound, StoreUnavailable
from dashboard.web.sessions import TTL_S, LoginRejected, SessionService
from domain.accounts import FREE, Account, Failures, Person, account_subject, address_subject
from storage.store import Store

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
FIRST, SECOND, THIRD = "k7mq-2xwd-9fhr", "一二三四五六七八九十甲乙", "t4nz-ppqd-7a2c"
IDLE, MAX_AGE = timedelta(hours=12), timedelta(days=7)


class ManualClocks:
    """Wall clock and monotonic clock, set by a test."""

    def __init__(self) -> None:
        self.now, self.time = NOON, 0.0

    def __call__(self) -> datetime:
        return self.now

    def advance(self, span: timedelta) -> None:
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
def clock() -> ManualClocks:
    return ManualClocks()


@pytest.fixture
def people(store: Store, clock: ManualClocks) -> AccountService:
    return AccountService(store, clock)


def session_service(store: Store, clock: ManualClocks) -> SessionService:
    return SessionService(store, clock, idle=IDLE, max_age=MAX_AGE, cache=Cache(lambda: clock.time))


@pytest.fixture
def service(store: Store, clock: ManualClocks) -> SessionService:
    return session_service(store, clock)


def add(people: AccountService, name: str, password: str = FIRST, *, must_change: bool = False) -> Account:
    account = people.make(name, "analyst", password, must_change=must_change)
    people.add(account, actor="root")
    return account


def log_in(service: SessionService, name: str = "王芳", password: str = FIRST, address: str = "203.0.113.9") -> str:
    token = service.log_in(name, password, address)
    assert isinstance(token, str), token
    return token


def fail(store: Store, subject: str, times: int) -> None:
    """Record so many failed logins without the 50 ms that each takes."""
    store.login_failures.put([Failures(subject=subject, count=times, last_at=NOON)])


def actions(store: Store) -> list[str]:
    return [entry.action for entry in reversed(store.audit.latest())]


def test_each_change_of_an_account_is_audited_without_secrets(store: Store, people: AccountService):
    account = add(people, "Lee", must_change=True)
    people.add(people.make("root", "admin", FIRST), actor="root")
    people.set_role("LEE", "viewer", actor="root")
    people.set_password("lee", SECOND, actor="root", must_change=True)
    people.set_disabled("lee", True, actor="root")
    people.set_disabled("lee", False, actor="root")
    people.unlock("lee", actor="root")
    people.log_out("lee", actor="root")
    entries = store.audit.latest(target="lee")
    assert [entry.action for entry in reversed(entries)] == [
        "account added",
        "account role",
        "account password",
        "account disabled",
        "account enabled",
        "account unlocked",
        "sessions ended",
    ]
    role = next(entry for entry in entries if entry.action == "account role")
    assert (role.actor, '"analyst"' in role.before, '"viewer"' in role.after) == ("root", True, True)
    everything = repr(entries)
    assert not any(secret in everything for secret in (FIRST, SECOND, account.hash, "argon2"))


def test_taken_names_unknown_names_and_the_last_admin_are_rejected(people: AccountService):
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


def test_the_first_account_is_created_once_and_replaced_until_it_is_used(store: Store, people: AccountService, service: SessionService):
    first, again = (people.make("admin", "admin", password) for password in (FIRST, SECOND))
    assert people.add_first(first)
    assert people.add_first(first), "a restarted worker has the same one"
    assert people.add_first(again), "the first password was never used"
    assert not people.add_first(msgspec.structs.replace(again, name="other"))
    assert isinstance(service.log_in("admin", FIRST, "::1"), LoginRejected)
    person = service.person(log_in(service, "admin", SECOND))
    assert person is not None
    assert person.must_change
    assert isinstance(service.change_password(person, SECOND, THIRD, "::1"), str)
    assert not people.add_first(first)
    assert len(store.accounts.all()) == 1


def test_a_login_creates_a_session_that_lasts_until_logout(store: Store, people: AccountService, service: SessionService):
    add(people, "王芳")
    assert service.person("") is service.person("made up") is None
    token = log_in(service, " 王芳 ")
    assert service.person(token) == Person("王芳", "analyst", session=store.sessions.of("王芳")[0].id)
    assert token not in repr(store.client.query("SELECT * FROM sessions")), "the store cannot be used to log in"
    other = log_in(service)
    person = service.person(token)
    assert person is not None
    service.log_out(person, "203.0.113.9")
    assert service.person(token) is None
    assert service.person(other) is not None
    assert actions(store) == ["account added", "login", "login", "logout"]


def test_a_session_ends_when_it_is_idle_and_when_it_is_old(
    store: Store, people: AccountService, service: SessionService, clock: ManualClocks
):
    add(people, "王芳")
    token = log_in(service)
    clock.advance(IDLE - timedelta(minutes=1))
    assert service.person(token) is not None
    clock.advance(IDLE - timedelta(minutes=1))
    assert service.person(token) is not None, "activity keeps the session"
    assert session_service(store, clock).person(token) is not None, "in every process"
    clock.advance(IDLE + timedelta(seconds=1))
    assert service.person(token) is None
    token = log_in(service)
    for _ in range(20):
        clock.advance(timedelta(hours=8))
        assert service.person(token) is not None
    clock.advance(timedelta(hours=8, seconds=1))
    assert service.person(token) is None


def test_changes_by_another_process_take_effect(people: AccountService, service: SessionService, store: Store, clock: ManualClocks):
    add(people, "王芳")
    token, beside = log_in(service), session_service(store, clock)
    assert beside.person(token) is not None
    people.set_role("王芳", "viewer", actor="root")
    clock.advance(timedelta(seconds=TTL_S))
    person = beside.person(token)
    assert person is not None
    assert person.role == "viewer"
    people.set_disabled("王芳", True, actor="root")
    clock.advance(timedelta(seconds=TTL_S))
    assert beside.person(token) is None
    people.set_disabled("王芳", False, actor="root")
    clock.advance(timedelta(seconds=TTL_S))
    assert beside.person(token) is None, "its sessions ended"


def test_disabled_accounts_unknown_names_and_wrong_passwords_look_the_same(store: Store, people: AccountService, service: SessionService):
    add(people, "王芳")
    add(people, "lee")
    people.set_disabled("lee", True, actor="root")
    tries = (("王芳", "wrong"), ("lee", FIRST), ("nobody", FIRST), ("no name at all!", FIRST), ("my-p4ssword!", ""), ("", ""))
    assert {service.log_in(name, password, "203.0.113.9") for name, password in tries} == {LoginRejected()}
    refused = [entry for entry in store.audit.latest() if entry.action == "login failed"]
    assert sorted(entry.target for entry in refused) == ["", "", "", "", "lee", "王芳"]
    assert {entry.address for entry in refused} == {"203.0.113.9"}
    kept = repr(store.audit.latest()) + repr(store.client.query("SELECT * FROM login_failures"))
    assert "my-p4ssword!" not in kept, "a password typed as the name is not stored"


@pytest.mark.parametrize("name", ["王芳", "nobody"])
def test_repeated_failures_lock_for_increasing_times(
    store: Store, people: AccountService, service: SessionService, clock: ManualClocks, name: str
):
    """The same for an existing and an unknown account."""
    add(people, "王芳")
    fail(store, account_subject(name), FREE["account"] - 2)
    assert [service.log_in(name, "wrong", f"203.0.113.{n}") for n in range(3)] == [
        LoginRejected(),
        LoginRejected(wait_s=30),
        LoginRejected(wait_s=30),
    ]
    assert session_service(store, clock).log_in(name, FIRST, "198.51.100.1") == LoginRejected(wait_s=30), (
        "with the right password too, in any process"
    )
    clock.advance(timedelta(seconds=30))
    assert service.log_in(name, "wrong", "203.0.113.1") == LoginRejected(wait_s=60)
    assert actions(store).count("login locked") == 2


def test_an_unlocked_account_can_log_in_at_once(store: Store, people: AccountService, service: SessionService):
    add(people, "王芳")
    fail(store, account_subject("王芳"), FREE["account"])
    assert isinstance(service.log_in("王芳", FIRST, "203.0.113.9"), LoginRejected)
    people.unlock("王芳", actor="root")
    log_in(service)
    assert store.login_failures.get([account_subject("王芳")]) == {}


def test_an_address_that_tries_many_names_is_locked(store: Store, people: AccountService, service: SessionService):
    add(people, "王芳")
    fail(store, address_subject("203.0.113.9"), FREE["address"] - 2)
    assert [service.log_in(f"name-{n}", "wrong", "203.0.113.9") for n in range(2)] == [LoginRejected(), LoginRejected(wait_s=30)]
    assert service.log_in("王芳", FIRST, "203.0.113.9") == LoginRejected(wait_s=30)
    log_in(service, address="203.0.113.10")


def test_a_password_change_ends_all_other_sessions(store: Store, people: AccountService, service: SessionService):
    add(people, "王芳", must_change=True)
    other, token = log_in(service), log_in(service)
    person = service.person(token)
    assert person is not None
    assert service.change_password(person, FIRST, FIRST, "::1") == "same"
    assert service.change_password(person, FIRST, "short", "::1") == "short"
    assert service.change_password(person, "wrong", SECOND, "::1") == LoginRejected()
    fresh = service.change_password(person, FIRST, SECOND, "::1")
    assert isinstance(fresh, str)
    assert service.person(other) is service.person(token) is None
    person = service.person(fresh)
    assert person is not None
    assert not person.must_change
    assert isinstance(service.log_in("王芳", FIRST, "::1"), LoginRejected)
    log_in(service, password=SECOND)


class InterruptibleClient:
    """A ClickHouse client that a test can disconnect."""

    def __init__(self, client: object) -> None:
        self._client, self.down = client, False

    def __getattr__(self, name: str) -> object:
        if self.down:
            raise StoreUnavailable("the store is away")
        return getattr(self._client, name)


def test_sessions_stay_valid_during_an_outage_of_the_store(store: Store, people: AccountService, clock: ManualClocks):
    add(people, "王芳")
    client = InterruptibleClient(store.client)
    service = session_service(Store(client), clock)  # type: ignore[arg-type]
    token = log_in(service)
    assert service.person(token) is not None
    client.down = True
    clock.advance(timedelta(minutes=10))
    assert service.person(token) is not None
    with pytest.raises(StoreUnavailable):
        service.person("made up")
    with pytest.raises(StoreUnavailable):
        service.log_in("王芳", FIRST, "::1")
    clock.advance(IDLE + timedelta(minutes=1))
    assert service.person(token) is None, "but not forever"


def test_a_user_named_by_a_proxy_has_the_role_of_the_account(
    store: Store, people: AccountService, service: SessionService, clock: ManualClocks
):
    add(people, "王芳")
    assert service.person_of_proxy("王芳", None, "10.0.0.7") == Person("王芳", "analyst")
    assert service.person_of_proxy("lee", None, "10.0.0.7") is None
    assert service.person_of_proxy("lee", "viewer", "10.0.0.7") == Person("lee", "viewer")
    assert service.person_of_proxy("a, b", "viewer", "10.0.0.7") is None
    assert service.person_of_proxy("王芳", None, "10.0.0.7") is not None
    assert actions(store).count("login by proxy") == 2, "recorded once, not at every request"
    people.set_disabled("王芳", True, actor="root")
    clock.advance(timedelta(seconds=TTL_S))
    assert service.person_of_proxy("王芳", "viewer", "10.0.0.7") is None
