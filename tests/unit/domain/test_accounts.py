"""Account names, passwords, roles and login delays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from domain import passwords
from domain.accounts import (
    FORGET_AFTER,
    FREE,
    LONGEST_WAIT_S,
    ROLES,
    Failures,
    account_name,
    account_subject,
    address_subject,
    failed,
    may,
    password_fault,
    wait_s,
)

NOW = datetime(2026, 11, 22, 6, 5, tzinfo=UTC)
ACCOUNT, ADDRESS = account_subject("lee"), address_subject("10.0.0.7")


def test_a_role_includes_the_roles_below_it():
    assert [[may(role, least) for least in ROLES] for role in ROLES] == [[True, False, False], [True, True, False], [True, True, True]]


@pytest.mark.parametrize(
    ("typed", "kept"),
    [(" Lee ", "lee"), ("王芳", "王芳"), ("ＡＤＭＩＮ", "admin"), ("a.b-c_d@desk", "a.b-c_d@desk"), ("STRASSE", "strasse")],
)
def test_account_names_are_normalised(typed: str, kept: str):
    assert account_name(typed) == kept
    assert account_name(account_name(typed)) == kept


@pytest.mark.parametrize("name", ["", " ", "a b", "<b>", "a\nb", "a,b", "x" * 65, "'; DROP", "a\u202eb"])
def test_an_invalid_account_name_is_rejected(name: str):
    with pytest.raises(InvalidInput, match="account's name"):
        account_name(name)


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        ("k7mq-2xwd-9fhr", None),
        ("一二三四五六七八九十甲乙", None),
        ("short-one", "short"),
        ("x" * 257, "long"),
        ("abababababab", "simple"),
        ("i-am-LEE-today", "name"),
    ],
)
def test_a_weak_password_is_rejected_with_the_reason(password: str, fault: str | None):
    assert password_fault(password, "lee") == fault


def test_passwords_are_compared_in_normal_form():
    hashed = passwords.hash_of("Ｐａｓｓwörd-密码-é")
    assert passwords.verify(hashed, "Passwörd-密码-e\u0301")
    assert not passwords.verify(hashed, "passwörd-密码-é")
    assert hashed.startswith("$argon2id$")
    assert passwords.hash_of("Ｐａｓｓwörd-密码-é") != hashed, "each hash has its own salt"


@pytest.mark.parametrize("odd", ["", "x" * 100_000, "\ud800", "\x00"])
def test_any_password_can_be_checked(odd: str):
    assert not passwords.verify(passwords.dummy_hash(), odd)
    assert not passwords.verify("no hash", odd)


def test_one_time_passwords_are_valid_and_differ():
    made = {passwords.one_time() for _ in range(50)}
    assert len(made) == 50
    assert all(password_fault(password, "admin") is None for password in made)


def row(subject: str, failures: int) -> Failures:
    found: Failures | None = None
    for _ in range(failures):
        found = failed(found, subject, NOW)
    assert found is not None
    return found


def test_delays_grow_with_failed_logins_and_end():
    free = FREE["account"]
    assert wait_s([row(ACCOUNT, free - 1)], NOW) == 0
    waits = [wait_s([row(ACCOUNT, free + n)], NOW) for n in range(20)]
    assert waits[:3] == [30, 60, 120]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_WAIT_S
    assert wait_s([row(ACCOUNT, free)], NOW + timedelta(seconds=30)) == 0
    assert wait_s([row(ADDRESS, free)], NOW) == 0, "an office shares its address"
    assert wait_s([row(ACCOUNT, free), row(ADDRESS, FREE["address"] + 2)], NOW) == 120
    assert wait_s([], NOW) == 0


def test_failed_logins_expire_after_a_day():
    assert failed(row(ACCOUNT, 9), ACCOUNT, NOW + FORGET_AFTER).count == 1
    assert failed(row(ACCOUNT, 9), ACCOUNT, NOW + FORGET_AFTER - timedelta(seconds=1)).count == 10


@given(st.text())
def test_the_key_of_failed_logins_does_not_reveal_the_name(name: str):
    assert len(account_subject(name)) == len("account:") + 4


def test_ipv6_addresses_of_one_network_count_together():
    assert address_subject("2001:db8:1:2::7") == address_subject("2001:db8:1:2:ffff::1") == "address:2001:db8:1:2::/64"
    assert address_subject("::ffff:10.0.0.7") == address_subject("10.0.0.7") == "address:10.0.0.7"
    assert address_subject("nonsense") == "address:unknown"
    assert account_subject("Lee ") == account_subject("lee") != account_subject("王芳")
