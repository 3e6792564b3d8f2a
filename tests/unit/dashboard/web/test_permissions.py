"""Proxies, paths and settings of the doors: what is believed of a request, and where one is sent."""

from __future__ import annotations

from typing import Any

import dash
import pytest

from core.errors import SettingsError
from core.settings import Settings
from dashboard.app import create_app
from dashboard.web.authentication import local_path
from dashboard.web.permissions import API_PREFIX, CALLBACKS, ROUTES, allowed, callback_key, required_role_of_callback, required_role_of_route
from dashboard.web.proxies import Proxies
from storage.store import Store
from tests.unit.dashboard.reads.test_queries import NOW, EmptyClickHouse

OURS = Proxies("127.0.0.1, 10.0.0.0/8, fd00::/8")


def made(settings: Settings) -> dash.Dash:
    return create_app(Store(EmptyClickHouse()), settings, now=lambda: NOW)


@pytest.fixture(scope="module")
def app() -> dash.Dash:
    return made(Settings())


def test_every_address_has_a_role_and_no_line_is_without_its_address(app: dash.Dash):
    rules = [rule for rule in app.server.url_map.iter_rules() if not rule.rule.startswith(API_PREFIX)]  # tests/unit/test_api_doors.py
    there = {(method, rule.rule) for rule in rules for method in set(rule.methods or ()) - {"HEAD", "OPTIONS"}}
    assert there == set(ROUTES)


def test_every_callback_has_a_role_and_no_line_is_without_its_callback(app: dash.Dash):
    there = [callback_key(output) for output, known in app.callback_map.items() if "callback" in known]
    assert sorted(there) == sorted(CALLBACKS)


def test_what_is_not_in_the_table_is_nobodys():
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
        ("127.0.0.1", "1.2.3.4, 203.0.113.9", "203.0.113.9"),  # what the client itself wrote stands first
        ("127.0.0.1", "1.2.3.4, 203.0.113.9, 10.1.1.1", "203.0.113.9"),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.9, nonsense", "127.0.0.1"),
        ("::ffff:127.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("203.0.113.5", "1.2.3.4", "203.0.113.5"),  # no proxy of ours: not believed
        ("", "1.2.3.4", ""),
    ],
)
def test_where_a_request_comes_from(peer: str, forwarded: str, client: str):
    assert OURS.client({"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}) == client


def test_only_our_proxy_says_that_it_was_tls_and_who_it_is():
    told = {"HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_USER": "王芳".encode().decode("latin-1"), "wsgi.url_scheme": "http"}
    ours, theirs = {**told, "REMOTE_ADDR": "10.9.9.9"}, {**told, "REMOTE_ADDR": "203.0.113.5"}
    assert (OURS.https(ours), OURS.https(theirs)) == (True, False)
    assert (OURS.user(ours, "X-User"), OURS.user(theirs, "X-User"), OURS.user(ours, "")) == ("王芳", "", "")
    assert OURS.user({**ours, "HTTP_X_USER": "\xff"}, "X-User") == ""
    assert OURS.https({"wsgi.url_scheme": "https"})


def test_a_proxy_that_is_no_address_is_said():
    with pytest.raises(SettingsError, match=r"dashboard_proxies: .*proxy\.example"):
        Proxies("127.0.0.1, proxy.example")


@pytest.mark.parametrize(
    ("text", "path"),
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
def test_after_a_login_one_stays_here(text: str, path: str):
    assert local_path(text) == path


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"dashboard_login": "none", "dashboard_host": "0.0.0.0"}, "loopback"),
        ({"dashboard_login": "none", "dashboard_host": "desk.example"}, "loopback"),
        ({"dashboard_login": "header"}, "dashboard_user_header"),
        ({"dashboard_login": "header", "dashboard_user_header": "X-User"}, "dashboard_proxies"),
    ],
)
def test_doors_that_would_stand_open_are_refused(values: dict[str, Any], words: str):
    with pytest.raises(SettingsError, match=words):
        made(Settings(**values))


def test_on_loopback_nobody_need_be_asked():
    client = made(Settings(dashboard_login="none")).server.test_client()
    assert client.get("/").status_code == 200
    assert client.get("/metrics").status_code == 200
    assert client.get("/login").headers["Location"] == "/"
    assert client.post("/login").headers["Location"] == client.get("/password").headers["Location"] == "/"


def test_a_store_without_accounts_says_how_to_make_one(app: dash.Dash):
    client = app.server.test_client()
    assert "tocsin users add NAME --role admin" in client.get("/login?lang=en").text
    assert "尚无任何账户" in client.get("/login", headers={"Accept-Language": "zh-CN,zh;q=0.9"}).text


def test_a_file_that_dash_does_not_have_is_not_found(app: dash.Dash):
    """Everybody may ask for it: it must not be an error with a traceback."""
    assert app.server.test_client().get("/_dash-component-suites/dash/nothing.js").status_code == 404
