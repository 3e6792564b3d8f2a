"""Properties of all messages: each is a record that the store can hold, or is rejected with a reason."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadRecord
from core.records import NEWEST, OLDEST, Alert, Article, Score, decode, encode
from storage.timestamps import to_epoch
from tests.helpers.strategies import alerts, anything, articles, examples, scores

KINDS: tuple[type[Any], ...] = (Article, Score, Alert)
Record = Article | Score | Alert
records: st.SearchStrategy[Record] = st.one_of(articles, scores, alerts)

COUNTS = ("observed", "total", "sources", "window_s", "stories", "decisive_count", "read", "negative", "step_s")
MAX_VALUES = {"lsh_bands": 2**63 - 1} | dict.fromkeys(COUNTS, 2**32 - 1)
"""Maximum of each column of the store."""


def values(node: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Each value of a record at any depth with the name of its field, without None."""
    if isinstance(node, msgspec.Struct):
        for field in node.__struct_fields__:
            yield from values(getattr(node, field), field)
    elif isinstance(node, dict):
        for key, value in node.items():
            yield name, key
            yield from values(value, name)
    elif isinstance(node, tuple):
        for item in node:
            yield from values(item, name)
    elif node is not None:
        yield name, node


def check(data: bytes, kind: type[Any]) -> Any:
    """The record, checked against the bounds of the store; None if it is rejected with a reason."""
    try:
        record = decode(data, kind)
    except BadRecord as error:
        assert (error.stage, error.reason) != ("decode", "")
        assert kind.__name__ in error.reason or "tombstone" in error.reason
        return None
    assert decode(encode(record), kind) == record
    for name, value in values(record):
        if isinstance(value, datetime):
            assert OLDEST <= value < NEWEST, name
            assert 0 < to_epoch(value) < 2**32
        elif isinstance(value, float):
            assert math.isfinite(value), name
        elif isinstance(value, int):
            assert 0 <= value <= MAX_VALUES.get(name, 1), name
        elif value is not None:
            value.encode("utf-8")
    return record


def as_json(value: Any) -> bytes:
    """Encoded by the standard library, which permits NaN and lone surrogates."""
    return json.dumps(value).encode()


@examples(60)
@given(records)
def test_encoded_records_decode_unchanged(record: Record):
    data = encode(record)
    assert check(data, type(record)) == record
    assert check(json.dumps(json.loads(data)).encode(), type(record)) == record


@examples(60)
@given(st.one_of(st.binary(max_size=60), anything.map(as_json)), st.sampled_from(KINDS))
def test_any_bytes_are_a_record_or_refused(data: bytes, kind: type[Any]):
    check(data, kind)


@examples(200)
@given(records, st.data())
def test_a_record_with_one_wrong_value_is_refused_or_can_be_stored(record: Record, data: st.DataObject):
    plain = msgspec.to_builtins(record)
    place: Any = plain
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(anything)
    check(as_json(plain), type(record))


@examples(40)
@given(records, st.data())
def test_a_missing_field_is_named_and_an_additional_one_ignored(record: Record, data: st.DataObject):
    plain = msgspec.to_builtins(record)
    search_patterns = [field.name for field in msgspec.structs.fields(record) if field.required]
    missing = data.draw(st.sampled_from(search_patterns))
    with pytest.raises(BadRecord, match=f"`{missing}`"):
        decode(msgspec.json.encode({name: value for name, value in plain.items() if name != missing}), type(record))
    assert decode(msgspec.json.encode(plain | {"of a later version": [1]}), type(record)) == record


@examples(40)
@given(records, anything.filter(lambda version: version not in (1, None)))
def test_an_unknown_schema_version_is_rejected(record: Record, version: Any):
    with pytest.raises(BadRecord):
        decode(as_json(msgspec.to_builtins(record) | {"v": version}), type(record))


NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HALVES = {"p_negative": 0.5, "p_neutral": 0.25, "p_positive": 0.25}
SENT = {"id": "a" * 16, "source": "wire", "language": "zh", "published_at": NOON}
ONE: dict[type[Any], dict[str, Any]] = {
    Article: msgspec.to_builtins({**SENT, "title": "涨停", "fetched_at": NOON}),
    Score: msgspec.to_builtins({**SENT, **HALVES, "story": "a", "topics": {}, "model": "m", "scored_at": NOON}),
    Alert: msgspec.to_builtins(
        {"id": "a", "rule": "r", "series": "s", "window_start": NOON, "window_s": 900, "detected_at": NOON, "severity": "info"}
        | {"observed": 3, "expected": 0.5, "surprise": 4.5, "total": 4, "sources": 2}
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_sample_records_are_valid(kind: type[Any]):
    assert check(json.dumps(ONE[kind]).encode(), kind) is not None


TIMES = [
    (Article, "published_at"), (Article, "fetched_at"), (Score, "published_at"), (Score, "scored_at"), (Alert, "window_start"),
    (Alert, "detected_at"), (Alert, "evidence"),
]  # fmt: skip
NUMBERS = [(Score, "p_negative"), (Score, "topics"), (Alert, "observed"), (Alert, "sources"), (Alert, "total"), (Alert, "window_s")]


@pytest.mark.parametrize(("kind", "field"), TIMES)
@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "2106-02-07T06:28:16Z", "9999-12-31T23:59:59-12:00"])
def test_a_time_out_of_bounds_is_rejected(kind: type[Any], field: str, moment: str):
    shown = {"id": "a", "title": "t", "url": "", "source": "s", "published_at": moment, "p_negative": 0.5}
    with pytest.raises(BadRecord, match=f"{kind.__name__}: .* is outside the years 1971 to 2100|{kind.__name__}: .*out of range"):
        decode(msgspec.json.encode(ONE[kind] | {field: [shown] if field == "evidence" else moment}), kind)


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-1", "1.5", "4294967296", "18446744073709551616", "1" + "0" * 5_000]
)
@pytest.mark.parametrize(("kind", "field"), NUMBERS)
def test_a_number_out_of_range_is_rejected(kind: type[Any], field: str, number: str):
    text = json.dumps(ONE[kind] | {field: {"energy": "here"} if field == "topics" else "here"}).replace('"here"', number)
    with pytest.raises(BadRecord, match=kind.__name__):
        decode(text.encode(), kind)


@pytest.mark.parametrize("half", ["\ud83d", "\ude00\ud83d"])
def test_a_lone_surrogate_can_be_neither_encoded_nor_decoded(half: str):
    broken = msgspec.structs.replace(msgspec.convert(ONE[Article], Article), title=half)
    with pytest.raises(BadRecord, match="surrogate"):
        encode(broken)
    with pytest.raises(BadRecord):
        decode(as_json(msgspec.to_builtins(broken)), Article)
