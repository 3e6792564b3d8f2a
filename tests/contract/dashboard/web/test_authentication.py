"""Authentication and permissions over a real store: every route and callback with every role, and the login forms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dash
import pytest

from actions.account_service import AccountService
from core.records import Language
from core.settings import Settings
from dashboard.app import create_app
from dashboard.i18n import text
from dashboard.web.permissions import CALLBACKS, PAGES, ROUTES, allowed, callback_key
from dashboard.web.server import CHANGE_FEED
from domain.accounts import FREE, ROLES, Failures, Role, account_subject
from storage.store import Store
from tests.helpers.dashboard import CALLBACK_PATH, callback_body

PASSWORD, NEXT = "k7mq-2xwd-9fhr", "一二三四五六七八九十甲乙"
HTML_JS = "html/dash_html_components.min.js"
PATHS = {
    "/<path:path>": "/alert/7",
    "/assets/<path:filename>": "/assets/tocsin.css",
    "/_dash-component-suites/<string:package_name>/<path:fingerprinted_path>": f"/_dash-component-suites/dash/{HTML_JS}",
}
REJECTED = (401, 403)
LANGUAGES: tuple[Language, ...] = ("en", "zh")
FETCH, NAVIGATION = {"Accept": "application/json"}, {"Accept": "text/html"}


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def store(embedded_store: Store) -> Store:
    """A store with an account of each role, one that must change its password, and a disabled one."""
    people = AccountService(embedded_store, now)
    for role in ROLES:
        people.add(people.make(f"the-{role}", role, PASSWORD, must_change=False), actor="root")
    people.add(people.make("newcomer", "admin", PASSWORD), actor="root")
    people.add(people.make("former", "admin", PASSWORD, must_change=False), actor="root")
    people.set_disabled("former", True, actor="root")
    return embedded_store


@pytest.fixture(scope="module")
def app(store: Store) -> Iterator[dash.Dash]:
    made = create_app(store)
    yield made
    made.server.extensions[CHANGE_FEED].close()


@pytest.fixture
def client(app: dash.Dash) -> Any:
    return app.server.test_client()


def log_in(client: Any, name: str, password: str = PASSWORD, **fields: str) -> Any:
    return client.post("/login", data={"name": name, "password": password, **fields})


@pytest.fixture(scope="module")
def clients(app: dash.Dash, store: Store) -> dict[Role | None, Any]:
    """A browser per role; None without a login."""
    made: dict[Role | None, Any] = {None: app.server.test_client()}
    for role in ROLES:
        made[role] = app.server.test_client()
        assert log_in(made[role], f"the-{role}").status_code == 303
    return made


def request_route(client: Any, app: dash.Dash, method: str, rule: str, headers: dict[str, str]) -> Any:
    path = PATHS.get(rule, rule)
    if path == CALLBACK_PATH:
        return client.post(path, json=callback_body(app, "in-problem.children"))
    return client.open(path, method=method, headers=headers, data={} if method == "POST" else None)


@pytest.mark.parametrize("role", [None, *ROLES])
@pytest.mark.parametrize(("method", "rule"), sorted(ROUTES))
def test_each_route_is_allowed_for_its_roles_only(
    app: dash.Dash, clients: dict[Role | None, Any], method: str, rule: str, role: Role | None
):
    if rule == "/logout" and role is not None:
        client = app.server.test_client()
        log_in(client, f"the-{role}")
    else:
        client = clients[role]
    answer = request_route(client, app, method, rule, FETCH)
    if allowed(role, ROUTES[method, rule]):
        assert answer.status_code not in REJECTED or (method, rule) == ("POST", "/login")
        assert answer.status_code < 500
    else:
        assert answer.status_code == (401 if role is None else 403)
    answer.close()


@pytest.mark.parametrize("role", [None, *ROLES])
@pytest.mark.parametrize("name", sorted(CALLBACKS))
def test_each_callback_is_allowed_for_its_roles_only(app: dash.Dash, clients: dict[Role | None, Any], name: str, role: Role | None):
    posted = callback_body(app, name)
    assert callback_key(posted["output"]) == name
    answer = clients[role].post(CALLBACK_PATH, json=posted)
    if allowed(role, CALLBACKS[name]):
        assert answer.status_code in (200, 204)
    else:
        assert answer.status_code == (401 if role is None else 403)
        assert answer.text == ("log in first, at /login\n" if role is None else f"this needs the role {CALLBACKS[name]}\n")


def test_a_callback_that_is_not_listed_is_forbidden_to_everybody(
    app: dash.Dash, clients: dict[Role | None, Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delitem(CALLBACKS, "in-problem.children")
    assert clients["admin"].post(CALLBACK_PATH, json=callback_body(app, "in-problem.children")).status_code == 403


@pytest.mark.parametrize("rule", PAGES)
def test_a_page_redirects_to_the_login_and_back(client: Any, rule: str):
    path = PATHS.get(rule, rule)
    answer = client.get(path + "?lang=zh&range=7d", headers=NAVIGATION)
    assert answer.status_code == 303
    form = client.get(answer.headers["Location"])
    assert 'lang="zh-CN"' in form.text
    back = re.search(r'name="next" value="([^"]*)"', form.text)
    assert back is not None
    redirected = log_in(client, "the-viewer", next=back[1].replace("&amp;", "&"))
    assert redirected.headers["Location"] == path + "?lang=zh&range=7d"
    assert client.get("/login").headers["Location"] == "/", "after a login the form redirects"


def test_without_a_login_only_health_checks_are_answered(client: Any):
    texts = [
        client.get(path, headers=FETCH).text for path in ("/", "/_dash-layout", "/_dash-dependencies", "/export/articles.csv", "/metrics")
    ]
    assert set(texts) == {"log in first, at /login\n"}
    assert client.get("/healthz").text == "ok\n"
    assert client.get("/readyz").text == "ready\n"
    assert client.get("/static/anything").status_code == 303, "no static folder of the working directory is served"


@pytest.mark.parametrize(("scheme", "name", "secure"), [("http", "tocsin-", False), ("https", "__Host-tocsin-", True)])
def test_the_session_cookie_has_its_security_attributes(client: Any, scheme: str, name: str, secure: bool):
    answer = client.post("/login", data={"name": "the-viewer", "password": PASSWORD}, base_url=f"{scheme}://localhost")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(name)
    assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= {part.strip() for part in cookie.split(";")}
    assert ("Secure" in cookie) == secure == ("Strict-Transport-Security" in answer.headers)
    assert "Domain" not in cookie


def test_a_login_creates_a_session_and_ends_the_one_it_replaces(client: Any, store: Store):
    log_in(client, "the-viewer")
    first = client.get_cookie(next(iter(client._cookies.values())).key)
    before = {each.id for each in store.sessions.of("the-viewer")}
    log_in(client, "the-viewer")
    second = client.get_cookie(first.key)
    assert first.value != second.value
    assert len({each.id for each in store.sessions.of("the-viewer")} - before) == 1
    assert len(before - {each.id for each in store.sessions.of("the-viewer")}) == 1


def test_a_logout_ends_the_session_and_deletes_the_cookie(client: Any, app: dash.Dash):
    log_in(client, "the-viewer")
    (cookie,) = client._cookies.values()
    other_browser = app.server.test_client()
    other_browser.set_cookie(cookie.key, cookie.value)
    assert other_browser.get("/", headers=NAVIGATION).status_code == 200
    out = client.post("/logout?lang=zh")
    assert (out.status_code, out.headers["Location"]) == (303, "/login?lang=zh")
    assert not client._cookies
    assert other_browser.get("/", headers=NAVIGATION).status_code == 303


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("name", ["the-viewer", "former", "<script>alert(1)</script>"])
def test_a_failed_login_does_not_disclose_the_reason(client: Any, store: Store, name: str, lang: Language):
    answer = log_in(client, name, PASSWORD if name == "former" else "wrong", lang=lang)
    assert answer.status_code == 401
    assert text("login.wrong", lang) in answer.text
    assert "<script>alert" not in answer.text
    assert "Set-Cookie" not in answer.headers
    store.login_failures.put(
        [Failures(subject=subject, count=0, last_at=now()) for subject in (account_subject(name), "address:127.0.0.1")]
    )


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_locked_account_shows_the_waiting_time(client: Any, store: Store, lang: Language):
    locked = Failures(subject=account_subject("the-viewer"), count=FREE["account"] + 2, last_at=now())
    store.login_failures.put([locked])
    answer = log_in(client, "the-viewer", lang=lang)
    assert answer.status_code == 429
    assert 100 < int(answer.headers["Retry-After"]) <= 121
    assert text("login.wait_minutes", lang, n=2) in answer.text or text("login.wait_minutes", lang, n=3) in answer.text
    AccountService(store, now).unlock("the-viewer", actor="root")
    assert log_in(client, "the-viewer").status_code == 303


def test_a_password_set_by_an_admin_must_be_changed_first(client: Any, app: dash.Dash, store: Store):
    assert log_in(client, "newcomer").headers["Location"] == "/"
    assert client.get("/alert/7", headers=NAVIGATION).headers["Location"] == "/password"
    assert client.post(CALLBACK_PATH, json=callback_body(app, "in-problem.children")).status_code == 401
    assert client.get("/metrics", headers=FETCH).status_code == 401
    page = client.get("/password?lang=zh").text
    assert text("password.must", "zh") in page

    def change(old: str, new: str, again: str = "") -> Any:
        return client.post("/password", data={"old": old, "new": new, "again": again or new, "lang": "en"})

    for old, new, again, expected, message in (
        ("wrong", NEXT, "", 401, text("login.wrong", "en")),
        (PASSWORD, NEXT, "another", 400, text("password.different", "en")),
        (PASSWORD, "short", "", 400, text("password.short", "en", n=12)),
        (PASSWORD, PASSWORD, "", 400, text("password.same", "en")),
        (PASSWORD, "I-am-Newcomer", "", 400, text("password.name", "en")),
    ):
        answer = change(old, new, again)
        assert (answer.status_code, message in answer.text) == (expected, True)
    assert change(PASSWORD, NEXT).headers["Location"] == "/"
    assert client.get("/", headers=NAVIGATION).status_code == 200
    actions = [entry.action for entry in store.audit.latest(target="newcomer")]
    assert actions == ["account password", "login failed", "login", "account added"]
    assert PASSWORD not in repr(store.audit.latest())


@pytest.mark.parametrize("path", ["/login", "/logout", "/password"])
def test_forms_of_other_sites_are_rejected(app: dash.Dash, clients: dict[Role | None, Any], path: str):
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://localhost:3000"},
    ):
        assert clients["admin"].post(path, headers=headers).status_code == 403
    assert clients["admin"].get("/", headers=NAVIGATION).status_code == 200, "nobody was logged out"


def test_login_pages_have_security_headers_and_no_inline_scripts(client: Any):
    answer = client.get("/login")
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert re.findall(r"<script(?! src=)", answer.text) == []
    assert re.findall(r"\son\w+=|style=", answer.text) == []
    for field in re.findall(r"<input id=\"(\w+)\"", answer.text):
        assert f'<label for="{field}">' in answer.text


def test_the_header_shows_who_is_logged_in(app: dash.Dash, clients: dict[Role | None, Any]):
    drawn = clients["viewer"].post(
        CALLBACK_PATH, json=callback_body(app, "header.children", route_data={"path": "/"}, view_data={"lang": "zh"})
    )
    assert all(
        part in drawn.json["response"]["header"]["children"].__repr__()
        for part in ("the-viewer", text("logout", "zh"), text("role.viewer", "zh"))
    )


def test_a_trusted_proxy_names_the_user(store: Store):
    settings = Settings(dashboard_login="header", dashboard_user_header="X-Remote-User", dashboard_proxies="127.0.0.1")
    client: Any = create_app(store, settings).server.test_client()

    def status(path: str = "/metrics", peer: str = "127.0.0.1", **headers: str) -> int:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return int(client.get(path, headers=sent, environ_base={"REMOTE_ADDR": peer}).status_code)

    assert status(X_Remote_User="the-analyst") == 200
    assert status(X_Remote_User="the-viewer") == 403
    assert status("/", X_Remote_User="the-viewer") == 200
    assert status("/", X_Remote_User="former") == status("/", X_Remote_User="stranger") == status("/") == 403
    assert status(peer="203.0.113.5", X_Remote_User="the-admin") == 403, "headers of other clients are ignored"
    assert log_in(client, "the-admin").headers["Location"] == "/", "the login form is disabled"
    assert "Set-Cookie" not in log_in(client, "the-admin").headers


def test_the_cookie_lasts_as_long_as_the_setting(store: Store):
    client: Any = create_app(store, Settings(session_max_h=1)).server.test_client()
    assert "Max-Age=3600" in log_in(client, "the-viewer").headers["Set-Cookie"]
