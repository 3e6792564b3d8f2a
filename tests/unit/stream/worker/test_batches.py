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
from stream.worker.batches import Raw, latest_versions, decode_batch, score_of
from stream.worker.progress import Progress

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def article(name: str = "a", title: str = "油价暴跌 Oil plunges", minute: int = 0, **more: object) -> Article:
    moment = NOON + timedelta(minutes=minute)
    return Article(id=sha(name), source="wire", language="zh", title=title, published_at=moment, fetched_at=moment, **more)  # type: ignore[arg-type]


def raw(value: bytes | None, offset: int = 0) -> Raw:
    return Raw("articles", 0, offset, b"key", value)


def changed(**fields: object) -> bytes:
    return msgspec.json.encode(msgspec.to_builtins(article()) | fields)


@pytest.mark.parametrize(
    ("value", "why"),
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
def test_a_bad_message_is_set_aside_with_its_reason_and_its_bytes_and_the_rest_go_on(value: bytes | None, why: str):
    good, dead = decode_batch([raw(encode(article("x")), 1), raw(value, 2), raw(encode(article("y")), 3)], Article, NOON)
    assert [record.id for _, record in good] == [sha("x"), sha("y")]
    assert [(letter.offset, letter.stage, letter.value) for letter in dead] == [(2, "decode", value or b"")]
    assert why in dead[0].reason


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
def test_an_alert_that_could_not_be_stored_or_sent_is_set_aside(field: str, value: object):
    good, dead = decode_batch([raw(json.dumps(ALERT).encode(), 1), raw(json.dumps(ALERT | {field: value}).encode(), 2)], Alert, NOON)
    assert (len(good), [(letter.offset, letter.stage) for letter in dead]) == (1, [(2, "decode")])


def test_a_field_of_a_later_version_is_no_reason_to_refuse():
    good, dead = decode_batch([raw(changed(colour="red"))], Article, NOON)
    assert (len(good), dead) == (1, [])


@given(st.binary(max_size=200))
def test_no_bytes_at_all_can_stop_a_batch(value: bytes):
    good, dead = decode_batch([raw(value), raw(encode(article()))], Article, NOON)
    assert len(good) + len(dead) == 2
    assert good


def test_the_last_version_of_an_article_counts_and_its_first_time_stays():
    versions = [(raw(None, n), article("a", f"version {n}", minute=n)) for n in range(3)]
    (place, last), (_, other) = latest_versions([versions[0], (raw(None, 9), article("b")), *versions[1:]])
    assert (place.offset, last.title, last.published_at) == (2, "version 2", NOON)
    assert other.id == sha("b")


def test_a_score_names_each_company_once_and_survives_the_wire():
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
def test_what_no_model_may_say_is_noticed(prediction: Prediction):
    assert invalid_reason(prediction, 0)


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_progress_tells_a_batch_that_takes_too_long():
    clock = Clock()
    progress = Progress(clock)
    batch = progress.started("score")
    clock.now = 9
    assert progress.stuck({}, 10) == ""
    clock.now = 11
    assert progress.stuck({}, 10) == "score has worked on one batch for 11 s"
    progress.finished(batch, [raw(None, 4)])
    assert progress.stuck({}, 10) == ""


def test_progress_tells_a_partition_that_stands_still_although_there_is_work():
    clock = Clock()
    progress = Progress(clock)
    place = ("articles", 0)
    progress.finished(progress.started("score"), [raw(None, 4)])
    for now in range(0, 100, 5):  # all is read: nothing to do is not stuck
        clock.now = now
        assert progress.stuck({place: (None, 5)}, 10) == ""
    clock.now = 104
    assert progress.stuck({place: (None, 9)}, 10) == ""
    clock.now = 106
    assert progress.stuck({place: (None, 9)}, 10) == "articles[0] stands at 5 of 9 for 11 s"
    progress.finished(progress.started("score"), [raw(None, 6)])
    assert progress.stuck({place: (None, 9)}, 10) == ""


def test_a_partition_of_which_nobody_knows_the_start_is_not_called_stuck():
    clock = Clock()
    progress = Progress(clock)
    for clock.now in (0, 100, 200):
        assert progress.stuck({("articles", 1): (None, 50)}, 10) == ""
    assert progress.stuck({("articles", 1): (20, 50)}, 10) == ""
    clock.now = 211
    assert "stands at 20 of 50" in progress.stuck({("articles", 1): (20, 50)}, 10)


def test_a_partition_that_was_given_away_is_forgotten():
    clock = Clock()
    progress = Progress(clock)
    progress.finished(progress.started("score"), [raw(None, 4)])
    progress.stuck({}, 10)
    clock.now = 100
    assert progress.stuck({("articles", 0): (40, 50)}, 10) == ""
