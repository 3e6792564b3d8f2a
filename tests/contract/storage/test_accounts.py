"""Accounts, sessions, failed logins and the audit log, over both clients."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from domain.accounts import Account, Failures, Session
from storage.store import AuditEntry, Store

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def empty(store: Store) -> None:
    for table in ("accounts", "sessions", "login_failures", "audit"):
        store.client.command(f"TRUNCATE TABLE {table}")


def test_an_account_is_read_unchanged_and_the_last_write_wins(store: Store):
    account = Account(name="王芳", role="viewer", hash="$argon2id$…'\\", must_change=True, created_at=NOON, password_at=NOON)
    store.accounts.put(account)
    assert store.accounts.get("王芳") == account
    later = msgspec.structs.replace(account, role="admin", disabled=True, must_change=False)
    store.accounts.put(later)
    assert store.accounts.all() == [later]
    assert store.accounts.get("nobody' OR 1=1") is None


def test_an_ended_session_stays_ended_after_later_writes(store: Store):
    session = Session(id="a" * 64, name="王芳", created_at=NOON, seen_at=NOON, address="2001:db8::1")
    store.sessions.put(session)
    seen = msgspec.structs.replace(session, seen_at=NOON + timedelta(minutes=5))
    store.sessions.put(seen)
    assert store.sessions.get(session.id) == seen
    assert store.sessions.live(NOON + timedelta(minutes=1)) == store.sessions.of("王芳") == [seen]
    assert store.sessions.live(NOON + timedelta(minutes=6)) == []
    store.sessions.end([session])
    store.sessions.put(seen)  # another process had it in hand
    assert store.sessions.get(session.id) is None
    assert store.sessions.live(NOON) == store.sessions.of("王芳") == []


def test_failed_logins_are_counted_by_subject_and_reset(store: Store):
    rows = [Failures(subject=name, count=count, last_at=NOON) for name, count in (("account:ab12", 3), ("address:10.0.0.7", 21))]
    store.login_failures.put(rows)
    assert store.login_failures.get(["account:ab12", "address:10.0.0.7", "other"]) == {row.subject: row for row in rows}
    store.login_failures.put([msgspec.structs.replace(rows[0], count=0)])
    assert list(store.login_failures.get([row.subject for row in rows])) == ["address:10.0.0.7"]


def test_the_audit_log_keeps_order_and_texts(store: Store):
    entries = [
        AuditEntry(
            at=NOON + timedelta(microseconds=n),
            actor="王芳",
            action=action,
            target="lee",
            before='{"a": "引号\\\'"}',
            after="\ud800",
            address="::1",
        )
        for n, action in enumerate(("login", "login failed", "account role"))
    ]
    store.audit.add(entries)
    read = [msgspec.structs.replace(entry, after="?") for entry in reversed(entries)]
    assert store.audit.latest() == read
    assert store.audit.latest(1) == read[:1]
    assert [entry.action for entry in store.audit.latest(action="login")] == ["login failed", "login"]
    assert store.audit.latest(since=NOON + timedelta(microseconds=2), actor="王芳", target="lee") == read[:1]
    assert store.audit.latest(actor="nobody") == []
