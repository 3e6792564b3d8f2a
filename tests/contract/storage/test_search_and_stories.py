"""Article search and stories, over both ClickHouse clients."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.records import Alert, alert_id, sha
from storage.search_terms import MAX_CHARS, MAX_TERMS
from storage.store import CompanyProfile, Criteria, Label, SearchCursor, SeriesTotal, Store, StoryCoverage
from tests.helpers.stores import NOON, save, scored_article

SINCE, UNTIL = NOON - timedelta(days=30), NOON + timedelta(hours=1)


NEWS = (
    scored_article(
        "default", "Acme defaults on a bond", "The company said it missed a payment.", minutes=0, companies={"ACME": ("Acme", "autos", 0.9)}
    ),
    scored_article(
        "said", "Nothing was said of chips", minutes=-1, p=(0.1, 0.8, 0.1), topics={"technology": 0.8}, source="blog", genre="social"
    ),
    scored_article("ai", "用AI技术的公司停牌", "债券违约后，公司股票停牌。", minutes=-2, language="zh", source="新华"),
    scored_article(
        "bond",
        "万科债券展期",
        "房企债券再度展期",
        minutes=-3 * 60,
        language="zh",
        p=(0.3, 0.3, 0.4),
        topics={"real_estate": 0.7, "credit": 0.6},
    ),
    scored_article("payment", "A payment was not missed", 'Traders call it "100% c++ (sure)"', minutes=-20 * 24 * 60, p=(0.1, 0.2, 0.7)),
)


@pytest.fixture(scope="module")
def filled(store: Store) -> Store:
    for table in ("articles", "article_keys", "mentions", "alerts", "labels"):
        store.client.command(f"TRUNCATE TABLE {table}")
    save(store, *NEWS)
    return store


def titles(store: Store, **criteria: str) -> list[str]:
    found = store.search.find(Criteria(**criteria), SINCE, UNTIL, 50, budget_s=math.inf)
    assert found.then is None and found.reached is None
    return [article.title for article in found.articles]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("", ["default", "said", "ai", "bond", "payment"]),
        ("DEFAULT", ["default"]),
        ("missed payment", ["default", "payment"]),
        ('"missed a payment"', ["default"]),
        ('"default"', []),  # whole words: it says "defaults"
        ("payment -bond", ["payment"]),
        ("AI", ["ai"]),  # not "said"
        ("违约", ["ai"]),
        ("公司 停牌", ["ai"]),
        ("债券 -违约", ["bond"]),
        ("“债券再度展期”", ["bond"]),
        ("-payment", ["said", "ai", "bond"]),
        ("100% c++ (sure)", ["payment"]),
        ("nowhere", []),
        ("违约.*停牌", []),  # a pattern is not a pattern here
    ],
)
def test_a_search_finds_articles_in_both_languages_newest_first(filled: Store, words: str, names: list[str]):
    expected = {name: item.article.title for name, item in zip(["default", "said", "ai", "bond", "payment"], NEWS, strict=True)}
    assert titles(filled, words=words) == [expected[name] for name in names]


@pytest.mark.parametrize(
    ("criteria", "places"),
    [
        ({"language": "zh"}, [2, 3]),
        ({"source": "新华"}, [2]),
        ({"genre": "social"}, [1]),
        ({"topic": "credit"}, [0, 2, 3, 4]),
        ({"topic": "credit", "language": "zh", "words": "停牌"}, [2]),
        ({"company": "ACME"}, [0]),
        ({"company": "Acme"}, [0]),
        ({"sentiment": "negative"}, [0, 2]),
        ({"sentiment": "neutral"}, [1]),
        ({"sentiment": "positive"}, [3, 4]),
        ({"sentiment": "furious"}, []),
    ],
)
def test_filters_are_combined(filled: Store, criteria: dict[str, str], places: list[int]):
    assert titles(filled, **criteria) == [NEWS[place].article.title for place in places]


def test_pages_neither_skip_nor_repeat_articles(store: Store):
    for table in ("articles", "mentions"):
        store.client.command(f"TRUNCATE TABLE {table}")
    save(store, *(scored_article(f"p{n}", f"Bond {n}", minutes=-(n // 7) * 50) for n in range(60)))  # seven share a second
    save(store, *(scored_article(f"p{n}", f"Bond {n}", minutes=-(n // 7) * 50, model="m2") for n in range(0, 60, 3)))
    seen: list[str] = []
    before: SearchCursor | None = None
    while True:
        found = store.search.find(Criteria(words="bond"), SINCE, UNTIL, 9, before=before, budget_s=math.inf)
        seen += [article.id for article in found.articles]
        if found.then is None:
            break
        before = found.then
    moment = {sha(f"p{n}"): -(n // 7) * 50 for n in range(60)}
    assert seen == sorted(moment, key=lambda ident: (-moment[ident], ident))


def test_an_article_with_two_publication_times_hides_no_other(store: Store):
    """The search looks at one stretch of time after the other; it is in two of them."""
    save(store, *(scored_article("twice", "moved", minutes=minutes) for minutes in (30, -60)))
    save(store, *(scored_article(f"m{n}", "moved", minutes=-90 - n) for n in range(4)))
    since = NOON - timedelta(hours=6)
    found = store.search.find(Criteria(words="moved"), since, UNTIL, 2, budget_s=math.inf)
    assert found.then is not None, "there are more"
    rest = store.search.find(Criteria(words="moved"), since, UNTIL, 9, before=found.then, budget_s=math.inf)
    seen = [article.id for article in (*found.articles, *rest.articles)]
    assert set(seen) == {sha("twice"), *(sha(f"m{n}") for n in range(4))}


def test_a_search_out_of_time_reports_how_far_it_got_and_continues_there(store: Store):
    store.client.command("TRUNCATE TABLE articles")
    save(
        store,
        scored_article("a", "Bond a"),
        scored_article("edge", "Bond on the hour", minutes=-60),
        scored_article("b", "Bond b", minutes=-260),
    )
    since, seen, reached = NOON - timedelta(hours=5), [], []
    before: SearchCursor | None = None
    while True:
        found = store.search.find(Criteria(words="bond"), since, UNTIL, 50, before=before, budget_s=0.0)
        seen += [article.title for article in found.articles]
        if found.then is None:
            break
        reached.append(found.reached)
        before = found.then
    assert seen == ["Bond a", "Bond on the hour", "Bond b"]
    assert reached[0] == NOON
    assert len(reached) == 5
    assert found.reached is None


def test_only_the_latest_version_of_an_article_is_found(store: Store):
    for table in ("articles", "mentions"):
        store.client.command(f"TRUNCATE TABLE {table}")
    save(store, scored_article("x", "Acme defaults"), scored_article("y", "Bond worries"))
    save(store, scored_article("x", "Acme pays after all", p=(0.1, 0.1, 0.8), model="m2"))
    assert titles(store, words="defaults") == []
    assert titles(store, sentiment="negative") == ["Bond worries"]
    (found,) = store.search.find(Criteria(words="pays"), SINCE, UNTIL, 5).articles
    assert (found.model, found.title) == ("m2", "Acme pays after all")
    newer, older = store.search.versions(sha("x"), NOON)
    assert (newer.model, newer.title, newer.flags, older.model, older.title) == (
        "m2",
        "Acme pays after all",
        ("cut",),
        "m1",
        "Acme defaults",
    )
    assert store.search.versions(sha("x"), NOON + timedelta(seconds=1)) == store.search.versions("none", NOON) == []


def test_found_articles_have_the_beginning_of_their_text(store: Store):
    store.client.command("TRUNCATE TABLE articles")
    save(store, scored_article("long", "Title", "债" * 5_000))
    (found,) = store.search.find(Criteria(words="债债"), SINCE, UNTIL, 5).articles
    assert found.text == "债" * 300
    assert store.search.versions(sha("long"), NOON)[0].text == "债" * 5_000


@settings(max_examples=10, deadline=None)
@given(value=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=2 * MAX_CHARS))
@example(value="' UNION ALL SELECT * FROM file('/etc/passwd', 'LineAsString', 'l String') --")
@example(value="x') OR 1=1 --")
@example(value="\\")
@example(value="\\' OR 1=1 --")
@example(value='"\\Q \\E (?i)(a+)+$ [[:alpha:]] \\p{Han}"')
@example(value="{word0:String} %(word0)s %s")
@example(value="(" * MAX_CHARS)
@example(value="a " * MAX_TERMS * 3)
@example(value="é中\u0301 İ ß -ǆ")
def test_a_query_is_neither_sql_nor_a_pattern(filled: Store, value: str):
    span = (NOON - timedelta(minutes=30), UNTIL)
    filled.search.find(Criteria(words=value), *span, 5)
    for name in ("language", "source", "genre", "topic", "company", "sentiment"):
        assert filled.search.find(Criteria(**{name: value}), *span, 5).articles == [], name
    assert filled.search.find(Criteria(words="zzz"), *span, 5, before=SearchCursor(2**40, value)).articles == []
    assert filled.search.versions(value, NOON) == []
    assert filled.stories.of_series(value, "negative", *span) == []
    assert filled.stories.copies(value, NOON) == []
    assert filled.stories.total(value, *span) is None
    assert filled.stories.co_mentioned(value, *span) == []
    assert filled.stories.company_profiles([value], *span) == {}
    assert filled.alerts.of_series(value, SINCE) == []
    assert filled.labels.of_article(value) == []


@settings(max_examples=15, deadline=None)
@given(title=st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=40))
@example(title='It\'s 100% -- "sure" (not) c++ [a] {b} $1^2|3? \\d')
@example(title="ＡＢＣ　全角 “引号”")
def test_an_article_is_found_by_its_own_title(store: Store, title: str):
    """Round trip: each word of a title, searched for as it stands, finds the article."""
    item = scored_article(title, "x" + title, title)
    store.client.command("TRUNCATE TABLE articles")
    store.articles.insert([item])
    for word in title.split():
        for part in word.translate(dict.fromkeys(map(ord, '"“”「」《》'), " ")).split():
            if part[0] not in "-−－":
                assert store.search.find(Criteria(words=part), NOON, UNTIL, 5).articles, part


SPELLINGS = (
    ("Moody's", "Moody’s"),
    ('"write-down"', "a write‑down", "WRITEDOWN", "write\u00addown", "write down"),
    ("GPT-4", "GPT‑4", "ＧＰＴ４"),
    ("Nestle", "Nestlé", "NESTLE\u0301", "Ｎｅｓｔｌｅ"),
    ("Nestlé", "Nestle"),
    ("Strasse", "Straße"),
    ("债券违约", "债券 违约", "債券違約", "债\u200b券 违-约"),
    ("债券-違約", "债券违约"),
    ("约翰·史密斯", "約翰・史密斯", "约翰史密斯"),
    ('"J.P. Morgan"', "JP Morgan", "J. P. Morgan", "J.P.Morgan", "ｊ．ｐ． Morgan"),
    ("J. P. Morgan", "JP Morgan"),
    ('"US Steel"', "U.S. Steel"),
    ("bond", "B.O.N.D. series"),
)


def test_a_search_finds_every_spelling(store: Store):
    for table in ("articles", "mentions"):
        store.client.command(f"TRUNCATE TABLE {table}")
    every = sorted({title for _, *titles in SPELLINGS for title in titles})
    save(store, *(scored_article(f"s{number}", title, title.swapcase()) for number, title in enumerate(every)))
    save(store, scored_article("us", "They told us", "of a bonus"), scored_article("other", "Moody blues", "券商 违约 债务"))
    for words, *expected in SPELLINGS:
        assert set(expected) <= set(titles(store, words=words)), words
        assert not {"They told us", "Moody blues"} & set(titles(store, words=words)), words
        excluding = titles(store, words=f"-{words}") if " " not in words or '"' in words else []
        assert not set(expected) & set(excluding), words


@pytest.fixture
def stories(store: Store) -> Store:
    for table in ("articles", "article_keys", "mentions", "alerts", "labels"):
        store.client.command(f"TRUNCATE TABLE {table}")
    first = sha("first")
    autos = {"ACME": ("Acme", "autos", 0.9)}
    save(
        store,
        scored_article("first", "Acme halts a plant", minutes=-50, companies=autos, source="wire"),
        scored_article(
            "copy", "Acme halts plant", minutes=-40, companies=autos | {"BYT": ("Bytown", "tech", 0.1)}, source="blog", story=first
        ),
        scored_article("again", "Acme halts plant!", minutes=-30, companies=autos, source="blog", story=first),
        scored_article("other", "Acme fined", minutes=-20, companies={"ACME": ("ACME Corp", "", 0.7)}, source="wire"),
        scored_article("good", "Acme wins an order", minutes=-10, companies={"ACME": ("Acme Corp", "autos", 0.1)}, p=(0.1, 0.1, 0.8)),
        scored_article("far", "Bytown opens", minutes=-9, companies={"BYT": ("Bytown", "tech", 0.1)}, p=(0.1, 0.1, 0.8), source="新华"),
        scored_article("old", "Acme halts the plant", minutes=-60 * 24 * 20, story=first, companies=autos),
    )
    return store


def test_stories_with_most_sources_come_first(stories: Store):
    since = NOON - timedelta(hours=1)

    def minute(n: int) -> datetime:
        return NOON + timedelta(minutes=n)

    assert stories.stories.of_series("company:ACME", "negative", since, UNTIL) == [
        StoryCoverage(sha("first"), 3, 2, sha("first"), minute(-50), minute(-30)),
        StoryCoverage(sha("other"), 1, 1, sha("other"), minute(-20), minute(-20)),
    ]
    assert [story.story for story in stories.stories.of_series("company:ACME", "positive", since, UNTIL)] == [sha("good")]
    assert len(stories.stories.of_series("company:ACME", "negative", since, UNTIL, limit=1)) == 1
    assert stories.stories.of_series("company:ACME", "negative", UNTIL, UNTIL + timedelta(hours=1)) == []
    assert stories.stories.copies(sha("first"), NOON) == [sha("first"), sha("copy"), sha("again")]
    total = stories.stories.total("company:ACME", since, UNTIL)
    assert total is not None
    assert total[:4] == ("company:ACME", 3, 2, 2)
    assert total.tone == pytest.approx((-0.8 * 3 - 0.4 + 0.8) / 5)
    assert stories.stories.total("company:NONE", since, UNTIL) is None


def test_co_mentioned_companies_have_a_name_and_a_sector(stories: Store):
    since = NOON - timedelta(hours=1)
    assert stories.stories.co_mentioned("company:ACME", since, UNTIL) == [SeriesTotal("company:BYT", 1, 0, 0, 0.0)]
    assert [row[:3] for row in stories.stories.co_mentioned("sector:autos", since, UNTIL)] == [
        ("company:ACME", 2, 1),
        ("company:BYT", 1, 0),
    ]
    assert [row[:3] for row in stories.stories.busiest("company", since, UNTIL, 1)] == [("company:ACME", 3, 2)]
    assert stories.stories.sources(since, UNTIL, 9) == ["wire", "blog", "新华"]
    found = stories.stories.company_profiles(["ACME", "BYT", "NONE"], since, UNTIL)
    assert found == {"ACME": CompanyProfile("Acme Corp", "autos"), "BYT": CompanyProfile("Bytown", "tech")}
    assert stories.stories.company_profiles([], since, UNTIL) == {}


def test_alerts_of_a_series_and_labels_of_an_article(stories: Store):
    def alert(series: str, minutes: int) -> Alert:
        start = NOON + timedelta(minutes=minutes)
        return Alert(
            id=alert_id("r", series, start),
            rule="r",
            series=series,
            window_start=start,
            window_s=900,
            detected_at=start + timedelta(minutes=9),
            severity="info",
            observed=4,
            expected=0.5,
            surprise=5.0,
            total=5,
            sources=2,
        )

    mine, older, others = alert("company:ACME", -20), alert("company:ACME", -60), alert("company:BYT", -20)
    stories.alerts.insert([mine, older, others])
    assert stories.alerts.of_series("company:ACME", NOON - timedelta(days=1)) == [mine, older]
    assert stories.alerts.of_series("company:ACME", NOON - timedelta(minutes=45)) == [mine]
    label = Label(id=sha("first"), task="sentiment", labels=("neutral",), author="安娜", model="m1", labelled_at=NOON)
    about = msgspec.structs.replace(label, company="ACME", labels=("negative",))
    stories.labels.add([label, about])
    assert stories.labels.of_article(sha("first")) == [label, about]
    assert stories.labels.of_article(sha("copy")) == []
