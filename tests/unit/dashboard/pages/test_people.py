"""The page of people over a real store: accounts, tokens and the audit log, and rejected actions."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dash
import pytest

from actions.account_service import AccountService
from core.cache import Cache
from core.settings import Settings
from dashboard.app import create_app
from dashboard.pages import audit
from dashboard.reads import admin
from dashboard.shell import header, page
from dashboard.view import View
from dashboard.web.authentication import LOCAL_USER
from domain.accounts import Person
from domain.tokens import digest_of
from storage.store import AuditEntry, Store, open_store
from tests.helpers.dashboard import callback_body, words_of

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
PASSWORD = "k7mq-2xwd-9fhr"
TABLES = ("accounts", "sessions", "login_failures", "audit", "api_tokens", "api_token_ends", "api_token_uses")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = open_store("embedded", tmp_path_factory.mktemp("people"))
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def store(opened: Store) -> Store:
    """With one admin, root."""
    for table in TABLES:
        opened.client.command(f"TRUNCATE TABLE {table}")
    people = AccountService(opened, lambda: NOW)
    people.add(people.make("root", "admin", PASSWORD, must_change=False), actor="tests")
    return opened


@pytest.fixture
def app(store: Store) -> dash.Dash:
    seconds = itertools.count(1)
    return create_app(
        store, Settings(dashboard_login="none"), now=lambda: NOW + timedelta(seconds=next(seconds)), cache=Cache(first_read_wait_s=1)
    )


def press(app: dash.Dash, button: str, **values: Any) -> str:
    """The response to a click on a button, as JSON."""
    where = "tk-message" if button.startswith("tk-") else "pe-message"
    asked = callback_body(app, f"{where}.children...", **{"view_data": {"lang": "en"}, f"{button}_n_clicks".replace("-", "_"): 1, **values})
    asked["changedPropIds"] = [f"{button}.n_clicks"]
    answer = app.server.test_client().post("/_dash-update-component", json=asked)
    assert answer.status_code == 200
    return json.dumps(answer.json["response"], ensure_ascii=False)


def shown(app: dash.Dash, output: str, **values: Any) -> Any:
    answer = app.server.test_client().post("/_dash-update-component", json=callback_body(app, output, view_data={"lang": "en"}, **values))
    assert answer.status_code == 200
    return answer.json["response"]


def secret_in(shown_text: str) -> str:
    """The one-time secret in a response."""
    found = json.loads(shown_text)
    children = (found.get("pe-message") or found["tk-message"])["children"]["props"]["children"]
    return str(next(child["props"]["children"] for child in children if child["type"] == "Code"))


def test_an_account_is_made_changed_and_shut_out_and_the_log_has_it_all(app: dash.Dash, store: Store):
    first = press(app, "pe-add", pe_name_value="王芳", pe_new_role_value="analyst")
    password = secret_in(first)
    account = store.accounts.get("王芳")
    assert account is not None
    assert (account.role, account.must_change) == ("analyst", True)
    assert password not in json.dumps(shown(app, "pe-rows.children"), ensure_ascii=False), "it is shown once"
    assert "now has the role viewer" in press(app, "pe-role-set", pe_chosen_value="王芳", pe_role_value="viewer")
    assert secret_in(press(app, "pe-password", pe_chosen_value="王芳")) != password
    assert "sessions of 王芳 ended" in press(app, "pe-logout", pe_chosen_value="王芳")
    assert "can log in again" in press(app, "pe-unlock", pe_chosen_value="王芳")
    assert "is disabled" in press(app, "pe-disable", pe_chosen_value="王芳")
    assert "is enabled" in press(app, "pe-enable", pe_chosen_value="王芳")
    noted = [(each.actor, each.action, each.address) for each in store.audit.latest(20, target="王芳")]
    kinds = ["added", "role", "password", "disabled", "enabled", "unlocked"]
    assert sorted(noted) == sorted(
        [*(("local", f"account {kind}", "dashboard") for kind in kinds), ("local", "sessions ended", "dashboard")]
    )
    assert password not in json.dumps([[each.before, each.after] for each in store.audit.latest(20)])


@pytest.mark.parametrize(
    ("button", "values"), [("pe-disable", {}), ("pe-role-set", {"pe_role_value": "analyst"}), ("pe-role-set", {"pe_role_value": "viewer"})]
)
def test_the_last_admin_stays_one(app: dash.Dash, store: Store, button: str, values: Any):
    assert "is the last admin" in press(app, button, pe_chosen_value="root", **values)
    account = store.accounts.get("root")
    assert account is not None
    assert (account.role, account.disabled) == ("admin", False)
    people = AccountService(store, lambda: NOW)
    people.add(people.make("lee", "admin", PASSWORD), actor="tests")
    assert "last admin" not in press(app, button, pe_chosen_value="root", **values)


@pytest.mark.parametrize(
    ("button", "values", "complaint"),
    [
        ("pe-add", {"pe_name_value": "", "pe_new_role_value": "viewer"}, "letters and digits"),
        ("pe-add", {"pe_name_value": "a b<script>", "pe_new_role_value": "viewer"}, "letters and digits"),
        ("pe-add", {"pe_name_value": "ROOT", "pe_new_role_value": "viewer"}, "the account 'root' already exists"),
        ("pe-add", {"pe_name_value": "eve", "pe_new_role_value": "owner"}, "unknown role"),
        ("pe-disable", {}, "Select an account"),
        ("pe-disable", {"pe_chosen_value": "nobody"}, "there is no account"),
        ("pe-role-set", {"pe_chosen_value": ["root"], "pe_role_value": "viewer"}, "Select an account"),
        ("tk-make", {"tk_name_value": "", "tk_scopes_value": ["read"]}, "needs a name"),
        ("tk-make", {"tk_name_value": "desk", "tk_scopes_value": ["root"]}, "there is no scope"),
        ("tk-make", {"tk_name_value": "desk", "tk_scopes_value": None}, "needs a scope"),
        ("tk-revoke", {"tk_chosen_value": "none"}, "Select a token"),
    ],
)
def test_a_refused_action_shows_an_error_and_changes_nothing(app: dash.Dash, store: Store, button: str, values: Any, complaint: str):
    before = len(store.audit.latest(100))
    assert complaint in press(app, button, **values)
    assert len(store.audit.latest(100)) == before
    assert [each.name for each in store.accounts.all()] == ["root"]
    assert store.tokens.all() == []


def test_a_token_is_made_shown_once_and_revoked(app: dash.Dash, store: Store):
    secret = secret_in(press(app, "tk-make", tk_name_value="风控 <b>", tk_scopes_value=["alerts", "read"], tk_lasts_value="30d"))
    (token,) = store.tokens.all()
    assert token.digest == digest_of(secret)
    assert (token.name, token.scopes, token.author) == ("风控 <b>", ("read", "alerts"), "local")
    assert token.expires_at is not None
    assert timedelta(days=29) < token.expires_at - NOW < timedelta(days=31)
    rows = json.dumps(shown(app, "tk-rows.children"), ensure_ascii=False)
    assert token.id in rows
    assert secret not in rows
    assert "is revoked" in press(app, "tk-revoke", tk_chosen_value=token.id)
    (ended,) = store.tokens.all()
    assert ended.revoked_by == "local"
    rows = json.dumps(shown(app, "tk-rows.children"), ensure_ascii=False)
    assert "revoked" in rows
    assert token.id not in rows, "one that is revoked cannot be chosen"
    assert [each.action for each in store.audit.latest(2)] == ["token revoked", "token made"]
    press(app, "tk-make", tk_name_value="evermore", tk_scopes_value=["read"], tk_lasts_value="ever")
    assert store.tokens.all()[0].expires_at is None


def test_the_log_is_filtered_paged_and_exported_as_text(app: dash.Dash, store: Store):
    def entry(n: int, **more: str) -> AuditEntry:
        given = {"actor": "Ann", "action": "alert note", "target": f"a{n}", "after": "=HYPERLINK(1)", **more}
        return AuditEntry(at=NOW - timedelta(minutes=n), **given)

    store.audit.add([entry(n) for n in range(admin.SHOWN + 20)])
    store.audit.add([entry(1, actor="Bob", action="login"), entry(60 * 24 * 40, actor="Bob", action="old action")])
    first = shown(app, "au-rows.children")
    assert first["au-older"]["disabled"] is False
    oldest = first["au-oldest"]["data"]
    assert oldest == (NOW - timedelta(minutes=admin.SHOWN - 3)).isoformat()  # beside them: root was added, Bob logged in
    asked = callback_body(app, "au-rows.children", view_data={"lang": "en"}, au_oldest_data=oldest)
    asked["changedPropIds"] = ["au-older.n_clicks"]
    older = app.server.test_client().post("/_dash-update-component", json=asked).json["response"]
    assert older["au-older"]["disabled"] is True
    assert "a118" in json.dumps(older["au-rows"])
    assert '"a3"' not in json.dumps(older["au-rows"])
    assert {"value": "Bob", "label": "Bob"} in first["au-who"]["data"]
    of_bob = json.dumps(shown(app, "au-rows.children", au_who_value="Bob")["au-rows"])
    assert "logged in" in of_bob
    assert "old action" not in of_bob
    assert "old action" in json.dumps(shown(app, "au-rows.children", au_who_value="Bob", au_span_value="all")["au-rows"])
    link = shown(app, "au-rows.children", au_what_value="alert")["au-export"]["href"]
    answer = app.server.test_client().get(link)
    rows = list(csv.reader(io.StringIO(answer.data.decode("utf-8-sig"))))
    assert rows[0] == ["Time (UTC)", "User", "Address", "Action", "Target", "Before", "After"]
    assert len(rows) == admin.SHOWN + 21
    assert rows[1] == ["2026-11-22 12:00:00", "Ann", "", "alert note", "a0", "", "'=HYPERLINK(1)"]


@pytest.mark.parametrize("odd", [None, 7, ["x"], {"a": 1}, "", "\x00", "9999999999", "0001-01-01T00:00:00+00:00", "2026-11-22"])
def test_odd_questions_are_answered(app: dash.Dash, odd: Any):
    assert shown(app, "au-rows.children", au_who_value=odd, au_what_value=odd, au_span_value=odd, au_oldest_data=odd)
    asked = admin.asked(odd, odd, odd, odd)
    assert (asked.span, asked.until) == (admin.DEFAULT_SPAN, None)


def test_what_was_written_is_data_and_long_text_is_folded():
    entry = AuditEntry(at=NOW, actor="<script>", action="rules changed", before="", after="x" * 500)
    for language, words in (("en", "changed the rules"), ("zh", "更改规则")):
        shown_text = words_of(audit.table([entry], View(language=language)))  # type: ignore[arg-type]
        assert words in shown_text
        assert "Details" in shown_text
        assert "dangerously" not in shown_text
    assert audit.kind_words("some new thing", View()) == "some new thing"


def test_only_admins_are_led_to_the_page():
    for person, seen in ((LOCAL_USER, True), (Person("a", "admin"), True), (Person("b", "analyst"), False), (None, False)):
        led = "/people?" in words_of(header(View(), "UTC", "Tocsin", "/", person))
        drawn = "pe-rows" in words_of(page("/people", View(), person))
        assert led is drawn is seen


def test_a_lost_store_shows_an_error(app: dash.Dash, store: Store):
    for table in ("accounts", "audit"):
        store.client.command(f"RENAME TABLE {table} TO {table}_gone")
    try:
        assert "does not respond" in json.dumps(shown(app, "pe-rows.children")["pe-problem"])
        assert "does not respond" in json.dumps(shown(app, "au-rows.children")["au-rows"])
        assert "does not respond" in press(app, "pe-disable", pe_chosen_value="root")
    finally:
        for table in ("accounts", "audit"):
            store.client.command(f"RENAME TABLE {table}_gone TO {table}")
