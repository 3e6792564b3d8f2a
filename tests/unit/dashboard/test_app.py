"""The doors, over the app as it is served: who may post, what a malformed request gets, which headers each answer carries."""

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
from dashboard.web.compression import Compressed
from dashboard.web.permissions import callback_key
from dashboard.web.server import CHANGE_FEED, is_loopback, serve
from storage.store import Store
from tests.unit.dashboard.reads.test_queries import NOW, EmptyClickHouse, Hands

OPEN = Settings(dashboard_login="none")
CALLBACK = "/_dash-update-component"


@pytest.fixture
def far_side() -> EmptyClickHouse:
    return EmptyClickHouse()


@pytest.fixture
def app(far_side: EmptyClickHouse) -> dash.Dash:
    return create_app(Store(far_side), OPEN, now=lambda: NOW)


@pytest.fixture
def client(app: dash.Dash) -> Any:
    return app.server.test_client()


def body(app: dash.Dash, output: str, **values: Any) -> dict[str, Any]:
    """What a browser posts for the callback that fills `output` first, else beside others, with these values of "id.property"."""
    ours = [(name, known) for name, known in app.callback_map.items() if "callback" in known]
    name, known = next(((name, known) for name, known in ours if callback_key(name) == output), None) or next(
        (name, known) for name, known in ours if output in name
    )
    places = [place.rpartition(".") for place in name.strip(".").split("...")]
    outputs = [{"id": id_, "property": property_} for id_, _, property_ in places]
    parts = {
        part: [{**item, "value": values.get(f"{item['id']}_{item['property']}".replace("-", "_"))} for item in known[part]]
        for part in ("inputs", "state")
    }
    changed = [f"{item['id']}.{item['property']}" for item in known["inputs"]]
    return {"output": name, "outputs": outputs if name.startswith("..") else outputs[0], "changedPropIds": changed, **parts}


def test_every_answer_carries_the_headers(client: Any):
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


def test_nothing_is_loaded_from_elsewhere(client: Any):
    page = client.get("/").text
    assert "https://" not in page.replace("https://www.w3.org", "")
    assert "http://" not in page


def test_scripts_and_styles_leave_compressed_and_answers_do_not(app: dash.Dash, client: Any):
    page = client.get("/").text
    scripts = [*re.findall(r'src="([^"]+)"', page), "/_dash-component-suites/plotly/package_data/plotly.min.js", "/assets/tocsin.css"]
    sizes = [0, 0]
    for path in scripts:
        plain = client.get(path, buffered=True)
        squeezed = client.get(path, headers={"Accept-Encoding": "br, gzip;q=0.5"}, buffered=True)
        assert plain.status_code == squeezed.status_code == 200
        assert "Content-Encoding" not in plain.headers
        assert "Accept-Encoding" in squeezed.headers["Vary"]
        if squeezed.headers.get("Content-Encoding"):
            assert gzip.decompress(squeezed.data) == plain.data
        assert int(squeezed.headers["Content-Length"]) == len(squeezed.data)
        sizes = [sizes[0] + len(plain.data), sizes[1] + len(squeezed.data)]
        known = {"Accept-Encoding": "gzip", "If-None-Match": squeezed.headers.get("ETag", "")}
        again = client.get(path, headers=known, buffered=True)
        assert again.status_code == (304 if "ETag" in squeezed.headers else 200)
    assert sizes[1] < 0.35 * sizes[0]
    asked = {"json": body(app, "ov-mood-fresh.data"), "headers": {"Accept-Encoding": "gzip"}}
    for answer in (client.post(CALLBACK, **asked), client.get("/", headers={"Accept-Encoding": "gzip"})):
        assert "Content-Encoding" not in answer.headers, "its length would tell of what is in it"
    assert client.get(scripts[0], headers={"Accept-Encoding": "gzip;q=0"}).headers.get("Content-Encoding") is None


def test_what_was_compressed_is_kept_by_its_version():
    kept = Compressed(size=2)
    assert kept.of("/a", "1", b"one" * 999) is kept.of("/a", "1", b"one" * 999)
    assert gzip.decompress(kept.of("/a", "2", b"two" * 999)) == b"two" * 999
    first = kept.of("/a", "1", b"one" * 999)
    kept.of("/b", "1", b"b" * 999)
    kept.of("/c", "1", b"c" * 999)
    assert kept.of("/a", "1", b"one" * 999) is not first, "only so many are kept"


def test_a_page_gets_its_answer(app: dash.Dash, client: Any):
    answer = client.post(CALLBACK, json=body(app, "ov-mood-fresh.data", view_data={"range": "6h", "lang": "zh"}, theme_data="dark"))
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    found = answer.json["response"]
    assert found["ov-problem"]["children"] is None
    assert found["ov-mood-fresh"]["data"]["layout"]["annotations"][0]["text"] == "该时间范围内暂无文章"
    assert found["ov-grid"]["rowData"] == []


def test_what_a_browser_has_is_not_sent_again(app: dash.Dash, client: Any):
    first = client.post(CALLBACK, json=body(app, "ov-mood-fresh.data")).json["response"]
    again = client.post(CALLBACK, json=body(app, "ov-mood-fresh.data", ov_seen_data=first["ov-seen"]["data"])).json["response"]
    assert set(again) == {"ov-problem", "ov-seen"}


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://localhost:1", "null", "http://", "file://", "http://[bad", "ftp://localhost"]
)
def test_posts_of_other_sites_are_refused(app: dash.Dash, client: Any, origin: str):
    assert client.post(CALLBACK, json=body(app, "in-rows.children"), headers={"Origin": origin}).status_code == 403


def test_posts_of_our_own_pages_and_of_programs_are_taken(app: dash.Dash, client: Any):
    for headers in ({"Origin": "http://localhost"}, {"Origin": "https://LOCALHOST"}, {}, {"Sec-Fetch-Site": "same-origin"}):
        assert client.post(CALLBACK, json=body(app, "in-rows.children"), headers=headers).status_code == 200
    assert client.post(CALLBACK, json=body(app, "in-rows.children"), headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


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
def test_a_malformed_callback_is_refused(client: Any, data: bytes, kind: str, status: int):
    assert client.post(CALLBACK, data=data, content_type=kind).status_code == status


def test_a_callback_cannot_be_given_other_arguments_or_outputs(app: dash.Dash, client: Any):
    good = body(app, "ov-mood-fresh.data")
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
    assert [client.post(CALLBACK, json=item).status_code for item in spoofed] == [400] * len(spoofed)


def test_a_clientside_callback_cannot_be_called(app: dash.Dash, client: Any):
    names = [name for name, known in app.callback_map.items() if "callback" not in known]
    assert {client.post(CALLBACK, json={"output": name, "inputs": [], "outputs": []}).status_code for name in names} <= {400}


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(data=st.data())
def test_no_value_of_a_browser_breaks_a_callback(app: dash.Dash, data: st.DataObject):
    """Values are whatever a client likes to send: never a 500."""
    posts = app.server.test_client()
    for name, known in app.callback_map.items():
        if "callback" not in known:
            continue
        sent = body(app, name)
        for item in [*sent["inputs"], *sent["state"]]:
            item["value"] = data.draw(junk)
        assert posts.post(CALLBACK, json=sent).status_code in (200, 204), name


@pytest.mark.parametrize(
    "path", ["/alert/'; DROP TABLE alerts--", "/alert/../../etc/passwd", "/alert/" + "x" * 5_000, "/alert/", "/alert/%00", "/nothing"]
)
def test_any_address_is_a_page(app: dash.Dash, client: Any, path: str):
    assert client.get(path).status_code == 200
    sent = body(app, "page.children", route_data={"path": path}, view_data={"lang": "zh"})
    assert client.post(CALLBACK, json=sent).status_code == 200


def test_an_unknown_alert_is_a_friendly_page(app: dash.Dash, client: Any):
    answer = client.post(CALLBACK, json=body(app, "al-why.children", al_key_data="nope"))
    assert "No alert has this id" in answer.text


def test_records_that_were_set_aside_are_counted_for_the_header(monkeypatch: pytest.MonkeyPatch):
    store = Store(EmptyClickHouse())
    app = create_app(store, OPEN, now=lambda: NOW, cache=Cache(Hands()))
    monkeypatch.setattr(store.dead_letters, "count", lambda: 12)
    assert app.server.test_client().get("/live/state").json["aside"] == 12
    app.server.extensions[CHANGE_FEED].close()


def test_a_lost_store_is_said_and_recovers(far_side: EmptyClickHouse):
    clock = Hands()
    app = create_app(Store(far_side), OPEN, now=lambda: NOW, cache=Cache(clock))
    client = app.server.test_client()
    far_side.down = True
    answer = client.post(CALLBACK, json=body(app, "ov-mood-fresh.data"))
    assert answer.status_code == 200
    assert "The store does not answer" in answer.text
    assert set(answer.json["response"]) == {"ov-problem"}
    assert client.get("/live/state").json["store"] is False
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200
    assert client.get("/export/articles.csv").status_code == 503
    far_side.down = False
    clock.time += TTL_S
    assert client.get("/readyz").status_code == 200
    live = app.server.extensions[CHANGE_FEED]
    live.look()
    assert client.get("/live/state").json["store"] is True
    live.close()


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


def test_the_server_serves_on_a_free_port_and_gives_it_back(app: dash.Dash):
    with serve(app, "127.0.0.1", 0) as running:
        assert running.url == f"http://127.0.0.1:{running.port}/"
        assert fetch(running.url + "healthz") == 200
    running.close()
    with socket.create_server(("127.0.0.1", running.port)):
        pass


def test_a_foreign_name_for_loopback_reads_nothing(app: dash.Dash):
    """DNS rebinding: a site makes its own name mean 127.0.0.1 and is then of one origin with us."""
    with serve(app, "127.0.0.1", 0, hosts=("dash.example",)) as running:
        codes = {name: fetch(running.url, Host=name) for name in (f"evil.example:{running.port}", "localhost", "[::1]:80", "dash.example")}
    assert codes == {f"evil.example:{running.port}": 421, "localhost": 200, "[::1]:80": 200, "dash.example": 200}


def test_a_taken_port_is_one_clear_sentence(app: dash.Dash):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SettingsError, match="dashboard_port"):
        serve(app, "127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("10.0.0.1", False), ("a.example", False)],
)
def test_loopback(host: str, expected: bool):
    assert is_loopback(host) is expected


def test_a_body_is_what_dash_itself_would_send(app: dash.Dash):
    """The helper of this file must follow Dash's own form, else the refusals above prove nothing."""
    good = body(app, "ov-mood-fresh.data")
    assert json.dumps(good)
    assert good["output"].startswith("..ov-problem.children...")
