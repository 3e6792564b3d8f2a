"""The articles of the newswire and their times: history, ordinary days, decoys, the crisis."""

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest

from core.taxonomy import TOPIC_KEYS
from ingest.text.copies import is_copy, lead_of
from ingest.text.near_duplicates import lsh_bands, without_frame
from models.inference.canonical import without_patterns
from tocsin.newswire.script import Plan, PublishedArticle, Timeline, crisis, decoys, history, live_minute, weeks_of_history

START = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
PLAN = Plan()


@pytest.fixture(scope="module")
def past():
    return history(7, START, PLAN)


@pytest.fixture(scope="module")
def bad_news():
    return crisis(7, START, PLAN)


@pytest.fixture(scope="module")
def live():
    return [article for minute in range(5) for article in live_minute(7, START, replace(PLAN, lively_s=300), minute)]


def originals(articles: list[PublishedArticle]) -> list[PublishedArticle]:
    return [article for article in articles if not article.copy]


def test_the_seed_determines_the_articles():
    for part in (history, crisis, decoys):
        assert part(3, START, PLAN) == part(3, START, PLAN)
        assert [article.title for article in part(3, START, PLAN)] != [article.title for article in part(4, START, PLAN)]
    assert live_minute(3, START, PLAN, 1) == live_minute(3, START, PLAN, 1) != live_minute(3, START, PLAN, 0)


def test_times_are_relative_to_the_start():
    """Times are whole seconds, as in feeds, and only the texts depend on the day."""
    later = START + timedelta(days=7)
    for part in (crisis, decoys):
        moved = [article.published_at - timedelta(days=7) for article in part(7, later, PLAN)]
        assert moved == [article.published_at for article in part(7, START, PLAN)]
        assert all(moment.microsecond == 0 for moment in moved)


def test_history_has_the_planned_size_and_length(past):
    assert len(past) == PLAN.history_articles
    assert past[0].published_at >= START - timedelta(hours=PLAN.history_h)
    assert past[-1].published_at < START
    assert past == sorted(past, key=lambda article: article.published_at)


def test_history_is_quiet_at_night(past):
    """Articles an hour in Shanghai's morning and in its night."""
    hours = Counter((article.published_at.hour + 8) % 24 for article in past if article.language == "zh")
    assert sum(hours[hour] for hour in range(9, 12)) > 4 * sum(hours[hour] for hour in range(2, 5))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_quiet_news_is_mostly_not_negative(past, live, language):
    for articles in (originals(past), originals([*past, *live])):
        tones = Counter(article.tone for article in articles if article.language == language)
        assert 0.09 < tones["negative"] / tones.total() < 0.22
        assert 0.40 < tones["neutral"] / tones.total() < 0.60


def test_history_covers_all_topics_and_both_languages(past):
    assert {article.topic for article in past} == set(TOPIC_KEYS)
    languages = Counter(article.language for article in past)
    assert min(languages.values()) > 0.4 * len(past)
    assert len({article.source for article in past}) == 8


def test_weeks_of_history_have_weekends_and_a_crisis_each_week():
    articles = weeks_of_history(7, START, days=28, per_day=40)
    assert articles == sorted(articles, key=lambda article: article.published_at)
    assert articles[0].published_at >= START - timedelta(days=28)
    assert articles[-1].published_at < START
    by_weekday = Counter(article.published_at.weekday() for article in articles if article.kind == "quiet")
    weekend = (by_weekday[5] + by_weekday[6]) / 2
    assert 0.1 < weekend / (sum(by_weekday[day] for day in range(5)) / 5) < 0.6
    crises = [article for article in articles if article.crisis]
    begin = START - timedelta(days=28)
    assert {(article.published_at - begin).days // 7 for article in crises} == {0, 1, 2, 3}
    assert len({article.sector for article in crises}) == 4
    assert len({(article.source, article.url) for article in articles}) == len(articles)


def test_headlines_differ(past, live, bad_news):
    titles = [article.title for article in originals([*past, *live, *bad_news])]
    assert len(titles) > 500
    assert len(set(titles)) > 0.95 * len(titles)


def test_the_rate_is_as_planned():
    plan = replace(PLAN, per_minute=40, lively_s=3600)
    count = sum(len(live_minute(7, START, plan, minute)) for minute in range(60))
    assert count / 60 == pytest.approx(40, rel=0.1)
    assert not live_minute(7, START, replace(PLAN, per_minute=0), 0)


def test_after_the_start_the_rate_is_that_of_the_history():
    """Otherwise a demo left running would rightly raise alerts for every series."""
    early = [len(live_minute(7, START, PLAN, minute)) for minute in range(2)]
    late = sum(len(live_minute(7, START, PLAN, minute)) for minute in range(2, 602))
    assert sum(early) / 2 == pytest.approx(PLAN.per_minute, rel=0.4)
    assert late / 10 == pytest.approx(PLAN.history_articles / PLAN.history_h, rel=0.2)


def test_a_third_to_a_half_of_stories_is_copied(past, live):
    versions = Counter(article.story for article in [*past[:-40], *live])
    shares = Counter(versions.values())
    assert 0.3 < 1 - shares[1] / shares.total() < 0.5
    assert set(shares) == {1, 2, 3, 4}


def test_copies_are_similar_and_not_equal(past, bad_news, live):
    """Words of the first version that a copy keeps; headline and last line always differ, and so do the papers."""
    first = {article.story: article for article in originals([*past, *bad_news, *live])}
    copies = [article for article in [*past, *bad_news, *live] if article.copy and article.story in first]
    assert len(copies) > 200
    for article in copies:
        source = first[article.story]
        assert article.title != source.title
        assert article.title.endswith(source.title)
        assert article.paragraphs[-1] != source.paragraphs[-1]
        assert article.paragraphs[1:-1] == source.paragraphs[1:-1]
        assert source.paragraphs[0].endswith(article.paragraphs[0])
        assert article.source != source.source
        assert article.language == source.language
        assert article.published_at >= source.published_at


def test_deduplication_joins_copies_but_not_crisis_stories(past, bad_news, live):
    """With real bands and leads: copies must count as one story in an alert, different stories as two."""
    articles = [*past, *bad_news, *live]
    by_band = defaultdict(list)
    leads = {}
    for article in articles:
        plain = without_patterns(article.title, article.text)
        leads[id(article)] = lead_of(plain.title, without_frame(plain.text))
        for band in lsh_bands(plain.title, plain.text):
            by_band[band].append(article)
    joined = {
        frozenset((a.source + a.url, b.source + b.url)): (a, b)
        for group in by_band.values()
        for a, b in combinations(group, 2)
        if a is not b and is_copy(leads[id(a)], leads[id(b)], a.published_at - b.published_at)
    }
    mistaken = [(a, b) for a, b in joined.values() if a.story != b.story]
    assert not [(a.title, b.title) for a, b in mistaken if "crisis" in (a.kind, b.kind)]
    stories = {article.story for article in articles}
    assert len({frozenset((a.story, b.story)) for a, b in mistaken}) < 0.04 * len(stories), (
        "short news of one kind may be taken for one story"
    )
    by_story = defaultdict(list)
    for article in articles:
        by_story[article.story].append(article)
    pairs = [frozenset((a.source + a.url, b.source + b.url)) for group in by_story.values() for a, b in combinations(group, 2)]
    assert len(pairs) > 300
    assert sum(pair in joined for pair in pairs) > 0.9 * len(pairs)


@pytest.mark.parametrize("sector", ["real_estate", "banks", "autos"])
def test_the_crisis_is_one_sector_in_both_languages_and_on_time(sector):
    plan = replace(PLAN, crisis_sector=sector)
    articles = crisis(7, START, plan)
    begin = START + timedelta(seconds=plan.crisis_after_s)
    stories = originals(articles)
    assert articles[0].published_at == begin
    assert all(begin <= article.published_at <= begin + timedelta(seconds=plan.crisis_lasts_s) for article in stories)
    assert len(stories) == plan.crisis_stories
    assert {article.sector for article in articles} == {sector}
    assert {article.tone for article in articles} == {"negative"}
    assert Counter(article.language for article in stories) == {"en": 10, "zh": 10}
    assert len({article.companies[0] for article in stories}) >= 4
    assert len({article.source for article in articles}) >= 5
    assert len({article.title for article in stories}) == len(stories)
    assert {"real_estate": "real_estate", "banks": "financials", "autos": ""}[sector] in {"", *(article.topic for article in stories)}


def test_decoys_come_before_the_crisis_and_are_no_crisis():
    articles = decoys(7, START, PLAN)
    stories = originals(articles)
    assert all(START <= article.published_at < START + timedelta(seconds=PLAN.crisis_after_s) for article in stories)
    bad = [article for article in articles if article.tone == "negative"]
    assert len({article.story for article in bad}) == 1, "one story, however often it is printed"
    assert len(bad) == 7
    assert {article.sector for article in bad} == {"autos"}
    assert len(stories) - 1 == 14
    assert not [article for article in articles if article.crisis]


def test_without_a_crisis_there_is_none():
    plan = replace(PLAN, crisis_sector="")
    assert crisis(7, START, plan) == decoys(7, START, plan) == []
    assert Timeline(7, START, plan).crisis_began(START + timedelta(days=1)) is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"crisis_sector": "moon"}, "no companies in sector 'moon'"),
        ({"per_minute": -1.0}, "cannot be negative"),
        ({"copied_share": 1.5}, "outside 0 to 1"),
    ],
)
def test_an_invalid_plan_is_rejected(fields, message):
    with pytest.raises(ValueError, match=message):
        Plan(**fields)


def test_the_timeline_shows_exactly_the_published_articles():
    timeline = Timeline(7, START + timedelta(milliseconds=700), PLAN)
    assert timeline.start == START
    seen: list[PublishedArticle] = []
    for second in range(0, 120, 5):
        now = START + timedelta(seconds=second)
        visible = timeline.published(now)
        assert visible[: len(seen)] == seen, "what was published stays, in its place"
        assert all(article.published_at <= now for article in visible)
        seen = visible
    assert len({(article.source, article.url) for article in seen}) == len(seen) > 960


def test_archive_and_latest_have_no_article_in_common():
    timeline = Timeline(7, START, PLAN)
    now = START + timedelta(minutes=2)
    both = []
    for source in {article.source for article in timeline.published(now)}:
        latest = timeline.latest(source, START, 100)
        assert 1 <= len(latest) <= 8, "at the start a feed shows the end of its history"
        both += [*timeline.archive(source), *timeline.latest(source, now, 1000)]
    assert sorted(article.url + article.source for article in both) == sorted(
        article.url + article.source for article in timeline.published(now)
    )


def test_a_frozen_timeline_does_not_change():
    timeline = Timeline(7, START, PLAN)
    before = timeline.published(START + timedelta(seconds=10))
    timeline.freeze(START + timedelta(seconds=10))
    timeline.freeze(START + timedelta(seconds=90))
    assert timeline.published(START + timedelta(hours=1)) == before
    assert timeline.crisis_began(START + timedelta(hours=1)) is None


def test_an_article_has_its_newspapers_dateline(past):
    wire = next(article for article in past if article.source == "Tarn Wire" and not article.copy)
    assert "(Tarn Wire) - " in wire.paragraphs[0]
    agency = next(article for article in past if article.source == "海纳社" and not article.copy)
    assert agency.paragraphs[0].startswith("海纳社")
    assert "日电，" in agency.paragraphs[0]
