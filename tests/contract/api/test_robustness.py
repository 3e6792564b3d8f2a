"""Property tests: no request causes an internal error, and pagination is stable."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.endpoints import ENDPOINTS, ROOT, Endpoint
from core.records import sha
from storage.store import Store
from tests.helpers.api import TABLES, VALID_BODIES, ApiHarness, assert_documented, endpoint_of
from tests.helpers.stores import save, scored
from tests.helpers.strategies import ODD, TOKENS, examples, texts

WITH_BODY = [endpoint for endpoint in ENDPOINTS if endpoint.body]
_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), texts(60), st.sampled_from(ODD)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts(20), inner, max_size=4)),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def harness(store: Store) -> Iterator[ApiHarness]:
    made = ApiHarness(store)
    yield made
    made.close()


@st.composite
def bodies(draw: st.DrawFn, endpoint: Endpoint) -> bytes:
    """Valid bodies with one fault: a field of another type, one field more or less, or broken bytes."""
    body = json.loads(json.dumps(VALID_BODIES[endpoint.path]))
    field = draw(st.sampled_from([*body, "more"]))
    inner = body.get(field)
    if isinstance(inner, list) and inner and isinstance(inner[0], dict) and draw(st.booleans()):
        inner[0][draw(st.sampled_from([*inner[0], "more"]))] = draw(_values)
    else:
        body[field] = draw(_values)
    raw = json.dumps(body, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(st.sampled_from(TOKENS)) + raw[at + draw(st.integers(0, 3)) :]
    return raw


@pytest.mark.parametrize("endpoint", WITH_BODY, ids=[endpoint.path for endpoint in WITH_BODY])
def test_no_body_causes_an_internal_error(harness: ApiHarness, endpoint: Endpoint):
    @examples(25)
    @given(bodies(endpoint))
    def check(body: bytes) -> None:
        answer = harness.request("POST", endpoint.path.replace("{id}", sha("nobody")), body)
        assert answer.status_code in (200, 201, 202, 400, 404, 422)

    check()


READS = [endpoint for endpoint in ENDPOINTS if endpoint.method == "GET" and not endpoint.streams]


@examples(120)
@given(st.sampled_from(READS), st.data())
def test_no_query_causes_an_internal_error(harness: ApiHarness, endpoint: Endpoint, data: st.DataObject):
    known = [*endpoint.query.__struct_fields__, "odd"]
    value = st.one_of(
        texts(80),
        st.sampled_from(ODD),
        st.sampled_from(["1", "0", "-1", "9" * 40, "2026-11-20T08:00:00+08:00", "1970-01-01T00:00:00Z", "*"]),
    )
    query = data.draw(st.dictionaries(st.sampled_from(known), value, max_size=3))
    path = endpoint.path.replace("{id}", data.draw(texts(20, 1)).replace("/", "_")).replace("{series}", "topic:" + data.draw(texts(20)))
    headers = {"Authorization": f"Bearer {harness.secrets[endpoint.scope]}"}
    answer = harness.client.get(ROOT + quote(path), query_string=query, headers=headers)
    if answer.status_code != 308:  # a path with two slashes is redirected
        assert_documented(answer, endpoint_of("GET", path) if answer.status_code not in (404, 405) else None)


@examples(60)
@given(texts(300))
def test_no_header_causes_an_internal_error(harness: ApiHarness, value: str):
    printable = "".join(each for each in value if each.isprintable())
    for name in ("Authorization", "Last-Event-ID", "Content-Type", "Content-Encoding", "X-Forwarded-For"):
        given_headers = {"Authorization": f"Bearer {harness.secrets['read']}", name: printable.encode("utf-8").decode("latin-1")}
        for method, path in (("HEAD", "/stream"), ("POST", "/classify")):
            assert harness.client.open(ROOT + path, method=method, headers=given_headers, data=b"{}").status_code < 500


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(0, 400), min_size=1, max_size=25),
    st.lists(st.lists(st.integers(-50, 500), max_size=4), max_size=6),
    st.integers(1, 7),
)
def test_each_article_is_on_exactly_one_page_while_others_are_added(store: Store, existing: list[int], added: list[list[int]], size: int):
    """Whatever is stored between two pages, each article from before the first one is on exactly one page."""
    for table in TABLES[: TABLES.index("alerts")]:
        store.client.command(f"TRUNCATE TABLE {table}")
    save(store, *(scored(f"existing {number}", minutes=minutes) for number, minutes in enumerate(existing)))
    found: list[str] = []
    after = None
    while page := store.as_of.places(size, after=after):
        found += [place.id for place in page]
        after = page[-1]
        if added:
            more = added.pop()
            save(store, *(scored(f"new {len(found)} {number}", minutes=minutes) for number, minutes in enumerate(more)))
    assert len(found) == len(set(found))
    assert {sha(f"existing {number}") for number in range(len(existing))} <= set(found)
