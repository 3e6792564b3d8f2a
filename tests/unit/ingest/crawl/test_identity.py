"""Identity of feed entries: under reordering, repeats and further visits; and which entries are read."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.crawl.crawler import MAX_SKIPPED, _Seen
from ingest.crawl.feeds import Entry
from ingest.crawl.identity import Document, Identified, identify, keys_of, newest
from ingest.kafka.outbox import EntryKeys, SeenEntry

NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
PAGE = "https://news.example/live"


def entry(guid: str = "", link: str = "", title: str = "t", text: str = "", published: str = "") -> Entry:
    return Entry(guid=guid, link=link, title=title, summary=text, published=published)


class Feed:
    """Visits to one feed: remembers what it saw, as the crawler's outbox does."""

    def __init__(self) -> None:
        self.seen: dict[str, SeenEntry] = {}

    def visit(self, *entries: Entry) -> list[str]:
        """The article ids of the entries, in order; "" for a repeat within the document."""
        ids = [""] * len(entries)
        found = identify(entries, [keys_of(each) for each in entries], self.seen.values())
        for each in found.entries:
            ids[each.place] = each.known.id if each.known else each.article_id("wire", "")
        assert len(found.entries) == len({ids[each.place] for each in found.entries}), "two entries are one article"
        self.seen |= {ids[each.place]: SeenEntry(ids[each.place], "", each.keys) for each in found.entries}
        return ids


def test_entries_with_one_link_are_articles_by_their_guids():
    feed = Feed()
    items = [entry(f"k{n}", PAGE, f"快讯{n}") for n in range(6)]
    ids = feed.visit(*items)
    assert len(set(ids)) == 6
    assert feed.visit(*reversed(items)) == ids[::-1]
    assert feed.visit(entry("k9", PAGE, "快讯9"), *items)[1:] == ids
    assert feed.visit(entry("k10", PAGE, "快讯10")) not in ([each] for each in ids), "one alone on a link that is known to be shared"


@pytest.mark.parametrize("same", [entry("k", PAGE), entry("k"), entry(), entry(title="", text="只有正文")])
def test_no_two_sources_have_one_article(same):
    (found,) = identify([same], [keys_of(same)], []).entries
    assert len({found.article_id("wire", ""), found.article_id("press", ""), found.article_id("wire", "domain news.example")}) == 3


def test_a_second_entry_on_a_link_does_not_change_the_first():
    feed = Feed()
    (first,) = feed.visit(entry("k0", PAGE, "one"))
    later = feed.visit(entry("k1", PAGE, "two"), entry("k0", PAGE, "one"))
    assert later[1] == first != later[0]


@pytest.mark.parametrize("guid", ["N/A", "", "same", "0"])
def test_a_guid_that_is_repeated_identifies_nothing(guid):
    feed = Feed()
    old = [entry(guid, f"https://news.example/g/{n}", f"note {n}") for n in range(3)]
    ids = feed.visit(*old)
    assert len(set(ids)) == 3
    new, *rest = feed.visit(entry(guid, "https://news.example/g/new", "smelter shuts after fire"), *old)
    assert (rest, new in ids) == (ids, False)
    assert feed.visit(entry(guid, "https://news.example/g/newer", "alone"))[0] not in [*ids, new]


def test_a_repeated_guid_with_another_link_and_title_is_a_new_article():
    feed = Feed()
    (old,) = feed.visit(entry("daily", "https://news.example/1", "Monday"))
    (new,) = feed.visit(entry("daily", "https://news.example/2", "Tuesday"))
    assert new != old
    assert feed.visit(entry("daily", "https://news.example/2", "Tuesday"), entry("daily", "https://news.example/1", "Monday")) == [new, old]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("https://news.example/blog#e0", "https://news.example/blog#e1"),
        ("https://news.example/#/news/0", "https://news.example/#/news/1"),
        ("https://news.example/#!a", "https://news.example/#!b"),
        ("https://news.example/blog#第一条", "https://news.example/blog#第二条"),
        ("https://news.example/list#id=5", "https://news.example/list#id=6"),
    ],
)
@pytest.mark.parametrize("with_guid", [True, False])
def test_what_differs_behind_the_hash_are_articles(one, two, with_guid):
    feed = Feed()
    items = [entry(link if with_guid else "", link, title) for link, title in ((one, "a"), (two, "b"))]
    ids = feed.visit(*items)
    assert len(set(ids)) == 2
    assert Feed().visit(items[0]) == ids[:1], "also where the document has one of them"
    assert feed.visit(items[1]) == ids[1:]


@pytest.mark.parametrize("behind", ["#top", "#comments", "#xtor=RSS-1", "#Echobox=1700000000", "#utm_source=rss", "#:~:text=gold"])
def test_tracking_behind_the_hash_makes_no_article(behind):
    feed = Feed()
    assert feed.visit(entry("", "https://news.example/a" + behind)) == feed.visit(entry("", "https://news.example/a"))


@pytest.mark.parametrize("guids", [("a#0", "a#3"), ("tag:1", "tag:2"), ("", "tag:2"), (PAGE + "#0", PAGE + "#12")])
def test_a_guid_that_changes_while_the_link_stays_is_one_article(guids):
    feed = Feed()
    first = feed.visit(entry(guids[0], PAGE, "gold", published="2026-11-30"))
    assert feed.visit(entry(guids[1], PAGE, "gold", "more text", "2026-11-30")) == first
    assert feed.visit(entry("third", PAGE, "gold", "more text", "2026-12-01")) == first


def test_a_version_number_behind_a_guid_is_one_article_whatever_else_changes():
    feed = Feed()
    first = feed.visit(entry(PAGE + "#0", PAGE, "Gold rises", "a", "2026-11-30"))
    assert feed.visit(entry(PAGE + "#3", PAGE, "Gold falls after early rise", "b", "2026-12-01")) == first


def test_another_guid_title_and_time_on_a_link_is_a_new_article():
    feed = Feed()
    first = feed.visit(entry("k0", PAGE, "Monday", "a", "2026-11-30"))
    assert feed.visit(entry("k1", PAGE, "Tuesday", "b", "2026-12-01")) != first


def test_a_new_headline_or_text_is_a_version():
    feed = Feed()
    first = feed.visit(entry("k", PAGE, "Gold rises", "a", "2026-11-30"))
    assert feed.visit(entry("k", PAGE, "Gold falls", "a", "2026-11-30")) == first
    assert feed.visit(entry("k", PAGE, "Gold falls", "b", "2026-12-01")) == first
    assert feed.visit(entry("k", PAGE.replace("https", "http") + "?utm_source=x", "Gold falls", "c")) == first
    assert feed.visit(entry("k", "https://moved.example/7", "Gold falls", "c")) == first


def test_entries_without_link_and_guid_are_articles_by_title_and_text():
    feed = Feed()
    items = [entry(title="停牌公告"), entry(title="Halt notice"), entry(title="", text="只有正文"), entry(title="", text="text only")]
    ids = feed.visit(*items)
    assert len(set(ids)) == 4
    assert feed.visit(*reversed(items)) == ids[::-1]
    assert feed.visit(entry(title="Market close", published="2026-11-30")) != feed.visit(
        entry(title="Market close", published="2026-12-01")
    )


def test_flashes_without_links_under_one_title_are_articles_by_their_guids():
    feed = Feed()
    (first,) = feed.visit(entry("k0", title="快讯", text="甲公司停牌"))
    assert feed.visit(entry("k1", title="快讯", text="乙公司停牌")) != [first]
    assert feed.visit(entry("new at each visit", title="快讯", text="甲公司停牌")) == [first]


def test_the_first_page_of_a_site_identifies_nothing():
    feed = Feed()
    assert len(set(feed.visit(entry("", "https://news.example/", "a")) + feed.visit(entry("", "https://news.example", "b")))) == 2


def test_a_complete_repeat_within_a_document_is_one_entry():
    ids = Feed().visit(entry("k", PAGE, "a"), entry("k", PAGE, "a"), entry("k2", PAGE, "a"))
    assert (ids.count(""), len(set(ids) - {""})) == (1, 2)


# any feed

PAGES = [PAGE, PAGE + "#e1", PAGE + "#e2", "https://news.example/#/a", "https://news.example/#/b", "https://news.example/1", ""]
items = st.builds(
    entry,
    guid=st.sampled_from(["", "N/A", "k1", "k2", "k3", PAGE + "#0", PAGE + "#1"]),
    link=st.sampled_from(PAGES),
    title=st.sampled_from(["涨停", "快讯", "Gold", "Oil", ""]),
    text=st.sampled_from(["", "正文", "a text", "another text"]),
    published=st.sampled_from(["", "2026-11-30 10:00", "2026-11-30 11:00"]),
)


def content(each: Entry) -> EntryKeys:
    """What makes two entries of a document two articles: all but the time."""
    return keys_of(each)._replace(time=0)


documents = st.lists(items, max_size=8, unique_by=content)


@given(documents, st.randoms(use_true_random=False))
@settings(max_examples=400, deadline=None)
def test_the_order_of_entries_and_their_repeats_do_not_change_identities(document: list[Entry], rng: random.Random):
    plain, shuffled = Feed(), Feed()
    mixed = [*document, *document[:3]]
    rng.shuffle(mixed)
    ids = dict(zip(document, plain.visit(*document), strict=True))
    other = [(each, own) for each, own in zip(mixed, shuffled.visit(*mixed), strict=True) if own]
    assert dict(other) == ids
    assert len(other) == len(document)


@given(documents, documents, st.randoms(use_true_random=False))
@settings(max_examples=400, deadline=None)
def test_a_second_visit_changes_no_identity(first: list[Entry], second: list[Entry], rng: random.Random):
    """What was there keeps its article, whatever comes beside it; what is new is never taken for it while it is there."""
    feed, replay = Feed(), Feed()
    before = dict(zip(first, feed.visit(*first), strict=True))
    replay.seen = dict(feed.seen)
    held = {content(each) for each in first}
    both = [*first, *(each for each in second if content(each) not in held)]
    after = dict(zip(both, feed.visit(*both), strict=True))
    assert {each: after[each] for each in first} == before
    assert len(set(after.values())) == len(both)
    rng.shuffle(both)
    assert dict(zip(both, replay.visit(*both), strict=True)) == after
    assert dict(zip(both, feed.visit(*both), strict=True)) == after, "the same document again"


@given(st.integers(1, 6), st.integers(2, 5), st.randoms(use_true_random=False))
def test_guids_that_change_at_every_visit_make_no_duplicates(size: int, visits: int, rng: random.Random):
    feed, known = Feed(), dict[int, str]()
    for visit in range(visits):
        numbers = list(range(size))
        rng.shuffle(numbers)
        made = [entry(f"{visit}-{rng.random()}", f"https://news.example/{n}", f"title {n}", "text" * rng.randint(1, 3)) for n in numbers]
        for number, own in zip(numbers, feed.visit(*made), strict=True):
            assert known.setdefault(number, own) == own


# which entries are read


def identified(*known: bool) -> list[Identified]:
    made = [entry(str(n), f"https://news.example/{n}") for n in range(len(known))]
    return [
        Identified(each, n, keys_of(each), known=SeenEntry(str(n), "", keys_of(each)) if old else None)
        for n, (each, old) in enumerate(zip(made, known, strict=True))
    ]


def read(times: Sequence[datetime | None], limit: int, known: Sequence[bool] = ()) -> list[int]:
    some = identified(*(known or [False] * len(times)))
    taken, passed = newest(some, times, limit)
    assert sorted([*taken, *passed]) == sorted(some)
    return [each.place for each in taken]


def test_the_newest_entries_are_read_whatever_their_order():
    rising = [NOON + timedelta(hours=n) for n in range(10)]
    assert read(rising, 3) == [7, 8, 9]
    assert read(rising[::-1], 3) == [0, 1, 2]
    assert read([rising[n] for n in (5, 9, 0, 7, 3, 8)], 3) == [1, 3, 5]


def test_an_entry_without_a_time_stands_beside_its_neighbour():
    assert read([NOON, None, NOON + timedelta(hours=1), None], 2) == [2, 3]


def test_without_times_new_entries_are_read_before_old_ones():
    assert read([None] * 4, 2) == [0, 1]
    assert read([None] * 4, 2, [True, True, False, False]) == [2, 3]


def test_no_entry_is_read_or_passed_over_twice():
    assert newest([], [], 3) == ([], [])
    assert identify([], [], []) == Document([], [])


def test_of_a_huge_feed_a_limited_number_of_unread_entries_is_remembered():
    seen = _Seen([])
    for number in range(MAX_SKIPPED + 5):
        seen.skip(Identified(Entry("", "", str(number), "", ""), number, EntryKeys(title=number + 1)), "passed_over")
    seen.skip(Identified(Entry("", "", "", "", ""), 0, EntryKeys()), "empty")
    assert len(seen.entries) == MAX_SKIPPED + 1
    assert seen.skipped == {"passed_over": MAX_SKIPPED, "empty": 1}
