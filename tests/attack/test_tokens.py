"""API tokens: they end with the account they belong to, give nothing they do not have, and nobody acts under the name of another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from actions.account_service import AccountService
from actions.audited_actions import AuditedActions
from core.errors import Conflict
from domain.accounts import Account, Role
from domain.actor_names import name_key
from domain.tokens import Token, new_token, usable
from storage.store import Store
from tests.helpers.api import ApiHarness

AT = datetime(2026, 11, 2, 9, tzinfo=UTC)


@pytest.fixture
def people(store: Store) -> AccountService:
    for table in ("accounts", "api_tokens", "api_token_ends", "audit"):
        store.client.command(f"TRUNCATE TABLE {table}")
    service = AccountService(store, lambda: AT)
    for name, role in (("root", "admin"), ("王芳", "admin"), ("lee", "analyst")):
        service.add(account(name, role), actor="test")
    return service


def account(name: str, role: Any = "admin") -> Account:
    return Account(name=name, role=role, hash="", must_change=False, created_at=AT, password_at=AT)


def add_token(store: Store, name: str, *scopes: str, author: str = "王芳") -> Token:
    _, token = new_token(name, scopes or ("read",), author=author, now=AT)
    AuditedActions(store, lambda: AT, lambda: author).add_token(token)
    return token


def live(store: Store) -> set[str]:
    return {token.name for token in usable(store.tokens.all(), store.accounts.all(), AT)}


def test_tokens_of_a_disabled_account_stop_and_do_not_come_back(store: Store, people: AccountService):
    add_token(store, "夜班", "read", "admin")
    add_token(store, "desk", author="lee")
    people.set_disabled("王芳", True, actor="root")
    assert live(store) == {"desk"}
    people.set_disabled("王芳", False, actor="root")
    assert live(store) == {"desk"}
    assert [entry.before for entry in store.audit.latest(50, action="token revoked")] == ["夜班"]


def test_a_token_made_while_its_account_is_disabled_is_not_usable(store: Store, people: AccountService):
    people.set_disabled("王芳", True, actor="root")
    with pytest.raises(Conflict, match="is disabled"):
        add_token(store, "夜班")
    store.tokens.add([new_token("race", ["read"], author="王芳", now=AT)[1]])
    assert live(store) == set()


def test_tokens_are_handed_over_by_name_to_an_account_that_may_have_them(store: Store, people: AccountService):
    add_token(store, "夜班", "read", "admin")
    with pytest.raises(Conflict, match="needs the role admin"):
        people.set_disabled("王芳", True, actor="root", hand_over_to="lee")
    assert not people.get("王芳").disabled
    people.set_disabled("王芳", True, actor="root", hand_over_to="root")
    assert live(store) == {"夜班"}
    assert store.tokens.all()[0].author == "root"


def test_the_last_admin_keeps_its_tokens_when_it_cannot_be_disabled(store: Store, people: AccountService):
    people.set_disabled("root", True, actor="王芳")
    add_token(store, "reader", "read")
    with pytest.raises(Conflict, match="last admin"):
        people.set_disabled("王芳", True, actor="王芳", hand_over_to="lee")
    assert store.tokens.all()[0].author == "王芳"


def test_a_demoted_account_loses_the_tokens_that_outrank_it(store: Store, people: AccountService):
    add_token(store, "ops", "admin")
    add_token(store, "reader", "read")
    people.set_role("王芳", "viewer", actor="root")
    assert live(store) == {"reader"}


def minted(harness: ApiHarness, secret: str, name: str, *scopes: str, expires_at: datetime | None = None) -> Any:
    body = {"name": name, "scopes": list(scopes), "expires_at": expires_at.isoformat() if expires_at else None}
    return harness.request("POST", "/tokens", body, secret=secret)


def test_a_created_token_has_no_wider_scopes_and_no_later_expiry_than_its_parent(store: Store):
    harness = ApiHarness(store)
    try:
        harness.now = AT
        parent = harness.create_token("admin", "read", name="parent", days=30)
        assert minted(harness, parent, "above", "ingest").status_code == 422
        assert minted(harness, parent, "later", "read", expires_at=AT + timedelta(days=31)).status_code == 422
        child = minted(harness, parent, "child", "admin")
        assert child.status_code == 201
        assert child.json["expires_at"] == "2026-12-02T09:00:00Z"
        harness.forget_tokens()
        grandchild = minted(harness, child.json["token"], "grandchild", "admin")
        assert grandchild.status_code == 201
        assert grandchild.json["author"] == "Li"
        AuditedActions(store, lambda: AT, lambda: "root").revoke_token(next(t.id for t in store.tokens.all() if t.name == "parent"))
        harness.forget_tokens()
        for secret in (parent, child.json["token"], grandchild.json["token"]):
            assert harness.request("GET", "/tokens", secret=secret).status_code == 401
        made = [entry for entry in store.audit.latest(50, action="token made") if "child" in entry.after]
        assert {entry.actor for entry in made} == {"token:parent", "token:child"}
    finally:
        harness.close()


IMITATIONS = ["王芳", "王\u200b芳", "王 芳", "ｌｅｅ", "LEE", "lее", "1ee", "l\u00adee", "ᴸee", "ＬＥＥ\ufe0f"]


@pytest.mark.parametrize("name", IMITATIONS, ids=ascii)
def test_a_token_cannot_take_a_name_like_that_of_an_account(name: str, store: Store, people: AccountService):
    _, token = new_token("x", ["read"], author="root", now=AT)
    with pytest.raises(Conflict, match="choose another name"):
        AuditedActions(store, lambda: AT, lambda: "root").add_token(Token(**{**_fields(token), "name": name}))


@pytest.mark.parametrize("name", ["tocsin", "ｔocsin", "tоcsin", "local", "scheduler"], ids=ascii)
def test_nobody_can_take_the_name_of_the_program(name: str, store: Store, people: AccountService):
    with pytest.raises(Conflict, match="part of the program"):
        people.add(account(name), actor="root")


@pytest.mark.parametrize(("name", "role"), [("夜班", "viewer"), ("riskdesk", "admin"), ("гiskdesk", "admin")], ids=ascii)
def test_an_account_cannot_take_a_name_like_that_of_a_token(name: str, role: Role, store: Store, people: AccountService):
    add_token(store, "夜班")
    add_token(store, "Risk Desk")
    with pytest.raises(Conflict, match="an existing token"):
        people.add(account(name, role), actor="root")


def test_different_names_stay_different():
    names = ["王芳", "王方", "lee", "li", "夜班", "日班", "risk desk", "risk team", "ann", "anna", "desk-2", "desk-3"]
    assert len({name_key(name) for name in names}) == len(names)


def _fields(token: Token) -> dict[str, Any]:
    return {name: getattr(token, name) for name in token.__struct_fields__}
