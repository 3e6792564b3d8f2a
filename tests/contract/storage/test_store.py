"""Articles, mentions, roll-ups, alerts, labels and migrations, over chdb in this process and a real server over native TCP."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import msgspec
import pytest

from core.errors import BadRecord, SettingsError, StoreError, StoreUnavailable
from core.records import Alert, Evidence, alert_id, sha
from storage.clickhouse import Server
from storage.migrations import Column, add, check_schema
from storage.store import ArticleKey, DeadLetter, Delivery, Label, LastAlert, PeakRow, SourceStories, Store, StoryLead
from storage.tables.articles import MAX_STORIES_PER_BAND
from tests.helpers.stores import ARTICLE_TABLES, NOON, ODD_TEXTS, save, scored
from tocsin.runtime.embedded_broker import free_port

SUMS = ("rollups", "dirty_hours", "rollup_watermarks")


@pytest.fixture(autouse=True)
def empty(store: Store) -> None:
    for table in (*ARTICLE_TABLES, *SUMS):
        store.client.command(f"TRUNCATE TABLE {table}")


def test_migrating_twice_changes_nothing(store: Store):
    assert store.migrate() == []
    assert store.pending() == []


def test_a_batch_stored_twice_is_read_once(store: Store):
    items = [scored(f"a{n}", minutes=n) for n in range(5)]
    save(store, *items)
    save(store, *items)
    assert store.articles.totals().articles == 5
    assert len(store.articles.latest(50)) == 5
    assert store.articles.duplicates() == 0
    counts = store.mentions.window_counts("topic:earnings", NOON, NOON + timedelta(hours=1), 3600)
    assert [(count.negative, count.total) for count in counts] == [(0, 5)]


def test_texts_and_numbers_are_read_unchanged(store: Store):
    items = [scored(f"n{n}", minutes=n, title=words, text=f"{words} {words}") for n, words in enumerate(ODD_TEXTS)]
    save(store, *items)
    found = store.articles.by_id([item.article.id for item in items])
    assert {row.title: row.text for row in found} == {words: f"{words} {words}" for words in ODD_TEXTS}
    row = next(row for row in found if row.title == ODD_TEXTS[0])
    assert row.published_at == NOON
    assert row.topics == ("earnings",)
    assert row.companies == ("ACME",)
    assert row.p_negative == pytest.approx(0.1, abs=1e-6)


@pytest.mark.parametrize("value", ODD_TEXTS)
def test_parameters_are_values_and_never_sql(store: Store, value: str):
    assert store.client.query("SELECT {x:String}, length({x:String})", x=value) == [(value, len(value.encode()))]
    assert store.client.query("SELECT count() FROM articles WHERE id IN {ids:Array(String)}", ids=[value, "x"])[0][0] == 0


def test_keys_keep_the_first_arrival(store: Store):
    item = scored("k", story="s1")
    save(store, item)
    known = store.articles.keys([item.article.id, "nobody"])
    assert set(known) == {item.article.id}
    assert known[item.article.id] == ArticleKey(NOON, "s1", item.article.fingerprint, "m1", item.article.revised_by)
    assert store.articles.keys([]) == {}


def test_lsh_bands_find_the_newest_stories_in_the_time_range(store: Store):
    save(store, scored("b1", minutes=5, story="later", bands=(7, 2**63 - 1)), scored("b0", minutes=0, story="first", bands=(7,)))
    hour = timedelta(hours=1)
    assert store.articles.stories([7, 2**63 - 1, 9], NOON - hour, NOON + hour) == {7: ["later", "first"], 2**63 - 1: ["later"]}
    assert store.articles.stories([7], NOON + hour, NOON + 2 * hour) == {}
    many = [scored(f"m{n}", minutes=n % 50, story=f"of a template {n}", bands=(11,)) for n in range(MAX_STORIES_PER_BAND + 9)]
    save(store, *many)
    assert len(store.articles.stories([11], NOON - hour, NOON + hour)[11]) == MAX_STORIES_PER_BAND


def test_leads_of_stories_are_found_again(store: Store):
    lead = StoryLead(NOON, "标题\nThe text")
    store.articles.insert_leads({"s1": lead, "s2": StoryLead(NOON, "replaced")})
    store.articles.insert_leads({"s2": lead})
    hour = timedelta(hours=1)
    assert store.articles.leads(["s1", "s2", "s3"], NOON - hour, NOON + hour) == {"s1": lead, "s2": lead}
    assert store.articles.leads(["s1"], NOON + hour, NOON + 2 * hour) == store.articles.leads([], NOON, NOON + hour) == {}


def test_windows_are_half_open_and_count_stories_once(store: Store):
    save(
        store,
        scored("w0", minutes=0, negative=0.9, story="s1", source="a"),
        scored("w1", minutes=1, negative=0.9, story="s1", source="b"),
        scored("w2", minutes=9, negative=0.2, story="s2"),
        scored("w3", minutes=10, negative=0.9, story="s3", source="c"),
        scored("w4", minutes=30, negative=0.9, story="s4"),
    )
    counts = store.mentions.window_counts("company:ACME", NOON, NOON + timedelta(minutes=30), 600)
    assert [(c.start, c.negative, c.total) for c in counts] == [(NOON, 1, 2), (NOON + timedelta(minutes=10), 1, 1)]
    totals = {row.series: row for row in store.mentions.totals(NOON, NOON + timedelta(hours=1))}
    assert set(totals) == {"market:all", "language:en", "genre:news", "topic:earnings", "company:ACME", "sector:autos"}
    assert (totals["market:all"].stories, totals["market:all"].negative) == (4, 3)
    assert [row.series for row in store.mentions.totals(NOON, NOON + timedelta(hours=1), ["sector"])] == ["sector:autos"]
    assert store.mentions.series_count(NOON, NOON + timedelta(hours=1)) == 6
    assert store.mentions.first_seen(["company:ACME", "company:NONE"]) == {"company:ACME": NOON}
    assert (store.mentions.sources(NOON, NOON + timedelta(minutes=10)), store.mentions.sources(NOON - timedelta(days=1), NOON)) == (3, 0)


def test_a_story_is_new_only_in_the_minute_of_its_first_article(store: Store):
    """For any times of its copies, any order of arrival and any number of repetitions."""
    items = [
        scored("first", minutes=0, negative=0.9, source="新华"),
        scored("second", minutes=0, negative=0.2, source="wire"),
        scored("third", minutes=7, negative=0.9, source="wire"),
        *(scored(f"copy {n}", minutes=1 + 6 * n, negative=0.9, story=sha("first"), source="wire") for n in range(3)),
    ]
    save(store, *items)
    save(store, *items[2:])
    names = ["market:all", "company:ACME", "topic:none"]
    found = store.mentions.minutes(names, NOON, NOON + timedelta(hours=1))
    start = int(NOON.timestamp())
    assert found == dict.fromkeys(["market:all", "company:ACME"], ([start, start + 420], [1, 1], [2, 1], [-6500, -8500]))
    halves = [store.mentions.minutes(names, NOON + timedelta(minutes=7 * n), NOON + timedelta(minutes=7 * n + 7)) for n in range(2)]
    assert [half["market:all"].stories for half in halves] == [[2], [1]]
    assert store.mentions.minutes([], NOON, NOON + timedelta(hours=1)) == {}
    save(store, scored("third", minutes=7, negative=0.1, source="wire", model="m2"))  # a newer model thinks better of it
    assert store.mentions.minutes(names, NOON, NOON + timedelta(hours=1))["market:all"].negative == [1, 0]


def test_stories_of_a_source_are_those_it_had_first_and_all(store: Store):
    save(
        store,
        scored("a", negative=0.9, source="新华"),
        scored("b", minutes=1, negative=0.9, source="新华"),
        scored("c", minutes=2, negative=0.1, source="新华"),
        scored("copy of a", minutes=3, negative=0.9, story=sha("a"), source="wire"),
        scored("again of a", minutes=4, negative=0.9, story=sha("a"), source="wire"),
        scored("d", minutes=5, negative=0.9, source="wire"),
        scored("later", minutes=30, negative=0.9, source="blog"),
    )
    by_source = store.mentions.negative_sources("company:ACME", NOON, NOON + timedelta(minutes=30))
    assert by_source == {"新华": SourceStories(first=2, total=2), "wire": SourceStories(first=1, total=2)}
    assert store.mentions.negative_sources("company:NONE", NOON, NOON + timedelta(minutes=30)) == {}


def test_the_highest_peak_of_a_series_and_hour_is_kept_in_any_order(store: Store):
    def peak(minute: int, surprise: float, series: str = "topic:credit") -> PeakRow:
        return PeakRow(series, NOON + timedelta(minutes=minute), 900, surprise)

    began = NOON - timedelta(days=3)
    assert store.peaks.began("spike", began) == began
    assert store.peaks.began("spike", NOON) == began  # whoever asks later
    store.peaks.insert("spike", [peak(10, 7.5), peak(61, 2.5)])
    store.peaks.insert("spike", [peak(20, 3.0), peak(20, 4.0, "company:贵州茅台")])
    store.peaks.insert("spike", [peak(10, 7.5)])
    store.peaks.insert("other", [peak(10, 9.0)])
    assert store.peaks.since("spike", NOON) == [peak(10, 7.5), peak(20, 4.0, "company:贵州茅台"), peak(61, 2.5)]
    assert store.peaks.since("spike", NOON + timedelta(hours=1)) == [peak(61, 2.5)]
    assert store.peaks.since("nobody's", NOON - timedelta(days=9)) == []


def test_sentiment_is_the_mean_tone_per_window(store: Store):
    save(store, scored("m0", negative=1.0), scored("m1", minutes=1, negative=0.0, story="q"), scored("m2", minutes=61, negative=1.0))
    points = store.mentions.sentiment(["topic:earnings"], NOON, NOON + timedelta(hours=2), 3600)
    assert [(p.start, p.stories, p.negative) for p in points] == [(NOON, 2, 1), (NOON + timedelta(hours=1), 1, 1)]
    assert points[0].tone == pytest.approx((-1.0 + 0.5) / 2)


def test_rollups_agree_with_the_mentions_before_and_after_a_refresh(store: Store):
    """Three days of stories with copies in several hours, scored twice, with changes after the roll-ups were computed."""
    items = [
        scored(f"h{n}", minutes=-29 * n, negative=(n * 37 % 100) / 100, story=f"story {n % 20}", source=f"s{n % 3}", model=f"m{n % 2}")
        for n in range(150)
    ]
    save(store, *items)
    until = NOON + timedelta(hours=12)
    since = until - timedelta(days=4)
    names = ["company:ACME", "genre:news", "language:en", "market:all", "sector:autos", "topic:earnings"]

    def same() -> None:
        for width_s in (3600, 6 * 3600, 24 * 3600):
            exact = store.mentions.sentiment(names, since, until, width_s)
            assert [(p.series, p.start, p.stories, p.negative) for p in store.rollups.sentiment(names, since, until, width_s)] == [
                (p.series, p.start, p.stories, p.negative) for p in exact
            ]
            assert [p.tone for p in store.rollups.sentiment(names, since, until, width_s)] == pytest.approx(
                [p.tone for p in exact], abs=1e-6
            )
        days = {name: [p for p in store.mentions.sentiment(names, since, until, 86_400) if p.series == name] for name in names}
        for total in store.rollups.totals(since, until, ["topic", "market", "sector", "language", "genre", "company"]):
            mine = days.pop(total.series)
            assert (total.stories, total.negative) == (sum(p.stories for p in mine), sum(p.negative for p in mine))
            assert total.tone == pytest.approx(store.mentions.totals(since, until)[0].tone, abs=1e-6)  # all series have the same articles
        assert not days
        companies = store.mentions.sentiment(["company:ACME"], since, until, 86_400)
        (busiest,) = store.rollups.busiest("company", since, until, 9)
        assert busiest[:3] == ("company:ACME", sum(p.stories for p in companies), sum(p.negative for p in companies))

    same()
    now = NOON + timedelta(minutes=1)
    assert store.rollups.first_hour() == (NOON - timedelta(minutes=29 * 149)).replace(minute=0)
    assert store.rollups.refresh(now) == 3 + 13 + 73
    assert store.rollups.refresh(now) == 0
    same()
    save(store, *items[40:50], scored("late", minutes=-600, negative=0.99, story="another"))  # a replay, and one that comes late
    same()
    assert store.rollups.refresh(now) == 1 + 2 + 5 + 1
    same()
    save(store, *(scored(f"h{n}", minutes=-29 * n, negative=0.0, story=f"story {n % 20}", model="m9") for n in range(60, 70)))
    same()
    assert store.rollups.refresh(now, limit=2) == 2
    same()
    assert sum(p.stories for p in store.rollups.sentiment(["market:all"], since, until, 86_400)) > 0


def test_a_newer_model_replaces_the_sentiment_and_keeps_the_old_score(store: Store):
    save(store, scored("r", negative=0.9, model="m1"))
    save(store, scored("r", negative=0.0, model="m2"))
    assert [row.model for row in store.articles.latest(5)] == ["m2"]
    assert store.mentions.window_counts("market:all", NOON, NOON + timedelta(hours=1), 3600)[0].negative == 0
    assert int(store.client.query("SELECT uniqExact(model) FROM articles")[0][0]) == 2


def test_the_later_write_wins_although_the_clock_was_set_back(store: Store, monkeypatch: pytest.MonkeyPatch):
    def letter(reason: str) -> DeadLetter:
        return DeadLetter(topic="t", partition=0, offset=1, failed_at=NOON, stage="decode", reason=reason, key=b"", value=b"x")

    save(store, scored("c", title="before", model="m1"))
    store.dead_letters.insert([letter("before")])
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() - 3600 * 10**9)
    save(store, scored("c", title="after", negative=0.9, model="m2"))
    store.dead_letters.insert([letter("after")])
    store.dead_letters.settle([letter("after")], "replayed")
    ident = sha("c")
    assert [(row.title, row.model) for row in store.articles.latest(5)] == [("after", "m2")]
    assert [row.title for row in store.articles.by_id([ident])] == ["after"]
    assert store.articles.keys([ident])[ident].model == "m2"
    assert store.mentions.window_counts("market:all", NOON, NOON + timedelta(hours=1), 3600)[0].negative == 1
    (found,) = store.dead_letters.latest(5, state="replayed")
    assert (found.reason, store.dead_letters.count()) == ("after", 0)


def test_articles_of_a_series_come_most_negative_first(store: Store):
    save(store, scored("s0", negative=0.4), scored("s1", minutes=1, negative=0.9), scored("s2", minutes=2, negative=0.6))
    rows = store.articles.of_series("company:ACME", NOON, NOON + timedelta(hours=1), 2)
    assert [round(row.p_negative, 1) for row in rows] == [0.9, 0.6]


def test_alerts_and_deliveries_are_stored_once(store: Store):
    alert = Alert(
        id=alert_id("spike", "topic:credit", NOON),
        rule="spike",
        series="topic:credit",
        window_start=NOON,
        window_s=900,
        detected_at=NOON + timedelta(minutes=3),
        severity="warning",
        observed=9,
        expected=1.25,
        surprise=6.5,
        total=12,
        sources=4,
        evidence=(Evidence(id="x", title="债券违约", url="https://example.org/x", source="wire", published_at=NOON, p_negative=0.97),),
    )
    store.alerts.insert([alert])
    store.alerts.insert([alert])
    assert store.alerts.latest(10) == [alert]
    assert store.alerts.get(alert.id) == alert
    assert store.alerts.get("none") is None
    assert store.alerts.count() == 1
    end = int(NOON.timestamp()) + 900
    assert store.alerts.last_alerts("spike", ["topic:credit", "topic:x"], NOON) == {"topic:credit": LastAlert(alert.id, end)}
    assert store.alerts.last_alerts("spike", ["topic:credit"], NOON + timedelta(seconds=1)) == {}
    assert store.alerts.last_alerts("other", ["topic:credit"], NOON) == store.alerts.last_alerts("spike", [], NOON) == {}
    day = msgspec.structs.replace(alert, id="day", window_start=NOON - timedelta(hours=23), window_s=86_400)  # began before, ended after
    store.alerts.insert([day])
    assert store.alerts.last_alerts("spike", ["topic:credit"], NOON - timedelta(days=1)) == {"topic:credit": LastAlert("day", end + 2_700)}
    sent = Delivery(alert_id=alert.id, endpoint="desk", attempt=1, sent_at=NOON, status=503, error="busy", parts_delivered=2)
    store.alerts.log_deliveries([sent, sent])
    assert store.alerts.deliveries([alert.id]) == store.alerts.last_attempts(NOON) == [sent]


def test_a_column_is_added_only_once(store: Store):
    store.client.command("CREATE TABLE IF NOT EXISTS grown (id String) ENGINE = MergeTree ORDER BY id")
    for _ in range(2):
        add(store.client, Column("grown", "name", "String"))
    store.client.insert("grown", {"id": ["a"], "name": ["b"]})
    assert store.client.query("SELECT id, name FROM grown") == [("a", "b")]
    store.client.command("DROP TABLE grown")


def test_a_store_of_an_earlier_version_is_refused(store: Store):
    store.client.insert("migrations", {"name": ["0001_articles"], "applied_at": [1]})
    try:
        with pytest.raises(SettingsError, match="unreleased version and cannot be migrated: set `store` to a new database"):
            store.migrate()
        with pytest.raises(SettingsError, match="cannot be migrated"):
            check_schema(store.client)
    finally:
        store.client.command("TRUNCATE TABLE migrations")
        assert store.migrate() == ["0001_baseline"]  # applied again, as after a kill between a step and its entry


def test_dead_letters_keep_the_bytes(store: Store):
    letter = DeadLetter(
        topic="articles", partition=3, offset=2**40, failed_at=NOON, stage="decode", reason="坏 \ud800", key=b"\x00\xff", value=b"{\xff\x00"
    )
    store.dead_letters.insert([letter])
    store.dead_letters.insert([letter])
    assert store.dead_letters.count() == 1
    assert store.dead_letters.latest(1)[0].value == b"{\xff\x00"


@pytest.mark.parametrize("value", [b"x" * 900_000, bytes(range(256)) * 3_600], ids=["text", "any bytes"])
def test_a_dead_letter_may_be_as_large_as_a_message(store: Store, value: bytes):
    letters = [
        DeadLetter(topic="articles", partition=0, offset=n, failed_at=NOON, stage="decode", reason="too odd", key=b"", value=value)
        for n in range(3)
    ]
    store.dead_letters.insert(letters)
    assert sorted(store.dead_letters.latest(), key=lambda letter: letter.offset) == letters


def label(name: str, *, minutes: int = 0, **more: object) -> Label:
    fields = {"task": "sentiment", "labels": ("negative",), "author": "ann", "model": "m1"} | more
    return Label(id=sha(name), labelled_at=NOON + timedelta(minutes=minutes), **fields)  # type: ignore[arg-type]


def test_labels_are_read_with_their_texts_and_the_last_one_counts(store: Store):
    save(store, scored("l1", title=ODD_TEXTS[0]), scored("l2"))
    first = label("l1", labels=("positive",))
    again = label("l1", minutes=1, author="bob")
    about = label("l1", minutes=2, company="ACME", labels=("neutral",))
    topics = label("l2", minutes=3, task="topic", labels=("earnings", "legal"))
    nothing = label("l2", minutes=4, task="risk", labels=())
    store.labels.add([first, topics, nothing, about])
    store.labels.add([again])
    store.labels.add([label("nobody knows it")])
    found = store.labels.read()
    assert [row.label for row in found] == [again, about, topics, nothing]
    words = found[0].article
    assert (words.title, words.text, words.language, words.genre, words.story) == (ODD_TEXTS[0], "Body", "en", "news", sha("l1"))
    assert words.companies == {"ACME": "Acme"}
    assert [row.label for row in store.labels.read(NOON + timedelta(minutes=3))] == [topics, nothing]


@pytest.mark.parametrize(
    "wrong",
    [
        {"labels": ("bad",)},
        {"labels": ("negative", "neutral")},
        {"labels": ()},
        {"task": "topic", "labels": ()},
        {"task": "topic", "labels": ("fraud",)},
        {"task": "risk", "labels": ("fraud",), "company": "ACME"},
        {"task": "mood"},
        {"author": ""},
    ],
)
def test_an_invalid_label_rejects_the_whole_batch(store: Store, wrong: dict[str, object]):
    save(store, scored("l1"))
    with pytest.raises(BadRecord):
        store.labels.add([label("l1"), label("l1", **wrong)])  # type: ignore[arg-type]
    assert store.labels.read() == []


def test_a_sample_is_the_same_each_time_and_of_one_language(store: Store):
    save(store, *(scored(f"s{n}", minutes=n) for n in range(20)))
    save(store, scored("s3", minutes=3, model="m2"))
    some = store.labels.sample("en", 7)
    assert len({text.id for text in some}) == 7
    assert some == store.labels.sample("en", 7)
    assert len(store.labels.sample("en", 100)) == 20
    assert store.labels.sample("zh", 7) == []


def test_old_months_are_deleted_and_the_rest_stays(store: Store):
    save(store, scored("old", minutes=-60 * 24 * 60), scored("new"))
    assert store.rollups.refresh(NOON) == 2 and store.articles.count() == 2
    assert store.retire(NOON - timedelta(days=30)) == ["202609"]
    assert [row.url for row in store.articles.latest(5)] == ["https://example.org/new"]
    assert store.retire(NOON - timedelta(days=30)) == []
    assert (store.rollups.first_hour(), store.articles.count()) == (NOON, 1)
    assert int(store.client.query("SELECT count() FROM rollups")[0][0]) == 0


def test_a_bad_value_is_rejected_and_the_store_keeps_working(store: Store):
    with pytest.raises(StoreError):
        store.client.insert("migrations", {"name": ["lone \ud800"], "applied_at": [1]})
    with pytest.raises(StoreError):
        store.client.query("SELECT no_such_column FROM articles")
    save(store, scored("after"))
    assert store.articles.totals().articles == 1


def test_a_batch_may_span_decades(store: Store):
    """ClickHouse takes a block for a hundred partitions at most: one for each month here."""
    months = 120
    items = [scored(f"old-{n}", minutes=-(n * 7 % months) * 31 * 24 * 60) for n in range(months)]
    save(store, *items)
    assert (store.articles.totals().articles, store.articles.duplicates()) == (months, 0)
    assert len(store.articles.keys([item.article.id for item in items])) == months
    since = min(item.article.published_at for item in items)
    counts = store.mentions.window_counts("market:all", since, NOON + timedelta(days=1), 86_400)
    assert sum(count.total for count in counts) == months


def test_threads_share_the_store(store: Store):
    errors: list[Exception] = []

    def work(number: int) -> None:
        try:
            for step in range(10):
                save(store, scored(f"t{number}-{step}", minutes=step))
                store.mentions.totals(NOON, NOON + timedelta(hours=1))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert store.articles.totals().articles == 40


def test_an_unreachable_server_is_unavailable_and_a_malformed_address_is_rejected():
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        Server(f"clickhouse://default:@127.0.0.1:{free_port()}/x")
    for address in ("http://localhost", "clickhouse://", "clickhouse://h:1/a-b", "clickhouse://h:x/a"):
        with pytest.raises(SettingsError):
            Server(address)
