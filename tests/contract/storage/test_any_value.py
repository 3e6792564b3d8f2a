"""Properties of values: every valid record can be stored and sent, and no parameter is SQL; over both ClickHouse clients."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from core.errors import BadRecord, StoreError
from core.records import Alert, Article, Score, Scored, decode, encode
from storage.store import DeadLetter, PeakRow, Store
from stream.delivery.formats import FORMATS
from stream.delivery.formats.base import FormatOptions, message_id
from stream.delivery.formats.generic import MAX_BYTES, alert_bodies
from stream.delivery.signing import sign

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TIME = "2026-11-20T12:00:00.5Z"

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)
shares = st.floats(0.0, 1.0)
counts = st.integers(0, 2**32 - 1)
amounts = st.floats(0.0, 1e300)
times = st.datetimes(datetime(1971, 1, 2), datetime(2099, 12, 30)).map(lambda moment: moment.isoformat() + "+08:00")
anything = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=400),
    st.sampled_from([-1, 2**31, 2**32, 2**63, 2**64, 10**30, -0.0, 5e-324, 1e300, math.inf, -math.inf, math.nan]),
    st.sampled_from(["", "x" * 65, "\x00" * 300, "\ud800", "a\r\nb", "é", [], {}, [[]] * 200]),
    st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1970-12-31T23:59:59Z", "2100-01-01T00:00:00Z", TIME[:-1]]),
)
evidence = st.fixed_dictionaries(
    {
        "id": words,
        "title": st.text(st.characters(exclude_categories=["Cs"]), max_size=1000),
        "url": st.just("https://a.example/" + "x" * 3000),
    }
    | {"source": words, "published_at": times, "p_negative": shares}
)
alerts = st.fixed_dictionaries(
    {
        "id": st.from_regex("[0-9A-Za-z_-]{1,64}", fullmatch=True),
        "rule": words,
        "series": st.one_of(words, st.just("topic:" + "\x01" * 294)),
    }
    | {"window_start": times, "window_s": st.integers(1, 366 * 86_400), "detected_at": times}
    | {"severity": st.sampled_from(["info", "warning", "critical"]), "observed": counts, "total": counts, "sources": counts}
    | {"expected": amounts, "surprise": amounts, "evidence": st.lists(evidence, max_size=9)}
)
companies = st.fixed_dictionaries(
    {"company": words, "sector": words, "p_negative": shares, "p_neutral": shares, "p_positive": shares}
    | {"role": st.sampled_from(["subject", "speaker", "comparison"])}
)
scores = st.fixed_dictionaries(
    {"id": words, "source": words, "language": st.sampled_from(["zh", "en"]), "published_at": times, "story": words}
    | {"p_negative": shares, "p_neutral": shares, "p_positive": shares, "topics": st.dictionaries(words, shares, max_size=5)}
    | {"companies": st.lists(companies, max_size=4), "model": words, "scored_at": times}
)


def spoilt(records: st.SearchStrategy[dict[str, Any]], fields: tuple[str, ...]) -> st.SearchStrategy[bytes]:
    """Records as JSON; up to two fields of each may hold anything."""
    odd = st.dictionaries(st.sampled_from(fields), anything, max_size=2)
    return st.tuples(records, odd).map(lambda both: json.dumps(both[0] | both[1]).encode())


def whole(moment: datetime) -> datetime:
    """Rounded to seconds, as in the store."""
    return moment.astimezone(UTC).replace(microsecond=0)


@settings(max_examples=60, deadline=None)
@given(data=spoilt(alerts, Alert.__struct_fields__))
def test_an_alert_that_decodes_can_be_encoded_stored_and_sent(store: Store, data: bytes):
    try:
        alert = decode(data, Alert)
    except BadRecord:
        return
    assert decode(encode(alert), Alert) == alert
    body, *more = alert_bodies(alert)
    assert max(map(len, (body, *more))) < MAX_BYTES
    options = FormatOptions("desk", "zh", sender="a@b.example", recipients=("c@d.example",))
    assert all(form.messages(alert, options, NOON) for form in FORMATS.values())
    assert json.loads(body)["data"]["id"] == alert.id
    assert message_id(alert).isascii() and message_id(alert).isprintable()
    assert sign(b"k" * 24, message_id(alert), 0, body).startswith("v1,")
    store.alerts.insert([alert])
    found = store.alerts.get(alert.id)
    assert found is not None
    assert (found.rule, found.series, found.severity, found.evidence) == (alert.rule, alert.series, alert.severity, alert.evidence)
    assert (found.window_start, found.detected_at) == (whole(alert.window_start), whole(alert.detected_at))
    numbers = (alert.window_s, alert.observed, alert.total, alert.sources, alert.expected, alert.surprise)
    kept = (found.window_s, found.observed, found.total, found.sources, found.expected, found.surprise)
    assert kept == pytest.approx(numbers, rel=1e-9, abs=1e-300)


@settings(max_examples=60, deadline=None)
@given(data=spoilt(scores, Score.__struct_fields__))
def test_a_score_that_decodes_can_be_encoded_and_stored(store: Store, data: bytes):
    try:
        score = decode(data, Score)
    except BadRecord:
        return
    assert decode(encode(score), Score) == score
    article = Article(
        id=score.id, source=score.source, language=score.language, title="t", published_at=score.published_at, fetched_at=NOON
    )
    item = Scored(article=article, score=score)
    store.articles.insert([item])
    store.mentions.insert([score])
    store.articles.insert_keys([item])
    since = whole(score.published_at)
    (found,) = store.articles.scores([score.id], since, since + timedelta(seconds=1))
    assert (found.source, found.story, found.model, list(found.topics)) == (score.source, score.story, score.model, list(score.topics))
    assert (found.published_at, found.scored_at) == (since, whole(score.scored_at))
    assert [(each.company, each.role) for each in found.companies] == [(each.company, each.role) for each in score.companies]
    assert (found.p_negative, *found.topics.values()) == pytest.approx((score.p_negative, *score.topics.values()), abs=1e-6)
    assert store.articles.keys([score.id])[score.id].story == score.story


SQL = (
    "file('/etc/passwd')",
    "' UNION ALL SELECT * FROM file('/etc/passwd', 'LineAsString', 'l String') --",
    "x') OR 1=1 --",
    "'||file('/etc/passwd')||'",
    "\\N",
    "\\",
    "\\' OR 1=1 --",
    "{ids:Array(String)}",
    "%(stage)s %s %",
    "NULL",
    "\x00",
)


@pytest.fixture(scope="module")
def filled(store: Store) -> Store:
    """With a row where each reader looks: a condition that is always true would show it."""
    for table in ("articles", "article_keys", "mentions", "alerts"):  # what the tests above left there
        store.client.command(f"TRUNCATE TABLE {table}")
    alert = decode(json.dumps(ALERT).encode(), Alert)
    store.alerts.insert([alert])
    store.peaks.insert("r", [PeakRow("topic:credit", NOON, 900, 6.0)])
    store.dead_letters.insert(
        [DeadLetter(topic="t", partition=0, offset=0, failed_at=NOON, stage="decode", reason="", key=b"", value=b"x")]
    )
    score = decode(json.dumps(SCORE).encode(), Score)
    item = Scored(article=Article(id=score.id, source="s", language="en", title="t", published_at=NOON, fetched_at=NOON), score=score)
    store.articles.insert([item])
    store.mentions.insert([score])
    store.articles.insert_keys([item])
    return store


ALERT = {"id": "a" * 32, "rule": "r", "series": "topic:credit", "window_start": TIME, "window_s": 900, "detected_at": TIME} | {
    "severity": "warning", "observed": 9, "expected": 1.0, "surprise": 6.0, "total": 12, "sources": 4
}  # fmt: skip
SCORE = {"id": "b" * 32, "source": "s", "language": "en", "published_at": TIME, "story": "b" * 32, "topics": {"credit": 1.0}} | {
    "p_negative": 1.0, "p_neutral": 0.0, "p_positive": 0.0, "model": "m", "scored_at": TIME
}  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(value=st.one_of(st.sampled_from(SQL), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)))
@example(value=SQL[0])
@example(value=SQL[1])
def test_no_query_parameter_is_sql(filled: Store, value: str):
    assume(value not in ("r", "s", "t", "m"))  # what is there indeed
    store, day = filled, timedelta(days=1)
    span = (NOON - day, NOON + day)
    assert store.alerts.get(value) is None
    assert store.alerts.deliveries([value]) == []
    assert store.alerts.last_alerts("r", [value], NOON - day) == store.alerts.last_alerts(value, ["topic:credit"], NOON - day) == {}
    assert store.articles.keys([value]) == {}
    assert store.articles.by_id([value]) == []
    assert store.articles.scores([value], *span) == []
    assert store.articles.latest(language=value, since=NOON - day) == []
    assert store.articles.of_series(value, *span, 9) == store.articles.newest_of(value, *span, 9) == []
    assert store.mentions.window_counts(value, *span, 3600) == []
    assert store.mentions.minutes([value], *span) == {}
    assert store.mentions.negative_sources(value, *span) == {}
    assert store.mentions.articles_of(value, *span, 9) == store.mentions.articles_of(value, *span, 9, every=True) == []
    assert store.peaks.since(value, NOON - day) == []
    assert store.mentions.sentiment([value], *span, 3600) == []
    assert store.rollups.sentiment([value], *span, 86_400) == []
    assert store.labels.sample(value, 9) == []
    assert store.dead_letters.latest(stage=value) == []
    assert store.dead_letters.get(value, 0, 0) is None
    if not (value.isalpha() and value.isascii()):
        with pytest.raises(ValueError, match="kinds"):
            store.mentions.totals(*span, [value])


def test_query_parameters_dropped_and_changed_nothing(filled: Store):
    """After the test above: the tables are there, and what was in them."""
    assert filled.pending() == []
    assert filled.alerts.get("a" * 32) is not None
    assert filled.articles.keys(["b" * 32])
    assert filled.dead_letters.count() == 1


def test_a_lone_surrogate_is_rejected_and_the_store_keeps_working(store: Store):
    """No encoding can carry a lone surrogate, and a browser can send one."""
    with pytest.raises(StoreError):
        store.alerts.get("\ud800")
    assert store.alerts.get("x") is None
