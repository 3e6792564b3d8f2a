"""What holds of the API whatever it is asked: pages stand still, buckets are exact, and nothing makes it fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api import calls
from api.endpoints import ENDPOINTS, ROOT, Endpoint
from api.problems import Refused
from api.rate_limit import Buckets, headers
from api.requests import ArticlesQuery
from core.records import sha
from storage.store import Store
from tests.api_desk import GOOD, TABLES, Desk, find, hold, real_store
from tests.contract.test_store import save, scored
from tests.helpers.strategies import ODD, TOKENS, examples, texts

WITH_BODY = [endpoint for endpoint in ENDPOINTS if endpoint.body]
_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), texts(60), st.sampled_from(ODD)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts(20), inner, max_size=4)),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with real_store(tmp_path_factory.mktemp("api")) as made:
        yield made


@pytest.fixture(scope="module")
def desk(store: Store) -> Iterator[Desk]:
    made = Desk(store)
    yield made
    made.close()


@st.composite
def bodies(draw: st.DrawFn, endpoint: Endpoint) -> bytes:
    """Bodies that are good but for something: a field of another kind, one more, one less, or broken bytes."""
    body = json.loads(json.dumps(GOOD[endpoint.path]))
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
def test_no_body_makes_it_fail(desk: Desk, endpoint: Endpoint):
    @examples(25)
    @given(bodies(endpoint))
    def check(body: bytes) -> None:
        answer = desk.ask("POST", endpoint.path.replace("{id}", sha("nobody")), body)
        assert answer.status_code in (200, 201, 202, 400, 404, 422)

    check()


READS = [endpoint for endpoint in ENDPOINTS if endpoint.method == "GET" and not endpoint.streams]


@examples(120)
@given(st.sampled_from(READS), st.data())
def test_no_query_makes_it_fail(desk: Desk, endpoint: Endpoint, data: st.DataObject):
    known = [*endpoint.query.__struct_fields__, "odd"]
    value = st.one_of(
        texts(80),
        st.sampled_from(ODD),
        st.sampled_from(["1", "0", "-1", "9" * 40, "2026-11-20T08:00:00+08:00", "1970-01-01T00:00:00Z", "*"]),
    )
    query = data.draw(st.dictionaries(st.sampled_from(known), value, max_size=3))
    path = endpoint.path.replace("{id}", data.draw(texts(20, 1)).replace("/", "_")).replace("{series}", "topic:" + data.draw(texts(20)))
    headers = {"Authorization": f"Bearer {desk.secrets[endpoint.scope]}"}
    answer = desk.client.get(ROOT + quote(path), query_string=query, headers=headers)
    if answer.status_code != 308:  # a path with two slashes is another one
        hold(answer, find("GET", path) if answer.status_code not in (404, 405) else None)


@examples(60)
@given(texts(300))
def test_no_header_makes_it_fail(desk: Desk, value: str):
    printable = "".join(each for each in value if each.isprintable())
    for name in ("Authorization", "Last-Event-ID", "Content-Type", "Content-Encoding", "X-Forwarded-For"):
        given_headers = {"Authorization": f"Bearer {desk.secrets['read']}", name: printable.encode("utf-8").decode("latin-1")}
        for method, path in (("HEAD", "/stream"), ("POST", "/classify")):
            assert desk.client.open(ROOT + path, method=method, headers=given_headers, data=b"{}").status_code < 500


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(0, 400), min_size=1, max_size=25),
    st.lists(st.lists(st.integers(-50, 500), max_size=4), max_size=6),
    st.integers(1, 7),
)
def test_pages_stand_still_while_news_comes(store: Store, there: list[int], coming: list[list[int]], size: int):
    """Whatever is stored between two pages: each article that was there at the beginning is on exactly one of them."""
    for table in TABLES[:5]:
        store.client.command(f"TRUNCATE TABLE {table}")
    save(store, *(scored(f"there {number}", minutes=minutes) for number, minutes in enumerate(there)))
    found: list[str] = []
    after = None
    while page := store.past.places(size, after=after):
        found += [place.id for place in page]
        after = page[-1]
        if coming:
            more = coming.pop()
            save(store, *(scored(f"new {len(found)} {number}", minutes=minutes) for number, minutes in enumerate(more)))
    assert len(found) == len(set(found))
    assert {sha(f"there {number}") for number in range(len(there))} <= set(found)


@given(st.integers(1, 900), st.lists(st.floats(0, 30), max_size=60))
def test_a_bucket_never_gives_more_than_flows_in(per_minute: int, pauses: list[float]):
    buckets = Buckets(per_minute)
    now = 0.0
    for taken, pause in enumerate(pauses, 1):
        now += pause
        left = buckets.take("a", now)
        if left.wait_s:
            assert buckets.take("a", now + left.wait_s + 1e-6).wait_s == 0, "who waits as told is let in"
            return
        assert taken <= per_minute + now * per_minute / 60 + 1e-6
        assert 0 <= left.remaining < per_minute
        assert "Retry-After" not in headers(left, per_minute)


def test_a_full_bucket_is_a_minutes_worth_and_fills_evenly():
    buckets = Buckets(60)
    assert [buckets.take("a", 5.0).remaining for _ in range(60)] == list(range(59, -1, -1))
    assert buckets.take("a", 5.0).wait_s == pytest.approx(1.0)
    assert buckets.take("b", 5.0).remaining == 59
    assert buckets.take("a", 6.0).wait_s == 0
    assert buckets.take("a", 6.0).wait_s == pytest.approx(1.0)
    assert buckets.take("a", 1e6).remaining == 59


@given(st.integers(0, 2**32 - 1), texts(64), texts(40))
def test_a_cursor_means_the_place_it_was_made_of(at: int, ident: str, source: str):
    query = ArticlesQuery(source=source)
    cursor = calls.make(query, "/articles", (at, ident))
    assert calls.read(cursor, query, "/articles", tuple[int, str]) == (at, ident)
    for wrong in (cursor[:-2], cursor + "A", cursor.swapcase(), "🔔" + cursor):
        if wrong != cursor:
            with pytest.raises(Refused) as refused:
                calls.read(wrong, ArticlesQuery(source=source + "x"), "/articles", tuple[int, str])
            assert refused.value.errors[0].field == "cursor"
