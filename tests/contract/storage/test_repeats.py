"""Repeats of sources in the store, and the counts by which the sentiment of sources is compared, over both ClickHouse clients."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from stats.source_shares import ShareCount
from storage.store import Store, StoredRepeat
from tests.helpers.stores import NOON, SPECIAL_CHARACTERS, save, scored

AT = datetime(2026, 11, 22, 6, 5, tzinfo=UTC)
REPEAT = StoredRepeat(source="财经", place="start", text="北方社0月0日电，", example="北方社5月18日电，", texts=87, total=100, at=AT)


@pytest.fixture(autouse=True)
def empty(store: Store) -> None:
    for table in ("articles", "article_keys", "mentions", "source_repeats"):
        store.client.command(f"TRUNCATE TABLE {table}")


def test_repeats_replace_themselves_and_end(store: Store):
    tail = msgspec.structs.replace(REPEAT, place="end", text=SPECIAL_CHARACTERS, example=SPECIAL_CHARACTERS, texts=90)
    store.repeats.put([REPEAT, tail])
    renewed = msgspec.structs.replace(REPEAT, texts=50, at=AT + timedelta(hours=1))
    store.repeats.put([renewed])
    assert store.repeats.all() == [tail, renewed]
    assert (tail.share, renewed.share) == (0.9, 0.5)
    store.repeats.put([msgspec.structs.replace(tail, ended=True)])
    assert store.repeats.all() == [renewed]
    store.repeats.put([tail])
    assert store.repeats.all() == [tail, renewed], "what has ended may begin again"


def test_sentiment_is_counted_by_source_language_and_window(store: Store):
    hours = (-1, -23, -25, -6 * 24, -8 * 24)
    for n, hour in enumerate(hours):
        save(store, scored(f"a{n}", minutes=60 * hour, source="a", negative=0.9 if n % 2 == 0 else 0.1))
    other = scored("b", minutes=-60, source="财经")
    chinese = msgspec.structs.replace(other.score, language="zh")
    save(store, msgspec.structs.replace(other, article=msgspec.structs.replace(other.article, language="zh"), score=chinese))
    assert store.health.source_sentiment(NOON) == {
        "24h": [ShareCount("a", "en", 2, 1), ShareCount("财经", "zh", 1, 0)],
        "7d": [ShareCount("a", "en", 4, 2), ShareCount("财经", "zh", 1, 0)],
    }
