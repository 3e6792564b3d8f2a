"""Articles that do not bear on prices: stored, found and listed, but not counted in series, over both ClickHouse clients."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from core.records import MIN_MATERIALITY, Scored, sha
from core.series import MARKET
from storage.store import Criteria, SourceStories, Store
from tests.helpers.stores import ARTICLE_TABLES, NOON, alert, materiality, save, scored

SINCE, UNTIL = NOON - timedelta(hours=1), NOON + timedelta(hours=1)
URGENT, RELEVANT, BACKGROUND = (1.0, 0.9375, 0.75), (0.875, 0.5, 0.125), (0.5, 0.25, 0.0)
ITEMS = (
    scored("停牌", minutes=1, negative=0.9, source="新华", materiality=URGENT),
    scored("results", minutes=2, negative=0.9, source="wire", materiality=RELEVANT),
    scored("球赛", minutes=3, negative=0.9, source="blog", materiality=BACKGROUND),
    scored("older model", minutes=4, negative=0.9, source="wire"),
)


@pytest.fixture(autouse=True)
def filled(store: Store) -> None:
    for table in (*ARTICLE_TABLES, "rollups", "dirty_hours", "rollup_watermarks"):
        store.client.command(f"TRUNCATE TABLE {table}")
    save(store, *ITEMS)


@pytest.fixture
def counting_all(store: Store) -> Store:
    return Store(store.client, 0.0)


def ids(*items: Scored) -> list[str]:
    return [item.article.id for item in items]


def test_the_prediction_is_read_as_it_was_stored(store: Store):
    expected = {sha("停牌"): materiality(*URGENT), sha("older model"): None}
    rows = store.articles.by_id(list(expected))
    scores = store.articles.scores(list(expected), SINCE, UNTIL)
    found = store.search.find(Criteria(), SINCE, UNTIL, 9).articles
    as_of = store.as_of.articles(store.as_of.places(9))
    for stored in (rows, scores, [row for row in found if row.id in expected], [row for row in as_of if row.id in expected]):
        assert {row.id: row.materiality for row in stored} == expected
    (version,) = store.search.versions(sha("停牌"), ITEMS[0].article.published_at)
    assert version.materiality == expected[sha("停牌")]
    assert [item.level for item in (version.materiality, materiality(*RELEVANT), materiality(*BACKGROUND)) if item] == [3, 2, 1]


@pytest.mark.parametrize(("least", "names"), [(0.0, 4), (MIN_MATERIALITY, 3), (0.51, 2), (1.0, 1)])
def test_series_count_the_articles_that_bear_on_prices_and_those_without_the_prediction(store: Store, least: float, names: int):
    """Two sources reported the three that count by default: results and the unscored one are of the same source."""
    counting = Store(store.client, least)
    mentions = counting.mentions
    assert [(row.negative, row.total) for row in mentions.window_counts(MARKET, NOON, UNTIL, 3600)] == [(names, names)]
    assert sum(mentions.minutes([MARKET], SINCE, UNTIL)[MARKET].stories) == names
    assert sum(mentions.minutes(None, SINCE, UNTIL)["company:ACME"].negative) == names
    assert sum(source.total for source in mentions.negative_sources(MARKET, SINCE, UNTIL).values()) == names
    assert len(mentions.articles_of(MARKET, SINCE, UNTIL, 9)) == len(mentions.articles_of(MARKET, SINCE, UNTIL, 9, every=True)) == names
    assert len(mentions.negative_articles(SINCE, UNTIL)[MARKET]) == len(mentions.negative(SINCE, 60)[MARKET]) == names
    assert {row.stories for row in mentions.totals(SINCE, UNTIL)} == {names}
    sources = {0.0: 3, MIN_MATERIALITY: 2, 0.51: 2, 1.0: 1}[least]
    assert mentions.source_count(MARKET, SINCE, UNTIL, negative=True) == mentions.sources(SINCE, UNTIL) == sources
    assert sum(point.stories for point in mentions.sentiment([MARKET], SINCE, UNTIL, 3600)) == names
    assert sum(point.stories for point in counting.as_of.sentiment(MARKET, SINCE, UNTIL, 3600)) == names
    known = datetime.now(UNTIL.tzinfo) + timedelta(minutes=1)
    assert sum(point.stories for point in counting.as_of.sentiment(MARKET, SINCE, UNTIL, 3600, known)) == names
    assert {row.stories for row in counting.as_of.totals(SINCE, UNTIL, 99)} == {names}
    assert counting.stories.total(MARKET, SINCE, UNTIL).stories == names  # type: ignore[union-attr]
    assert len(counting.stories.of_series(MARKET, "negative", SINCE, UNTIL)) == names
    assert counting.stories.busiest("company", SINCE, UNTIL, 9)[0].stories == names
    assert counting.stories.co_mentioned("topic:earnings", SINCE, UNTIL)[0].stories == names
    assert len(counting.articles.of_series(MARKET, SINCE, UNTIL, min_materiality=least)) == names
    assert store.mentions.counting(least).window_counts(MARKET, NOON, UNTIL, 3600) == mentions.window_counts(MARKET, NOON, UNTIL, 3600)


def test_an_article_that_counts_in_no_series_is_still_stored_found_and_listed(store: Store):
    assert store.articles.totals().articles == 4
    assert {row.id for row in store.articles.latest(9)} == set(ids(*ITEMS))
    assert store.stories.copies(sha("球赛"), NOON) == [sha("球赛")]
    assert set(store.stories.sources(SINCE, UNTIL, 9)) == {"新华", "wire", "blog"}
    assert {hours.source for hours in store.health.source_hours(SINCE, UNTIL)} == {"新华", "wire", "blog"}
    assert len(store.as_of.places(9)) == 4


def test_what_is_left_out_is_counted_by_source(store: Store, counting_all: Store):
    assert store.health.left_out(SINCE) == {"blog": 1}
    assert Store(store.client, 0.6).health.left_out(SINCE) == {"blog": 1, "wire": 1}
    assert counting_all.health.left_out(SINCE) == {}


@pytest.mark.parametrize(
    ("level", "expected"),
    [("", ["older model", "球赛", "results", "停牌"]), ("relevant", ["results", "停牌"]), ("urgent", ["停牌"]), ("nonsense", [])],
)
def test_a_search_filters_by_level_and_leaves_out_what_has_no_prediction(store: Store, level: str, expected: list[str]):
    page = store.search.find(Criteria(materiality=level), SINCE, UNTIL, 9, budget_s=math.inf)
    assert [row.id for row in page.articles] == [sha(name) for name in expected]


def test_a_list_is_filtered_by_probability_of_the_latest_score(store: Store):
    def listed(least: float, **more: Any) -> list[str]:
        return [place.id for place in store.as_of.places(9, min_materiality=least, **more)]

    assert listed(0.0) == [sha(name) for name in ("older model", "球赛", "results", "停牌")]
    assert listed(0.25) == [sha(name) for name in ("球赛", "results", "停牌")]
    assert listed(0.9, series="company:ACME") == [sha("停牌")]
    save(store, scored("停牌", minutes=1, negative=0.9, source="新华", model="m2", materiality=(0.5, 0.125, 0.0)))
    assert listed(0.9) == [], "the row of the older score may still be there until the next merge"
    assert listed(0.125) == [sha(name) for name in ("球赛", "results", "停牌")]


def test_rollups_follow_the_setting_without_waiting_for_a_new_calculation(store: Store, counting_all: Store):
    since = NOON.replace(hour=0) - timedelta(days=4)
    until = since + timedelta(days=5)
    now = until + timedelta(hours=1)

    def stories(some: Store) -> tuple[int, int]:
        line = some.rollups.sentiment([MARKET], since, until, 86_400)
        return sum(point.stories for point in line), some.rollups.totals(since, until, ["market"])[0].stories

    assert store.rollups.refresh(now) > 0 and store.rollups.refresh(now) == 0
    assert stories(store) == (3, 3)
    assert stories(counting_all) == (4, 4), "read from the mentions: the roll-ups have another limit"
    assert counting_all.rollups.refresh(now) > 0
    assert (stories(store), stories(counting_all)) == ((3, 3), (4, 4))
    assert store.rollups.refresh(now) == 0, "the old ones stay valid, for a setting that is changed back"


def test_a_source_counts_the_stories_that_count(store: Store):
    assert store.mentions.negative_sources(MARKET, SINCE, UNTIL) == {"新华": SourceStories(1, 1), "wire": SourceStories(2, 2)}


def test_an_alert_keeps_the_limit_that_its_articles_were_counted_by(store: Store):
    own = msgspec.structs.replace(alert(), min_materiality=0.7)
    store.alerts.insert([own])
    assert store.alerts.get(own.id) == own
