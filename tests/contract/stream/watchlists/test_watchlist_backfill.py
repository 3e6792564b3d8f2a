"""Watchlists in the store: counted like other series, backfilled once, and again after a change; over both ClickHouse clients."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.records import Article, encode, sha
from models.inference.keyword import KeywordClassifier
from storage.store import Store
from stream.detection.spike_rule import SpikeRule
from stream.watchlists.keywords import parse_keyword
from stream.watchlists.matcher import Matcher
from stream.watchlists.watchlist_backfill import add_mentions, backfill_watchlists, matched_articles
from stream.watchlists.watchlists import Watchlist
from stream.worker.batches import RawMessage
from stream.worker.pipeline import Pipeline
from tests.helpers.stores import ARTICLE_TABLES, NOON, save, scored
from tests.helpers.waiting import until

SINCE, UNTIL = NOON - timedelta(days=2), NOON + timedelta(hours=2)


@pytest.fixture(autouse=True)
def empty(store: Store) -> None:
    for table in (*ARTICLE_TABLES, "dirty_hours"):
        store.client.command(f"TRUNCATE TABLE {table}")


def matcher(*keywords: str, companies: tuple[str, ...] = ()) -> Matcher:
    terms = tuple(parse_keyword(keyword) for keyword in keywords)
    return Matcher([Watchlist(name="desk", title_en="Desk", title_zh="关注", companies=companies, terms=terms)])


def counted(store: Store) -> list[tuple[int, int]]:
    return [(count.negative, count.total) for count in store.mentions.window_counts("watchlist:desk", SINCE, UNTIL, 4 * 86_400)]


ITEMS = (
    scored("a", title="某公司债券违约", negative=0.9, story="s1"),
    scored("b", minutes=1, title="转载：某公司债券违约", negative=0.9, story="s1"),
    scored("c", minutes=-900, title="Bond DEFAULT feared", negative=0.2),
    scored("d", minutes=3, title="Profit up", negative=0.9),
)


def test_watchlist_mentions_are_counted_and_read_with_the_score(store: Store):
    save(store, *matcher("违约 | default").add_watchlists(ITEMS))
    assert counted(store) == [(1, 2)]  # the copy is the same story
    assert "watchlist:desk" in {total.series for total in store.mentions.totals(SINCE, UNTIL)}
    assert list(store.mentions.negative(SINCE, 600, ["watchlist"])) == ["watchlist:desk"]
    ids = [item.score.id for item in ITEMS]
    watched = {score.id: score.watchlists for score in store.articles.scores(ids, SINCE, UNTIL)}
    (own,) = watched[sha("a")]
    assert (own.name, own.p_negative, own.p_neutral, own.p_positive) == ("desk", *(pytest.approx(p, abs=1e-6) for p in (0.9, 0.05, 0.05)))
    assert watched[sha("d")] == ()
    assert store.articles.of_series("watchlist:desk", NOON, UNTIL)[0].title.endswith("违约")


def test_a_backfill_keeps_the_materiality_of_the_articles(store: Store):
    save(
        store,
        scored("球赛", title="球队违约", negative=0.9, materiality=(0.5, 0.125, 0.0)),
        scored("债券", minutes=1, title="某公司债券违约", negative=0.9, materiality=(1.0, 0.875, 0.5)),
        scored("older", minutes=2, title="另一公司违约", negative=0.9),
    )
    assert add_mentions(store, matcher("违约"), ["desk"], SINCE, UNTIL) == 3
    assert counted(store) == [(2, 2)], "the match does not bear on prices, and the older model did not predict it"
    everything = store.mentions.counting(0.0).window_counts("watchlist:desk", SINCE, UNTIL, 4 * 86_400)
    assert [(count.negative, count.total) for count in everything] == [(3, 3)]


def test_the_pipeline_matches_scored_articles(store: Store):
    moment = datetime.now(UTC).replace(microsecond=0)
    articles = [
        Article(id=sha(title), source="s", genre="social", language="zh", title=title, published_at=moment, fetched_at=moment)
        for title in ("某公司债券违约，股票停牌", "某公司利润增长")
    ]
    pipeline = Pipeline(KeywordClassifier(), store, SpikeRule(), matcher=matcher("违约"))
    batch = pipeline.score([RawMessage("articles", 0, n, None, encode(article)) for n, article in enumerate(articles)], moment)
    assert [(score.genre, [each.name for each in score.watchlists]) for score in batch.scores] == [("social", ["desk"]), ("social", [])]
    again = pipeline.score([RawMessage("articles", 0, 9, None, encode(articles[0]))], moment)
    assert [(score.genre, [each.name for each in score.watchlists]) for score in again.scores] == [("social", ["desk"])]
    touched = {total.series for total in store.mentions.totals(moment, moment + timedelta(seconds=1))}
    assert {"watchlist:desk", "genre:social", "language:zh"} <= touched


def test_a_new_watchlist_is_backfilled_once(store: Store):
    save(store, *ITEMS)
    assert counted(store) == []
    first = matcher("违约 | default")
    assert backfill_watchlists(store, first, SINCE, UNTIL) == 3
    assert counted(store) == [(1, 2)]
    assert backfill_watchlists(store, first, SINCE, UNTIL) == 0
    assert backfill_watchlists(store, matcher("default | 违约"), SINCE, UNTIL) == 0  # the same in other words
    assert store.watchlists.filled() == {"desk": first.watchlists[0].digest}


def test_a_changed_watchlist_loses_its_old_mentions(store: Store):
    save(store, *ITEMS)
    backfill_watchlists(store, matcher("违约 | default"), SINCE, UNTIL)
    assert backfill_watchlists(store, matcher("Profit"), SINCE, UNTIL) == 1
    until(lambda: counted(store) == [(1, 1)], "the store deletes in its own time", 30)
    (watched,) = store.articles.scores([sha("d")], SINCE, UNTIL)
    assert [each.name for each in watched.watchlists] == ["desk"]


def test_companies_of_a_watchlist_are_backfilled(store: Store):
    save(store, *ITEMS)
    assert backfill_watchlists(store, matcher("!违约", companies=("ACME",)), SINCE, UNTIL) == 2
    assert sum(len(rows) for rows, _ in matched_articles(store, matcher("x"), SINCE, UNTIL)) == 4
