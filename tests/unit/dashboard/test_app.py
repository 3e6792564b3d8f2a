"""The app as it is served: security headers, request checks, callbacks, and the server."""

from __future__ import annotations

import gzip
import json
import re
import socket
import urllib.error
import urllib.request
from typing import Any

import dash
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.cache import TTL_S, Cache
from core.errors import SettingsError
from core.settings import Settings
from dashboard.app import create_app
from dashboard.i18n import text
from dashboard.web.server import CHANGE_FEED, is_loopback, serve
from storage.store import Store
from tests.helpers.dashboard import CALLBACK_PATH, NOW, EmptyClickHouse, ManualClock, callback_body

OPEN = Settings(dashboard_login="none")


@pytest.fixture
def clickhouse() -> EmptyClickHouse:
    return EmptyClickHouse()


@pytest.fixture
def app(clickhouse: EmptyClickHouse) -> dash.Dash:
    return create_app(Store(clickhouse), OPEN, now=lambda: NOW)


@pytest.fixture
def client(app: dash.Dash) -> Any:
    return app.server.test_client()


def test_every_response_has_the_security_headers(client: Any):
    for path in ("/", "/alert/x", "/_dash-layout", "/healthz", "/nothing/here", "/assets/tocsin.js"):
        with client.get(path) as answer:
            headers = answer.headers
        csp = headers["Content-Security-Policy"]
        assert "default-src 'self'" in csp
        assert "frame-ancestors 'none'" in csp
        script = next(rule for rule in csp.split("; ") if rule.startswith("script-src"))
        assert "unsafe" not in script
        assert "sha256-" in script
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
    assert client.get("/").headers["Cache-Control"] == "no-store"


def test_the_page_loads_nothing_from_other_sites(client: Any):
    page = client.get("/").text
    assert "https://" not in page.replace("https://www.w3.org", "")
    assert "http://" not in page


def test_files_are_compressed_and_data_is_not(app: dash.Dash, client: Any):
    page = client.get("/").text
    scripts = [*re.findall(r'src="([^"]+)"', page), "/_dash-component-suites/plotly/package_data/plotly.min.js", "/assets/tocsin.css"]
    sizes = [0, 0]
    for path in scripts:
        plain = client.get(path, buffered=True)
        compressed = client.get(path, headers={"Accept-Encoding": "br, gzip;q=0.5"}, buffered=True)
        assert plain.status_code == compressed.status_code == 200
        assert "Content-Encoding" not in plain.headers
        assert "Accept-Encoding" in compressed.headers["Vary"]
        if compressed.headers.get("Content-Encoding"):
            assert gzip.decompress(compressed.data) == plain.data
        assert int(compressed.headers["Content-Length"]) == len(compressed.data)
        sizes = [sizes[0] + len(plain.data), sizes[1] + len(compressed.data)]
        known = {"Accept-Encoding": "gzip", "If-None-Match": compressed.headers.get("ETag", "")}
        again = client.get(path, headers=known, buffered=True)
        assert again.status_code == (304 if "ETag" in compressed.headers else 200)
    assert sizes[1] < 0.35 * sizes[0]
    request = {"json": callback_body(app, "ov-mood-fresh.data"), "headers": {"Accept-Encoding": "gzip"}}
    for answer in (client.post(CALLBACK_PATH, **request), client.get("/", headers={"Accept-Encoding": "gzip"})):
        assert "Content-Encoding" not in answer.headers, "its length would reveal its content"
    assert client.get(scripts[0], headers={"Accept-Encoding": "gzip;q=0"}).headers.get("Content-Encoding") is None


def test_a_callback_is_answered(app: dash.Dash, client: Any):
    answer = client.post(
        CALLBACK_PATH, json=callback_body(app, "ov-mood-fresh.data", view_data={"range": "6h", "lang": "zh"}, theme_data="dark")
    )
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    found = answer.json["response"]
    assert found["ov-problem"]["children"] is None
    assert found["ov-mood-fresh"]["data"]["layout"]["annotations"][0]["text"] == text("empty", "zh")
    assert found["ov-grid"]["rowData"] == []


def test_unchanged_parts_are_not_sent_again(app: dash.Dash, client: Any):
    first = client.post(CALLBACK_PATH, json=callback_body(app, "ov-mood-fresh.data")).json["response"]
    again = client.post(CALLBACK_PATH, json=callback_body(app, "ov-mood-fresh.data", ov_seen_data=first["ov-seen"]["data"])).json[
        "response"
    ]
    assert set(again) == {"ov-problem", "ov-seen"}


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://localhost:1", "null", "http://", "file://", "http://[bad", "ftp://localhost"]
)
def test_cross_origin_posts_are_rejected(app: dash.Dash, client: Any, origin: str):
    assert client.post(CALLBACK_PATH, json=callback_body(app, "in-rows.children"), headers={"Origin": origin}).status_code == 403


def test_posts_of_own_pages_and_of_programs_are_accepted(app: dash.Dash, client: Any):
    for headers in ({"Origin": "http://localhost"}, {"Origin": "https://LOCALHOST"}, {}, {"Sec-Fetch-Site": "same-origin"}):
        assert client.post(CALLBACK_PATH, json=callback_body(app, "in-rows.children"), headers=headers).status_code == 200
    assert (
        client.post(CALLBACK_PATH, json=callback_body(app, "in-rows.children"), headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    )


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"{}", "text/plain", 415),
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"null", "application/json", 400),
        (b'"x"', "application/json", 400),
        (b"{}", "application/json", 400),
        (b'{"output": "nothing.children", "inputs": []}', "application/json", 400),
        (b'{"output": {"id": 1}}', "application/json", 400),
        (b'{"output": ["in-rows.children"]}', "application/json", 400),
        (b'{"output": "page.children", "inputs": "x"}', "application/json", 400),
        (b'{"output": "page.children", "inputs": [1]}', "application/json", 400),
        (b'{"output": "page.children", "inputs": []}', "application/json", 400),
        (b'{"output":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "application/json", 400),
        (b'{"output": "' + b"x" * 1_100_000 + b'"}', "application/json", 413),
    ],
)
def test_a_malformed_callback_is_rejected(client: Any, data: bytes, kind: str, status: int):
    assert client.post(CALLBACK_PATH, data=data, content_type=kind).status_code == status


def test_a_callback_with_other_arguments_or_outputs_is_rejected(app: dash.Dash, client: Any):
    good = callback_body(app, "ov-mood-fresh.data")
    spoofed = [
        {**good, "inputs": good["inputs"][1:]},
        {**good, "inputs": [{"id": "url", "property": "pathname", "value": "/login"}, *good["inputs"]]},
        {**good, "inputs": [[item] for item in good["inputs"]]},
        {**good, "state": []},
        {**good, "outputs": []},
        {**good, "outputs": good["outputs"][:-1]},
        {**good, "outputs": good["outputs"][0]},
        {**good, "outputs": None},
        {**good, "changedPropIds": 7},
        {**good, "changedPropIds": [None]},
    ]
    assert [client.post(CALLBACK_PATH, json=item).status_code for item in spoofed] == [400] * len(spoofed)


def test_a_clientside_callback_cannot_be_called(app: dash.Dash, client: Any):
    names = [name for name, known in app.callback_map.items() if "callback" not in known]
    assert {client.post(CALLBACK_PATH, json={"output": name, "inputs": [], "outputs": []}).status_code for name in names} <= {400}


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
@given(data=st.data())
def test_no_value_causes_an_error_in_a_callback(app: dash.Dash, data: st.DataObject):
    """A client may send any value; the status is never 500."""
    posts = app.server.test_client()
    for name, known in app.callback_map.items():
        if "callback" not in known:
            continue
        sent = callback_body(app, name)
        for item in [*sent["inputs"], *sent["state"]]:
            item["value"] = data.draw(junk)
        assert posts.post(CALLBACK_PATH, json=sent).status_code in (200, 204), name


@pytest.mark.parametrize(
    "path", ["/alert/'; DROP TABLE alerts--", "/alert/../../etc/passwd", "/alert/" + "x" * 5_000, "/alert/", "/alert/%00", "/nothing"]
)
def test_any_path_is_a_page(app: dash.Dash, client: Any, path: str):
    assert client.get(path).status_code == 200
    sent = callback_body(app, "page.children", route_data={"path": path}, view_data={"lang": "zh"})
    assert client.post(CALLBACK_PATH, json=sent).status_code == 200


def test_an_unknown_alert_shows_a_not_found_page(app: dash.Dash, client: Any):
    answer = client.post(CALLBACK_PATH, json=callback_body(app, "al-summary.children", al_key_data="nope"))
    assert text("missing.alert", "en").split(".")[0] in answer.text


def test_dead_letters_are_counted_for_the_header(monkeypatch: pytest.MonkeyPatch):
    store = Store(EmptyClickHouse())
    app = create_app(store, OPEN, now=lambda: NOW, cache=Cache(ManualClock()))
    monkeypatch.setattr(store.dead_letters, "count", lambda: 12)
    assert app.server.test_client().get("/live/state").json["dead_letters"] == 12
    app.server.extensions[CHANGE_FEED].close()


def test_an_outage_of_the_store_is_shown_and_ends(clickhouse: EmptyClickHouse):
    clock = ManualClock()
    app = create_app(Store(clickhouse), OPEN, now=lambda: NOW, cache=Cache(clock))
    client = app.server.test_client()
    clickhouse.down = True
    answer = client.post(CALLBACK_PATH, json=callback_body(app, "ov-mood-fresh.data"))
    assert answer.status_code == 200
    assert text("store.title", "en") in answer.text
    assert set(answer.json["response"]) == {"ov-problem"}
    assert client.get("/live/state").json["store_ok"] is False
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200
    assert client.get("/export/articles.csv").status_code == 503
    clickhouse.down = False
    clock.time += TTL_S
    assert client.get("/readyz").status_code == 200
    changes = app.server.extensions[CHANGE_FEED]
    changes.poll()
    assert client.get("/live/state").json["store_ok"] is True
    changes.close()


def test_metrics_and_export(client: Any):
    client.get("/readyz")
    assert 'tocsin_dashboard_reads_total{outcome="store"}' in client.get("/metrics").text
    export = client.get("/export/articles.csv?lang=zh&range=7d&zone=Asia/Shanghai")
    assert export.headers["Content-Disposition"] == 'attachment; filename="tocsin-articles-7d.csv"'
    assert export.data.decode("utf-8-sig").startswith('"时间 (Asia/Shanghai)","来源"')


def fetch(url: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_the_server_uses_a_free_port_and_releases_it(app: dash.Dash):
    with serve(app, "127.0.0.1", 0) as running:
        assert running.url == f"http://127.0.0.1:{running.port}/"
        assert fetch(running.url + "healthz") == 200
    running.close()
    with socket.create_server(("127.0.0.1", running.port)):
        pass


def test_requests_with_a_foreign_host_header_are_rejected(app: dash.Dash):
    """DNS rebinding: a site resolves its own name to 127.0.0.1, and so has the same origin."""
    with serve(app, "127.0.0.1", 0, hosts=("dash.example",)) as running:
        codes = {name: fetch(running.url, Host=name) for name in (f"evil.example:{running.port}", "localhost", "[::1]:80", "dash.example")}
    assert codes == {f"evil.example:{running.port}": 421, "localhost": 200, "[::1]:80": 200, "dash.example": 200}


def test_a_port_in_use_names_the_setting(app: dash.Dash):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SettingsError, match="dashboard_port"):
        serve(app, "127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("10.0.0.1", False), ("a.example", False)],
)
def test_loopback_addresses_are_recognised(host: str, expected: bool):
    assert is_loopback(host) is expected


def test_the_helper_builds_the_body_that_dash_sends(app: dash.Dash):
    """Otherwise the rejections above would prove nothing."""
    good = callback_body(app, "ov-mood-fresh.data")
    assert json.dumps(good)
    assert good["output"].startswith("..ov-problem.children...")
