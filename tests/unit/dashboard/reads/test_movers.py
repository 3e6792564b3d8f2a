"""The biggest movers: compared with the baseline of the hour of the week, over a real store and as a table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from core.cache import Cache
from core.records import Article, CompanyScore, Mention, Score, Scored, sha
from dashboard.pages.overview import movers_table
from dashboard.reads.movers import LEAST_SCORE, Mover, furthest, moved, usual_activities
from dashboard.reads.queries import Reads
from dashboard.view import View
from storage.store import SentimentPoint, SentimentSeries, Store
from tests.helpers.stores import migrated_store

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)  # a Monday
HOUR = timedelta(hours=1)


def point(series: str, start: datetime, stories: int, negative: int, tone: float = 0.0) -> SentimentPoint:
    return SentimentPoint(series, start, tone, stories, negative)


def past(series: str, by_hour: dict[int, int], share: float = 0.2, hours: int = 4 * 168) -> list[SentimentSeries]:
    """Each day the same number of stories at the same hours, `share` of them negative."""
    articles = [hour for hour in (NOW - HOUR * n for n in range(1, hours + 1)) if by_hour.get(hour.hour)]
    counts = [by_hour[hour.hour] for hour in articles]
    starts = [int(hour.timestamp()) for hour in articles]
    return [SentimentSeries(series, starts, [0.0] * len(articles), counts, [round(share * count) for count in counts])]


def test_what_is_busy_at_this_hour_every_day_has_not_moved():
    by_hour = {hour: 40 if 9 <= hour < 15 else 2 for hour in range(24)}
    known = usual_activities(past("topic:x", by_hour), ["topic:x"], NOW - timedelta(weeks=4), NOW, 3_600)
    (noon,) = moved([point("topic:x", NOW, 40, 8)], known, NOW, NOW + HOUR)
    assert noon.usual_stories == pytest.approx(40, abs=2)
    assert furthest([noon], "volume") == furthest([noon], "negative") == []
    (night,) = moved([point("topic:x", NOW + 10 * HOUR, 40, 8)], known, NOW + 10 * HOUR, NOW + 11 * HOUR)
    assert night.usual_stories < 5
    assert furthest([night], "volume") == [night]


def test_a_part_of_an_hour_is_held_against_a_part_of_its_usual():
    known = usual_activities(past("topic:x", dict.fromkeys(range(24), 40)), ["topic:x"], NOW - timedelta(weeks=4), NOW, 3_600)
    (found,) = moved([point("topic:x", NOW, 10, 2)], known, NOW, NOW + HOUR / 4)
    assert found.usual_stories == pytest.approx(10, abs=0.5)
    assert abs(found.scores["volume"]) < LEAST_SCORE


def test_the_share_and_the_tone_are_the_series_own():
    """A share of one half is no change for a series that always has it, and a change for one that never had."""
    steady, fresh = dict.fromkeys(range(24), 20), dict.fromkeys(range(24), 20)
    points = [*past("topic:grim", steady, share=0.5), *past("topic:calm", fresh, share=0.1)]
    known = usual_activities(points, ["topic:grim", "topic:calm"], NOW - timedelta(weeks=4), NOW, 3_600)
    found = moved([point("topic:grim", NOW, 20, 10, -0.1), point("topic:calm", NOW, 20, 10, -0.6)], known, NOW, NOW + HOUR)
    assert [mover.series for mover in furthest(found, "negative")] == ["topic:calm"]
    assert furthest(found, "tone")[0].series == "topic:calm"
    assert furthest(found, "tone")[0].scores["tone"] < 0


def test_one_negative_story_or_a_short_history_gives_no_mover():
    known = usual_activities(past("topic:x", {3: 1}), ["topic:x"], NOW - timedelta(weeks=4), NOW, 3_600)
    assert furthest(moved([point("topic:x", NOW, 1, 1, -1.0)], known, NOW, NOW + HOUR), "negative") == []
    assert usual_activities(past("topic:x", {3: 1}, hours=24), ["topic:x"], NOW - timedelta(days=1), NOW, 3_600) == {}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with migrated_store(tmp_path_factory.mktemp("movers")) as opened:
        yield opened


def article(number: int, moment: datetime, company: str, negative: float) -> Scored:
    ident = sha("movers", str(number))
    mention = Mention(company=company, surface=f"{company} 公司", sector="energy")
    article = Article(
        id=ident,
        source=f"s{number % 3}",
        language="zh",
        title=f"{company} {number}",
        published_at=moment,
        fetched_at=moment,
        mentions=(mention,),
    )
    own = CompanyScore(company=company, sector="energy", p_negative=negative, p_neutral=0.0, p_positive=1 - negative)
    score = Score(
        id=ident, source=article.source, language="zh", published_at=moment, story=ident, p_negative=negative, p_neutral=0.0,
        p_positive=1 - negative, topics={"energy": 0.9}, companies=(own,), model="m", scored_at=moment,
    )  # fmt: skip
    return Scored(article=article, score=score)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_company_in_a_crisis_leads_the_table_whether_or_not_sums_were_made(store: Store, language: str):
    rows = [article(n, NOW - HOUR * n - timedelta(minutes=20), ("HXD", "QBK")[n % 2], 0.1) for n in range(24, 400)]
    rows += [article(1_000 + n, NOW - timedelta(minutes=10 * n + 5), "HXD", 0.95) for n in range(24)]
    rows += [article(2_000 + n, NOW - timedelta(hours=2 * n + 1), "QBK", 0.1) for n in range(10)]
    store.articles.insert(rows)
    store.articles.insert_keys(rows)
    store.mentions.insert([row.score for row in rows])

    def looked() -> tuple[list[Mover], str]:
        reads = Reads(store, lambda: NOW + timedelta(minutes=1), Cache())
        found = reads.movers("24h")
        view = View(language="zh" if language == "zh" else "en", by="negative")
        return found, str(movers_table(found, reads.company_names("24h"), view).to_plotly_json())

    found, shown = looked()
    first = furthest(found, "negative")[0]
    assert first.series in ("company:HXD", "topic:energy", "sector:energy")
    hxd = next(mover for mover in found if mover.series == "company:HXD")
    assert (hxd.stories, hxd.negative) == (24, 24)
    assert hxd.usual_share < 0.1 and hxd.scores["negative"] > 5 and hxd.scores["tone"] < -5
    assert "HXD 公司" in shown and "/series/company/HXD" in shown
    assert ("baseline" if language == "en" else "基线") in shown
    assert "↑" in shown  # never by colour alone
    assert store.rollups.refresh(NOW + timedelta(minutes=1)) >= 0
    again, _ = looked()
    assert [(mover.series, mover.stories, mover.negative) for mover in again] == [(m.series, m.stories, m.negative) for m in found]


def test_without_history_the_table_shows_a_message():
    assert "没有明显异动" in str(
        movers_table([Mover("topic:x", 9, 1, 0.0, 9.0, 1.0, 0.0, {"negative": 0.0, "volume": 0.0, "tone": 0.0})], {}, View(language="zh"))
    )
    assert "less than two days" in str(movers_table([], {}, View()))
