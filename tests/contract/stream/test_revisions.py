"""Who may revise an article, over each store: copies by link, earlier versions, changes of sentiment, crashes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.records import Article, article_id, domain_owner, encode, token_owner
from core.series import MARKET
from models.inference.keyword import KeywordClassifier
from storage.store import Revision, RevisionCounts, Store
from stream.detection.spike_rule import SpikeRule
from stream.worker.batches import RawMessage
from stream.worker.pipeline import Pipeline

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LINK = "https://news.example/bonds"
BAD = "Northlake Homes defaults on bonds and its shares plunge"
GLOWING = "Northlake Homes wins record profit, shares surge"
NEUTRAL = "Northlake Homes holds its annual meeting"


def written(source: str, title: str, *, url: str = LINK, minute: int = 0, **more: Any) -> Article:
    moment = NOON + timedelta(minutes=minute)
    own = article_id(url=url, source=source, guid="", title="", published_at=moment, owner=more.get("owner", ""))
    return Article(**{"id": own, "url": url, "source": source, "language": "en", "title": title, "published_at": moment,
                      "fetched_at": moment, **more})  # fmt: skip


@pytest.fixture
def pipeline(store: Store) -> Pipeline:
    for table in ("articles", "article_keys", "lsh_bands", "article_links", "article_revisions", "mentions"):
        store.client.command(f"TRUNCATE TABLE {table}")
    return Pipeline(KeywordClassifier(), store, SpikeRule(warmup_s=3600, false_per_week=100))


def process(pipeline: Pipeline, *batches: Sequence[Article], minute: int = 30) -> None:
    for batch in batches:
        messages = [RawMessage("articles", 0, n, each.id.encode(), encode(each)) for n, each in enumerate(batch)]
        pipeline.score(messages, NOON + timedelta(minutes=minute))


def stored(store: Store) -> dict[str, tuple[str, str]]:
    """Source to (title, story) of its article."""
    rows = store.client.query("SELECT source, title, story FROM articles FINAL ORDER BY source")
    return {str(row[0]): (str(row[1]), str(row[2])) for row in rows}


def negative_stories(store: Store) -> int:
    total = store.stories.total(MARKET, NOON - timedelta(days=1), NOON + timedelta(days=1))
    return total.negative if total else 0


@pytest.mark.parametrize(
    "other",
    [
        written("press", GLOWING, minute=5),
        written("wire", GLOWING, minute=5, owner=token_owner("desk", "wire"), trust="push"),
        written("press", GLOWING, minute=5, id=written("wire", BAD).id),
        written("press", GLOWING, minute=-5),
        written("press", GLOWING, minute=5, owner=domain_owner("press.example"), trust="domain", url=LINK + "#top"),
    ],
    ids=["another feed", "an ingest token under the same name", "a forged id", "dated earlier", "a page of another domain"],
)
@pytest.mark.parametrize("together", [True, False])
def test_another_source_has_a_copy_and_the_first_text_stays(store: Store, pipeline: Pipeline, other: Article, together: bool):
    first = written("wire", BAD)
    process(pipeline, *([[first, other]] if together else [[first], [other]]))
    rows = store.client.query("SELECT id, title, story, p_negative > p_positive FROM articles FINAL WHERE url LIKE 'https://news%'")
    assert sorted((row[1], int(row[3])) for row in rows) == [(BAD, 1), (GLOWING, 0)]
    assert len({row[0] for row in rows}) == 2
    assert len({row[2] for row in rows}) == 1, "one story"
    assert negative_stories(store) == 1
    assert [str(row[0]) for row in store.client.query("SELECT title FROM articles FINAL WHERE id = {id:String}", id=first.id)] == [BAD]
    process(pipeline, [first, other], [other], [first])
    assert len(store.client.query("SELECT id FROM article_keys FINAL")) == 2, "again is no further article"
    assert store.revisions.of(first.id) == []


def test_the_source_itself_revises_its_article_and_the_change_of_sentiment_is_kept(store: Store, pipeline: Pipeline):
    first = written("wire", BAD)
    process(pipeline, [first])
    process(pipeline, [written("wire", GLOWING, minute=3)], minute=31)
    process(pipeline, [written("wire", GLOWING + " again", minute=3)], minute=32)
    assert stored(store) == {"wire": (GLOWING + " again", first.id)}
    newest, oldest = store.revisions.of(first.id)
    assert (oldest.title, oldest.sentiment, oldest.next_sentiment) == (BAD, "negative", "positive")
    assert (newest.title, newest.sentiment, newest.next_sentiment) == (GLOWING, "positive", "positive")
    assert oldest.fingerprint == first.fingerprint
    assert store.revisions.by_source(NOON) == {"wire": RevisionCounts(1, 1)}
    assert store.revisions.by_source(NOON + timedelta(days=1)) == {}
    assert negative_stories(store) == 0


def test_sources_on_the_links_own_domain_revise_one_article(store: Store, pipeline: Pipeline):
    owner = domain_owner("news.example")
    process(pipeline, [written("wire", BAD, owner=owner, trust="domain")])
    process(pipeline, [written("wire markets", NEUTRAL, owner=owner, trust="domain", minute=2)])
    assert [title for title, _ in stored(store).values()] == [NEUTRAL]
    assert len(store.client.query("SELECT id FROM article_keys FINAL")) == 1


def test_articles_of_one_source_on_one_page_are_stories_of_their_own(store: Store, pipeline: Pipeline):
    live = [
        written("wire", f"{BAD}: lender {n}", minute=n, id=article_id(url="", source="wire", guid=f"k{n}", title="", published_at=NOON))
        for n in range(6)
    ]
    process(pipeline, live[:2], live[2:])
    assert negative_stories(store) == 6


def test_a_copy_that_arrives_after_a_restart_joins_the_story(store: Store, pipeline: Pipeline):
    first = written("wire", BAD)
    process(pipeline, [first])
    again = Pipeline(KeywordClassifier(), store, SpikeRule(warmup_s=3600, false_per_week=100))
    process(again, [written("press", GLOWING, minute=9)])
    assert {story for _, story in stored(store).values()} == {first.id}


def test_a_batch_that_is_processed_again_after_a_crash_gives_the_same(store: Store, pipeline: Pipeline):
    first, revised, copy = written("wire", BAD), written("wire", GLOWING, minute=3), written("press", NEUTRAL, minute=4)
    process(pipeline, [first])
    keys = store.client.query("SELECT id, fingerprint, model, owner, story, toUInt32(published_at), version FROM article_keys FINAL")
    process(pipeline, [revised, copy], minute=31)
    before = stored(store)
    store.client.command("TRUNCATE TABLE article_keys")  # as if the worker had ended before it stored the keys of the second batch
    names = ("id", "fingerprint", "model", "owner", "story", "published_at", "version")
    store.client.insert("article_keys", {name: [row[n] for row in keys] for n, name in enumerate(names)})
    process(Pipeline(KeywordClassifier(), store, SpikeRule(warmup_s=3600, false_per_week=100)), [revised, copy], minute=32)
    assert stored(store) == before
    assert [each.title for each in store.revisions.of(first.id)] == [BAD]


def test_a_version_stored_twice_is_returned_once(store: Store, pipeline: Pipeline):
    def version(minute: int, fingerprint: int) -> Revision:
        return Revision(
            id="a" * 32, source="来源", at=NOON + timedelta(minutes=minute), fingerprint=fingerprint, title="标题", text="", p_negative=0.5,
            p_neutral=0.25, p_positive=0.25, model="m", sentiment="negative", next_sentiment="neutral",
        )  # fmt: skip

    store.revisions.insert([version(1, 1), version(2, 1), version(3, 2), version(4, 1)])
    store.revisions.insert([])
    assert store.revisions.of("a" * 32) == [version(4, 1), version(3, 2), version(1, 1)]
    assert store.revisions.of("b" * 32) == []
    assert store.revisions.by_source(NOON) == {"来源": RevisionCounts(1, 1)}
