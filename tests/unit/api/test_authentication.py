"""The doors of the API: the document, who gets in, and what is refused before anything is done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from api.endpoints import ENDPOINTS, ROOT, Endpoint
from api.requests import MOST
from domain.tokens import SCOPES
from tests.api_desk import DOCUMENT, GOOD, Desk, fields, real_store

NAMES = [f"{endpoint.method} {endpoint.path}" for endpoint in ENDPOINTS]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with real_store(tmp_path_factory.mktemp("api")) as store:
        made = Desk(store)
        yield made
        made.close()


def filled(path: str) -> str:
    return path.replace("{id}", "f" * 32).replace("{series}", "market:all")


def good(endpoint: Endpoint) -> Any:
    return GOOD[endpoint.path] if endpoint.body else None


def test_the_document_is_valid_openapi():
    schema = json.loads((Path(__file__).resolve().parents[2] / "data" / "openapi-3.1.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(DOCUMENT)
    for made in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(made)
    names = [operation["operationId"] for path in DOCUMENT["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names)) == len(ENDPOINTS)
    text = json.dumps(DOCUMENT)
    used = {ref.split('"')[0] for ref in text.split("#/components/schemas/")[1:]}
    assert used <= set(DOCUMENT["components"]["schemas"])


def test_every_route_below_api_is_in_the_document(desk: Desk):
    served = {rule.rule for rule in desk.app.server.url_map.iter_rules() if rule.rule.startswith("/api/")}
    written = {path.replace("{series}", "<path:series>").replace("{id}", "<id>") for path in DOCUMENT["paths"]}
    assert served - written == {"/api/", "/api/<path:rest>", "/api/v1/openapi.json"}
    assert written <= served
    assert desk.client.get("/api/v1/openapi.json").json == msgspec.json.decode(msgspec.json.encode(DOCUMENT))


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=NAMES)
def test_nobody_gets_in_without_the_scope(desk: Desk, endpoint: Endpoint):
    path = filled(endpoint.path)
    for secret in ("", "tocsin_wrong", "研究"):
        nobody = desk.ask(endpoint.method, path, good(endpoint), secret=secret)
        assert nobody.status_code == 401
        assert nobody.headers["WWW-Authenticate"].startswith('Bearer realm="tocsin"')
    others = desk.grant(*(scope for scope in SCOPES if scope != endpoint.scope))
    desk.look_again()
    refused = desk.ask(endpoint.method, path, good(endpoint), secret=others)
    assert refused.status_code == 403
    assert f'scope="{endpoint.scope}"' in refused.headers["WWW-Authenticate"]
    let_in = desk.ask("HEAD" if endpoint.streams else endpoint.method, path, good(endpoint), secret=desk.secrets[endpoint.scope])
    assert let_in.status_code not in (401, 403)
    cookie = desk.client.open(ROOT + path, method=endpoint.method, headers={"Cookie": f"token={desk.secrets[endpoint.scope]}"})
    assert cookie.status_code == 401


@pytest.mark.parametrize("endpoint", [each for each in ENDPOINTS if each.body], ids=[name for name in NAMES if name.startswith("POST")])
def test_a_bad_body_is_refused_with_what_is_wrong(desk: Desk, endpoint: Endpoint):
    path = filled(endpoint.path)
    assert desk.ask("POST", path, b"{").status_code == 400
    assert desk.ask("POST", path, b"\xff").status_code == 400
    assert desk.ask("POST", path, b"[" * 100_000).status_code in (400, 422)
    assert desk.ask("POST", path, []).status_code == 422
    extra = desk.ask("POST", path, {**good(endpoint), "色": 1})
    assert (extra.status_code, fields(extra)) == (422, ["色"])
    too_large = desk.ask("POST", path, b" " * (endpoint.max_bytes + 1))
    assert too_large.status_code == 413
    assert f"{endpoint.max_bytes:,}" in too_large.json["detail"]
    headers = {"Authorization": f"Bearer {desk.secrets[endpoint.scope]}"}
    assert desk.client.post(ROOT + path, data=b"a=1", headers=headers).status_code == 415
    assert desk.client.post(ROOT + path, json={}, headers={**headers, "Content-Encoding": "gzip"}).status_code == 415


@pytest.mark.parametrize("endpoint", [each for each in ENDPOINTS if each.method == "GET"], ids=[name for name in NAMES if "GET" in name])
def test_a_bad_query_is_refused_with_what_is_wrong(desk: Desk, endpoint: Endpoint):
    path, known = filled(endpoint.path), endpoint.query.__struct_fields__
    wrong = {
        "limit": ("0", str(MOST + 1), "x", "9" * 30),
        "cursor": ("x", "AAAA", "🔔", "W10"),
        "since": ("2026-11-20", "2026-11-20T08:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "昨天"),
        "as_of": ("2026-11-20T08:00:00", "2099-01-01T00:00:00Z"),
        "step_s": ("1", "NaN"),
    }
    for field, values in wrong.items():
        for value in values:
            answer = desk.ask("GET", path, **{field: value})
            assert (answer.status_code, fields(answer)) == (422, [field]), (field, value, answer.text)
            assert ("unknown field" in answer.text) == (field not in known)
    twice = desk.client.get(f"{ROOT}{path}?limit=1&limit=2", headers={"Authorization": f"Bearer {desk.secrets[endpoint.scope]}"})
    assert (twice.status_code, fields(twice)) == (422, ["limit"])


def test_what_is_not_there_is_a_problem_too(desk: Desk):
    for path in ("/", "/nothing", "/articles/a/b", "/../healthz", "/docs"):
        answer = desk.client.get(ROOT + path)
        assert (answer.status_code, answer.content_type) == (404, "application/problem+json"), path
    for path in ("/articles/nobody", "/alerts/nobody", "/series/nonsense"):
        answer = desk.ask("GET", path)
        assert answer.status_code == 404
        assert path.rpartition("/")[2] in answer.json["detail"]
    assert desk.ask("DELETE", "/silences/nobody").status_code == 404
    assert desk.ask("DELETE", "/tokens/nobody").status_code == 404
    wrong = desk.client.put(ROOT + "/articles")
    assert (wrong.status_code, wrong.headers["Allow"], wrong.content_type) == (405, "GET, HEAD, POST", "application/problem+json")
    odd = desk.client.open(ROOT + "/articles", method="BREW")
    assert (odd.status_code, odd.content_type) == (405, "application/problem+json")
    assert desk.client.get("/nothing/of/the/api").content_type.startswith("text/html")


def test_an_origin_does_not_matter_where_cookies_do_not(desk: Desk):
    headers = {"Authorization": f"Bearer {desk.secrets['classify']}", "Origin": "https://elsewhere.example"}
    answer = desk.client.post(ROOT + "/classify", json=GOOD["/classify"], headers=headers)
    assert answer.status_code == 200
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
