"""Batches: decoding, dead letters, versions of articles and scores."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.records import Alert, Article, Mention, Score, decode, encode, sha
from models.inference.classifier import Prediction, SentimentProbabilities, invalid_reason
from stream.worker.batches import RawMessage, decode_batch, latest_versions, score_of
from tests.helpers.strategies import articles, examples

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
messages = st.lists(st.one_of(articles.map(encode), st.binary(max_size=30), st.none(), st.just(b"{}")), max_size=8)


def article(name: str = "a", title: str = "油价暴跌 Oil plunges", minute: int = 0, **more: object) -> Article:
    moment = NOON + timedelta(minutes=minute)
    return Article(id=sha(name), source="wire", language="zh", title=title, published_at=moment, fetched_at=moment, **more)  # type: ignore[arg-type]


def raw(value: bytes | None, offset: int = 0) -> RawMessage:
    return RawMessage("articles", 0, offset, b"key", value)


def changed(**fields: object) -> bytes:
    return msgspec.json.encode(msgspec.to_builtins(article()) | fields)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "tombstone"),
        (b"", "tombstone"),
        (b"not json", "not a valid Article"),
        (encode(article())[:-9], "not a valid Article"),
        (b"[]", "Expected `object`, got `array`"),
        (b"null", "Expected `object`, got `null`"),
        (b"{}", "missing required field"),
        (changed(id=7), "Expected `str`, got `int`"),
        (changed(v=2), "Invalid enum value 2"),
        (changed(published_at="yesterday"), "Invalid RFC3339"),
        (changed(published_at="2026-11-20T12:00:00"), "timezone"),
        (changed(published_at="0026-11-20T12:00:00Z"), "1971 to 2100"),
        (changed(title="", text=""), "needs a title or a text"),
        (b'{"title": "\\ud800"}', "not a valid Article"),
        (b"[" * 100_000, "not a valid Article"),
        (encode(article()).replace(b"wire", b"w\xff"), "not a valid Article"),
    ],
)
def test_an_undecodable_message_becomes_a_dead_letter_with_reason_and_bytes(value: bytes | None, reason: str):
    good, dead = decode_batch([raw(encode(article("x")), 1), raw(value, 2), raw(encode(article("y")), 3)], Article, NOON)
    assert [record.id for _, record in good] == [sha("x"), sha("y")]
    assert [(letter.offset, letter.stage, letter.value) for letter in dead] == [(2, "decode", value or b"")]
    assert reason in dead[0].reason


ALERT = {
    "id": "a" * 32,
    "rule": "r",
    "series": "topic:energy",
    "window_start": "2026-11-20T12:00:00Z",
    "window_s": 900,
    "detected_at": "2026-11-20T12:08:00Z",
    "severity": "warning",
    "observed": 12,
    "expected": 0.3,
    "surprise": 8.1,
    "total": 15,
    "sources": 4,
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("detected_at", "0001-01-01T00:00:00+14:00"),
        ("detected_at", "9999-12-31T23:59:59-14:00"),
        ("window_start", "1969-12-31T23:59:59Z"),
        ("window_s", 10**12),
        ("window_s", 0),
        ("observed", 10**30),
        ("observed", -1),
        ("total", 2**32),
        ("expected", math.inf),
        ("surprise", math.nan),
        ("id", "a\r\nhost: elsewhere"),
        ("series", ""),
        ("severity", "loud"),
    ],
)
def test_an_alert_out_of_bounds_becomes_a_dead_letter(field: str, value: object):
    good, dead = decode_batch([raw(json.dumps(ALERT).encode(), 1), raw(json.dumps(ALERT | {field: value}).encode(), 2)], Alert, NOON)
    assert (len(good), [(letter.offset, letter.stage) for letter in dead]) == (1, [(2, "decode")])


def test_unknown_fields_are_ignored():
    good, dead = decode_batch([raw(changed(colour="red"))], Article, NOON)
    assert (len(good), dead) == (1, [])


@given(st.binary(max_size=200))
def test_no_bytes_can_stop_a_batch(value: bytes):
    good, dead = decode_batch([raw(value), raw(encode(article()))], Article, NOON)
    assert len(good) + len(dead) == 2
    assert good


def test_the_last_version_of_an_article_keeps_the_time_of_the_first():
    versions = [(raw(None, n), article("a", f"version {n}", minute=n)) for n in range(3)]
    (raw_message, last), (_, other) = latest_versions([versions[0], (raw(None, 9), article("b")), *versions[1:]])
    assert (raw_message.offset, last.title, last.published_at) == (2, "version 2", NOON)
    assert other.id == sha("b")


def test_a_score_has_each_company_once_and_survives_encoding():
    mentions = tuple(
        Mention(company=key, surface=surface, sector="autos") for key, surface in [("A", "Acme"), ("B", "贝塔"), ("A", "ACME")]
    )
    prediction = Prediction(
        SentimentProbabilities(0.7, 0.3000001, -1e-7),
        {"energy": 1.0000002},
        (SentimentProbabilities(1.0, 0.0, 0.0), SentimentProbabilities(0.0, 1.0, 0.0)),
        {"fraud": 1.0000003},
    )
    assert invalid_reason(prediction, 2) == ""
    score = score_of(article(mentions=mentions), prediction, "story", "m1", NOON)
    assert [(c.company, c.p_negative) for c in score.companies] == [("A", 1.0), ("B", 0.0)]
    assert (score.topics, score.risks) == ({"energy": 1.0}, {"fraud": 1.0})
    assert decode(encode(score), Score) == score


@pytest.mark.parametrize(
    "prediction",
    [
        Prediction(SentimentProbabilities(math.nan, 0.5, 0.5), {}),
        Prediction(SentimentProbabilities(0.5, 0.5, 0.5), {}),
        Prediction(SentimentProbabilities(1.5, -0.5, 0.0), {}),
        Prediction(SentimentProbabilities(0.2, 0.3, 0.5), {"energy": math.nan}),
        Prediction(SentimentProbabilities(0.2, 0.3, 0.5), {}, (), {"fraud": math.nan}),
        Prediction(SentimentProbabilities(0.2, 0.3, 0.5), {}, (SentimentProbabilities(0.2, 0.3, 0.5),)),
    ],
)
def test_an_invalid_prediction_is_detected(prediction: Prediction):
    assert invalid_reason(prediction, 0)


@examples(60)
@given(messages)
def test_every_message_becomes_one_record_or_one_dead_letter(values: list[bytes | None]):
    raws = [RawMessage("articles", number % 3, number, b"key", value) for number, value in enumerate(values)]
    good, dead = decode_batch(raws, Article, NOON)
    assert sorted([raw.offset for raw, _ in good] + [letter.offset for letter in dead]) == list(range(len(raws)))
    assert [raw.offset for raw, _ in good] == sorted(raw.offset for raw, _ in good)
    for raw, record in good:
        assert encode(record) == raw.value
    for letter in dead:
        assert letter.reason.startswith(("not a valid Article: ", "empty message"))
        assert (letter.stage, letter.value, letter.partition) == ("decode", values[letter.offset] or b"", letter.offset % 3)


@examples(60)
@given(st.lists(st.tuples(st.integers(0, 4), articles), max_size=10))
def test_of_several_versions_in_a_batch_the_last_is_kept_with_the_time_of_the_first(versions: list[tuple[int, Article]]):
    named = [msgspec.structs.replace(article, id=sha(str(name))) for name, article in versions]
    kept = latest_versions([(RawMessage("articles", 0, number, b"", None), article) for number, article in enumerate(named)])
    assert [article.id for _, article in kept] == list(dict.fromkeys(article.id for article in named))
    for raw, article in kept:
        own = [(number, version) for number, version in enumerate(named) if version.id == article.id]
        assert raw.offset == own[-1][0]
        assert article == msgspec.structs.replace(own[-1][1], published_at=own[0][1].published_at)
