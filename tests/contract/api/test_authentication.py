"""The OpenAPI document, authentication, and the rejection of invalid requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from api.endpoints import ENDPOINTS, ROOT, Endpoint
from api.requests import MAX_PAGE_SIZE
from domain.tokens import SCOPES
from storage.store import Store
from tests.helpers.api import DOCUMENT, VALID_BODIES, ApiHarness, invalid_fields

NAMES = [f"{endpoint.method} {endpoint.path}" for endpoint in ENDPOINTS]


@pytest.fixture(scope="module")
def harness(store: Store) -> Iterator[ApiHarness]:
    made = ApiHarness(store)
    yield made
    made.close()


def with_values(path: str) -> str:
    return path.replace("{id}", "f" * 32).replace("{series}", "market:all")


def valid_body(endpoint: Endpoint) -> Any:
    return VALID_BODIES[endpoint.path] if endpoint.body else None


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


def test_the_document_lists_exactly_the_routes_that_are_served(harness: ApiHarness):
    served = {rule.rule for rule in harness.app.server.url_map.iter_rules() if rule.rule.startswith("/api/")}
    documented = {path.replace("{series}", "<path:series>").replace("{id}", "<id>") for path in DOCUMENT["paths"]}
    assert served - documented == {"/api/", "/api/<path:rest>", "/api/v1/openapi.json"}
    assert documented <= served
    assert harness.client.get("/api/v1/openapi.json").json == msgspec.json.decode(msgspec.json.encode(DOCUMENT))


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=NAMES)
def test_an_endpoint_needs_a_valid_token_with_its_scope(harness: ApiHarness, endpoint: Endpoint):
    path = with_values(endpoint.path)
    for secret in ("", "tocsin_wrong", "研究"):
        rejected = harness.request(endpoint.method, path, valid_body(endpoint), secret=secret)
        assert rejected.status_code == 401
        assert rejected.headers["WWW-Authenticate"].startswith('Bearer realm="tocsin"')
    others = harness.create_token(*(scope for scope in SCOPES if scope != endpoint.scope))
    harness.forget_tokens()
    refused = harness.request(endpoint.method, path, valid_body(endpoint), secret=others)
    assert refused.status_code == 403
    assert f'scope="{endpoint.scope}"' in refused.headers["WWW-Authenticate"]
    accepted = harness.request(
        "HEAD" if endpoint.streams else endpoint.method, path, valid_body(endpoint), secret=harness.secrets[endpoint.scope]
    )
    assert accepted.status_code not in (401, 403)
    cookie = harness.client.open(ROOT + path, method=endpoint.method, headers={"Cookie": f"token={harness.secrets[endpoint.scope]}"})
    assert cookie.status_code == 401


@pytest.mark.parametrize("endpoint", [each for each in ENDPOINTS if each.body], ids=[name for name in NAMES if name.startswith("POST")])
def test_an_invalid_body_is_rejected_with_its_reason(harness: ApiHarness, endpoint: Endpoint):
    path = with_values(endpoint.path)
    assert harness.request("POST", path, b"{").status_code == 400
    assert harness.request("POST", path, b"\xff").status_code == 400
    assert harness.request("POST", path, b"[" * 100_000).status_code in (400, 422)
    assert harness.request("POST", path, []).status_code == 422
    extra = harness.request("POST", path, {**valid_body(endpoint), "色": 1})
    assert (extra.status_code, invalid_fields(extra)) == (422, ["色"])
    too_large = harness.request("POST", path, b" " * (endpoint.max_bytes + 1))
    assert too_large.status_code == 413
    assert f"{endpoint.max_bytes:,}" in too_large.json["detail"]
    headers = {"Authorization": f"Bearer {harness.secrets[endpoint.scope]}"}
    assert harness.client.post(ROOT + path, data=b"a=1", headers=headers).status_code == 415
    assert harness.client.post(ROOT + path, json={}, headers={**headers, "Content-Encoding": "gzip"}).status_code == 415


@pytest.mark.parametrize("endpoint", [each for each in ENDPOINTS if each.method == "GET"], ids=[name for name in NAMES if "GET" in name])
def test_an_invalid_query_is_rejected_with_the_field_named(harness: ApiHarness, endpoint: Endpoint):
    path, known = with_values(endpoint.path), endpoint.query.__struct_fields__
    wrong = {
        "limit": ("0", str(MAX_PAGE_SIZE + 1), "x", "9" * 30),
        "cursor": ("x", "AAAA", "🔔", "W10"),
        "since": ("2026-11-20", "2026-11-20T08:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "昨天"),
        "as_of": ("2026-11-20T08:00:00", "2099-01-01T00:00:00Z"),
        "step_s": ("1", "NaN"),
    }
    for field, values in wrong.items():
        for value in values:
            answer = harness.request("GET", path, **{field: value})
            assert (answer.status_code, invalid_fields(answer)) == (422, [field]), (field, value, answer.text)
            assert ("unknown field" in answer.text) == (field not in known)
    twice = harness.client.get(f"{ROOT}{path}?limit=1&limit=2", headers={"Authorization": f"Bearer {harness.secrets[endpoint.scope]}"})
    assert (twice.status_code, invalid_fields(twice)) == (422, ["limit"])


def test_unknown_paths_and_ids_and_methods_get_problem_details(harness: ApiHarness):
    for path in ("/", "/nothing", "/articles/a/b", "/../healthz", "/docs"):
        answer = harness.client.get(ROOT + path)
        assert (answer.status_code, answer.content_type) == (404, "application/problem+json"), path
    for path in ("/articles/nobody", "/alerts/nobody", "/series/nonsense"):
        answer = harness.request("GET", path)
        assert answer.status_code == 404
        assert path.rpartition("/")[2] in answer.json["detail"]
    assert harness.request("DELETE", "/silences/nobody").status_code == 404
    assert harness.request("DELETE", "/tokens/nobody").status_code == 404
    wrong = harness.client.put(ROOT + "/articles")
    assert (wrong.status_code, wrong.headers["Allow"], wrong.content_type) == (405, "GET, HEAD, POST", "application/problem+json")
    odd = harness.client.open(ROOT + "/articles", method="BREW")
    assert (odd.status_code, odd.content_type) == (405, "application/problem+json")
    assert harness.client.get("/nothing/of/the/api").content_type.startswith("text/html")


def test_a_cross_origin_request_with_a_token_is_accepted_without_cors_headers(harness: ApiHarness):
    headers = {"Authorization": f"Bearer {harness.secrets['classify']}", "Origin": "https://elsewhere.example"}
    answer = harness.client.post(ROOT + "/classify", json=VALID_BODIES["/classify"], headers=headers)
    assert answer.status_code == 200
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
