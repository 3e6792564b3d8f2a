"""The table of permissions, trusted proxies, redirects after the login, and settings of the login."""

from __future__ import annotations

from typing import Any

import dash
import pytest

from core.errors import SettingsError
from core.settings import Settings
from core.untrusted_text import local_path
from dashboard.app import create_app
from dashboard.i18n import text
from dashboard.web.authentication import TrustedProxies
from dashboard.web.permissions import (
    API_PREFIX,
    CALLBACKS,
    ROUTES,
    allowed,
    callback_key,
    required_role_of_callback,
    required_role_of_route,
)
from storage.store import Store
from tests.helpers.dashboard import NOW, EmptyClickHouse

PROXIES = TrustedProxies("127.0.0.1, 10.0.0.0/8, fd00::/8")


def made(settings: Settings) -> dash.Dash:
    return create_app(Store(EmptyClickHouse()), settings, now=lambda: NOW)


@pytest.fixture(scope="module")
def app() -> dash.Dash:
    return made(Settings())


def test_every_route_is_listed_and_every_listed_route_exists(app: dash.Dash):
    rules = [
        rule for rule in app.server.url_map.iter_rules() if not rule.rule.startswith(API_PREFIX)
    ]  # tests/contract/api/test_authentication.py
    existing = {(method, rule.rule) for rule in rules for method in set(rule.methods or ()) - {"HEAD", "OPTIONS"}}
    assert existing == set(ROUTES)


def test_every_callback_is_listed_and_every_listed_callback_exists(app: dash.Dash):
    existing = [callback_key(output) for output, known in app.callback_map.items() if "callback" in known]
    assert sorted(existing) == sorted(CALLBACKS)


def test_what_is_not_listed_is_forbidden():
    assert required_role_of_route("DELETE", "/nowhere") is required_role_of_callback("nowhere.children") is None
    assert not any(allowed(role, None) for role in (None, "viewer", "analyst", "admin"))
    assert required_role_of_route("HEAD", "/metrics") == required_role_of_route("OPTIONS", "/metrics") == "analyst"
    assert required_role_of_route("OPTIONS", "/logout") == "viewer"
    assert required_role_of_callback("..ov-problem.children...ov-grid.rowData..") == "viewer"
    assert callback_key("url.search@88c3") == "url.search"


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "1.2.3.4, 203.0.113.9", "203.0.113.9"),  # the first entry is what the client sent
        ("127.0.0.1", "1.2.3.4, 203.0.113.9, 10.1.1.1", "203.0.113.9"),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.9, nonsense", "127.0.0.1"),
        ("::ffff:127.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("203.0.113.5", "1.2.3.4", "203.0.113.5"),  # not a trusted proxy
        ("", "1.2.3.4", ""),
    ],
)
def test_the_client_address_is_taken_from_trusted_proxies_only(peer: str, forwarded: str, client: str):
    assert PROXIES.client_address({"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}) == client


def test_only_a_trusted_proxy_sets_scheme_and_user():
    headers = {"HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_USER": "王芳".encode().decode("latin-1"), "wsgi.url_scheme": "http"}
    trusted, untrusted = {**headers, "REMOTE_ADDR": "10.9.9.9"}, {**headers, "REMOTE_ADDR": "203.0.113.5"}
    assert (PROXIES.is_https(trusted), PROXIES.is_https(untrusted)) == (True, False)
    assert (PROXIES.user_name(trusted, "X-User"), PROXIES.user_name(untrusted, "X-User"), PROXIES.user_name(trusted, "")) == (
        "王芳",
        "",
        "",
    )
    assert PROXIES.user_name({**trusted, "HTTP_X_USER": "\xff"}, "X-User") == ""
    assert PROXIES.is_https({"wsgi.url_scheme": "https"})


def test_a_malformed_proxy_address_is_reported():
    with pytest.raises(SettingsError, match=r"dashboard_proxies: .*proxy\.example"):
        TrustedProxies("127.0.0.1, proxy.example")


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("/alert/7?lang=zh", "/alert/7?lang=zh"),
        ("/", "/"),
        ("", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/a\\b", "/"),
        ("/\t/evil.example", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/login?next=/", "/"),
        ("/logout", "/"),
    ],
)
def test_only_local_paths_are_redirected_to(address: str, path: str):
    assert local_path(address) == path


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"dashboard_login": "none", "dashboard_host": "0.0.0.0"}, "loopback"),
        ({"dashboard_login": "none", "dashboard_host": "desk.example"}, "loopback"),
        ({"dashboard_login": "header"}, "dashboard_user_header"),
        ({"dashboard_login": "header", "dashboard_user_header": "X-User"}, "dashboard_proxies"),
    ],
)
def test_insecure_login_settings_are_rejected(values: dict[str, Any], words: str):
    with pytest.raises(SettingsError, match=words):
        made(Settings(**values))


def test_without_a_login_everything_is_open_on_loopback():
    client = made(Settings(dashboard_login="none")).server.test_client()
    assert client.get("/").status_code == 200
    assert client.get("/metrics").status_code == 200
    assert client.get("/login").headers["Location"] == "/"
    assert client.post("/login").headers["Location"] == client.get("/password").headers["Location"] == "/"


def test_without_accounts_the_login_page_shows_how_to_create_one(app: dash.Dash):
    client = app.server.test_client()
    assert "tocsin users add NAME --role admin" in client.get("/login?lang=en").text
    assert text("login.nobody", "zh") in client.get("/login", headers={"Accept-Language": "zh-CN,zh;q=0.9"}).text


def test_an_unknown_package_file_is_404(app: dash.Dash):
    """The route is public: it must not raise."""
    assert app.server.test_client().get("/_dash-component-suites/dash/nothing.js").status_code == 404
