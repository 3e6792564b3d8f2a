"""Queries of the explainer, over chdb in this process and a real server over native TCP."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from core.records import Article, CompanyScore, Mention, Score, Scored, sha
from storage.store import SeriesArticle, Store

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
START = int(NOON.timestamp())
ACME = "company:ACME"


@pytest.fixture(autouse=True)
def empty(store: Store) -> None:
    for table in ("articles", "article_keys", "mentions"):
        store.client.command(f"TRUNCATE TABLE {table}")


def scored(name: str, minute: int, negative: float, *, story: str = "", source: str = "wire", model: str = "m") -> Scored:
    at, rest = NOON + timedelta(minutes=minute), (1 - negative) / 2
    article = Article(
        id=sha(name), source=source, language="zh", title=f"债券违约 {name}", published_at=at, fetched_at=at,
        mentions=(Mention(company="ACME", surface="艾克美"),),
    )  # fmt: skip
    score = Score(
        id=sha(name), source=source, language="zh", published_at=at, story=sha(story or name), topics={"credit": 1.0},
        companies=(CompanyScore(company="ACME", p_negative=negative, p_neutral=rest, p_positive=rest),),
        p_negative=negative, p_neutral=rest, p_positive=rest, model=model, scored_at=at,
    )  # fmt: skip
    return Scored(article=article, score=score)


def save(store: Store, items: Sequence[Scored]) -> None:
    store.articles.insert(items)
    store.mentions.insert([item.score for item in items])


def ids(articles: Sequence[SeriesArticle]) -> list[str]:
    return [mention.id for mention in articles]


def test_articles_of_a_window_come_most_negative_first_and_once(store: Store):
    items = [
        scored("mild", 1, 0.75),
        scored("worst", 2, 0.875, source="新浪财经"),
        scored("copy", 3, 0.875, story="worst"),
        scored("calm", 4, 0.125),
        scored("before", -1, 0.9375),
        scored("after", 15, 0.9375),
    ]
    save(store, items)
    save(store, [*items, scored("mild", 1, 0.625, model="m2")])
    end = NOON + timedelta(minutes=15)
    articles = store.mentions.articles_of(ACME, NOON, end, 9)
    assert ids(articles) == [*sorted([sha("worst"), sha("copy")]), sha("mild")]
    assert SeriesArticle(START + 120, sha("worst"), sha("worst"), "新浪财经", 0.875) in articles
    assert articles[-1].p_negative == 0.625, "the latest score counts"
    assert ids(store.mentions.articles_of(ACME, NOON, end, 2)) == ids(articles)[:2]
    assert ids(store.mentions.articles_of(ACME, NOON, end, 9, every=True)) == [*ids(articles), sha("calm")]
    assert store.mentions.articles_of("company:ACM", NOON, end, 9) == []
    (known,) = [mention for mention in store.mentions.negative_articles(NOON, end)["topic:credit"] if mention.id == sha("mild")]
    assert known.p_negative == 0.625


def test_reference_articles_are_the_newest_before_the_window(store: Store):
    items = [scored(f"n{n}", -n, 0.125) for n in range(1, 40)]
    save(store, [*items, scored("now", 0, 0.875)])
    save(store, items[:10])
    found = store.articles.newest_of(ACME, NOON - timedelta(hours=1), NOON, 5)
    assert {row.id for row in found} == {sha(f"n{n}") for n in range(1, 6)}
    assert {row.surfaces for row in found} == {("艾克美",)}
    assert len(store.articles.newest_of(ACME, NOON - timedelta(minutes=8), NOON, 50)) == 8
    assert [row.id for row in store.articles.latest(3, until=NOON)] == [sha("n1"), sha("n2"), sha("n3")]
    assert len(store.articles.latest(50, since=NOON - timedelta(minutes=20), until=NOON)) == 20
    assert store.articles.latest(5, since=NOON, until=NOON - timedelta(hours=1)) == []
