"""Seals of records: only what was sealed with the key, for this topic and under this key, opens."""

from __future__ import annotations

import pytest

from core.record_seals import RecordSeal, new_seal_key

SEAL = RecordSeal(new_seal_key())
VALUE = '{"title": "某公司债券违约"}'.encode()


@pytest.mark.parametrize("key", [None, b"", b"k", "键".encode()])
def test_a_sealed_record_opens_unchanged(key: bytes | None):
    sealed = SEAL.seal("articles", key, VALUE)
    assert VALUE in sealed
    assert SEAL.open("articles", key, sealed) == VALUE


def test_a_record_of_somebody_else_does_not_open():
    sealed = SEAL.seal("articles", b"k", VALUE)
    other = RecordSeal(new_seal_key())
    forged = [VALUE, b"", None, other.seal("articles", b"k", VALUE), sealed[:-1], sealed + b" ", sealed[:36], b"\0TS1" + bytes(32) + VALUE]
    forged += [bytes([*sealed[:place], sealed[place] ^ 1, *sealed[place + 1 :]]) for place in range(len(sealed))]
    assert [SEAL.open("articles", b"k", value) for value in forged] == [None] * len(forged)


def test_a_record_does_not_open_in_another_topic_or_under_another_key():
    sealed = SEAL.seal("articles", b"k", VALUE)
    assert SEAL.open("alerts", b"k", sealed) is None
    assert SEAL.open("articles", b"", sealed) is SEAL.open("articles", None, sealed) is None
    assert SEAL.open("article", b"sk", SEAL.seal("articles", b"k", VALUE)) is None


def test_without_a_key_records_pass_unchanged():
    assert RecordSeal().seal("articles", b"k", VALUE) == VALUE
    assert RecordSeal().open("articles", b"k", VALUE) == VALUE
    assert RecordSeal().open("articles", b"k", None) is None
